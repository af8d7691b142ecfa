"""Asks the user's program about an inbound call before it is answered: which persona, with which variables."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.dialplan import BeforeCall
from telephony.call import CallInfo

__all__ = ["AsksBeforeCall", "CallQuestion", "FakeAsker", "Said", "entry", "question"]

QUESTION = "call.incoming"


@dataclass(frozen=True, slots=True)
class CallQuestion:
    """What is asked: `body` is JSON."""

    hook: BeforeCall
    call_id: str
    body: str


@dataclass(frozen=True, slots=True)
class Said:
    """`error`: why the dialplan's own decision applies; empty if the answer does. `persona` empty: the rule's own."""

    persona: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    error: str = ""
    took_ms: float = 0.0


class AsksBeforeCall(Protocol):
    def ask(self, question: CallQuestion, answered: Callable[[Said], None]) -> bool:
        """`answered` is called once, soon after the limit at the latest, and never synchronously. False: too many
        questions are pending."""


@dataclass
class FakeAsker:
    """Records the questions; the test answers. `full`: accepts none."""

    asked: list[tuple[CallQuestion, Callable[[Said], None]]] = field(default_factory=list)
    full: bool = False

    def ask(self, question: CallQuestion, answered: Callable[[Said], None]) -> bool:
        if not self.full:
            self.asked.append((question, answered))
        return not self.full


def question(hook: BeforeCall, info: CallInfo, persona: str) -> CallQuestion:
    """`persona`: the rule's own."""
    call = {
        "call_id": info.call_id,
        "called": info.called,
        "caller": info.caller,
        "trunk": info.trunk,
        "persona": persona,
        "personas": [persona, *map(str, hook.personas)],
        "headers": dict(info.headers),
        "variables": dict(info.variables),
        "diverted_by": [each.number for each in info.diversions],
    }
    return CallQuestion(hook, info.call_id, json.dumps({"type": QUESTION, "call": call}, ensure_ascii=False))


def entry(said: Said, at: float, persona: str) -> dict[str, Any]:
    """An entry for the call's events. `at`: seconds, loop clock. Variables by name only, as values may be about
    people."""
    return {
        "type": "asked_before_call",
        "at": at,
        "t_ms": 0.0,
        "persona": persona,
        "variables": sorted(said.variables),
        "error": said.error,
        "took_ms": said.took_ms,
    }
