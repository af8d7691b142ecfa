"""What must happen in a recorded call, and whether it did. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any

from agent.testing.happened import Happened, describe, spoken_text

__all__ = ["Deviation", "EventMatcher", "Expectation", "compare", "normalized", "transcript_lines"]


_ALIKE = 0.6  # of the letters, in order: "no thank you goodbye" is like "no thanks bye", and unlike "yes please"


@dataclass(frozen=True, slots=True)
class EventMatcher:
    """One expected event. `line`: its line in the fixture.

    `contains`: all of these, `any_of`: at least one of these, in the event's words (whole words; case and punctuation
    do not count). `like`: words similar enough to be another hearing of the same. `arguments`: of a function call;
    others are allowed. `equal`: any other field. `within_ms`: for a turn_latency the whole latency; for any other event
    the time since the expected event before it (for the first: since the answer).
    """

    type: str
    contains: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    like: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    equal: Mapping[str, Any] = field(default_factory=dict)
    within_ms: float | None = None
    line: int = 0

    def mismatch(self, event: Happened) -> str | None:
        """Why `event` does not match, or None. Ignores `within_ms`."""
        if event.type != self.type:
            return f"is a {event.type}"
        words = f" {normalized(spoken_text(event) or '')} "
        for text in self.contains:
            if f" {normalized(text)} " not in words:
                return f'does not contain "{text}"'
        if self.any_of and not any(f" {normalized(text)} " in words for text in self.any_of):
            return "contains none of " + ", ".join(f'"{text}"' for text in self.any_of)
        if self.like and _similarity(self.like, words) < _ALIKE:
            return f'is not like "{self.like}"'
        given = event.fields.get("arguments", {})
        for name, value in self.arguments.items():
            if name not in given:
                return f"has no argument {name}"
            if not _same(given[name], value):
                return f"{name} is {given[name]!r}"
        for name, value in self.equal.items():
            if not _same(event.fields.get(name), value):
                return f"{name} is {event.fields.get(name)!r}"
        return None

    def lateness_ms(self, event: Happened, since: float) -> float:
        """How much later `event` is than `within_ms` allows; 0 or less: in time."""
        if self.within_ms is None:
            return 0.0
        took = event.latency_ms if self.type == "turn_latency" else (event.at - since) * 1000
        return 0.0 if took is None else took - self.within_ms

    def __str__(self) -> str:
        parts = [self.type, *(f"{name}={value!r}" for name, value in self.equal.items())]
        if self.contains:
            parts.append("containing " + " and ".join(f'"{text}"' for text in self.contains))
        if self.any_of:
            parts.append("containing " + " or ".join(f'"{text}"' for text in self.any_of))
        if self.like:
            parts.append(f'like "{self.like}"')
        parts += [f"{name}={value!r}" for name, value in self.arguments.items()]
        if self.within_ms is not None:
            parts.append(f"within {self.within_ms:g} ms")
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Expectation:
    """`events` in this order. `strict`: no other events of the types in `events` may happen. `never`: must not happen
    at all."""

    events: tuple[EventMatcher, ...] = ()
    never: tuple[EventMatcher, ...] = ()
    strict: bool = False
    ended_by: str = ""  # "": either
    end_reason: str = ""


@dataclass(frozen=True, slots=True)
class Deviation:
    """A deviation from the expectation. `line`: of the fixture; 0: none."""

    line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.text}" if self.line else self.text


def normalized(text: str) -> str:
    """Words in lower case with single spaces, so that punctuation and line ends do not count."""
    return " ".join(re.findall(r"[\w']+", text.lower()))


def _similarity(text: str, other: str) -> float:
    return SequenceMatcher(None, normalized(text), normalized(other), autojunk=False).ratio()


def _same(found: Any, wanted: Any) -> bool:
    if isinstance(found, str) and isinstance(wanted, str):
        return normalized(found) == normalized(wanted) if re.search(r"\w", wanted) else found == wanted
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    return bool(found == wanted)


def compare(
    expectation: Expectation, events: Sequence[Happened], ended_by: str, end_reason: str
) -> tuple[Deviation, ...]:
    """Everything that is not as expected."""
    problems: list[Deviation] = []
    found = _in_order(expectation.events, events)
    if len(found) < len(expectation.events):
        problems.append(_missing(expectation.events, events, found))
    for matcher in expectation.never:
        problems += [
            Deviation(matcher.line, f"must never happen, but did: {event}")
            for event in events
            if not matcher.mismatch(event)
        ]
    if expectation.strict and not problems:
        types = {matcher.type for matcher in expectation.events}
        taken = set(found)
        problems += [
            Deviation(0, f"unexpected (strict): {event}")
            for index, event in enumerate(events)
            if event.type in types and index not in taken
        ]
    for name, wanted, was in (
        ("ended_by", expectation.ended_by, ended_by),
        ("end_reason", expectation.end_reason, end_reason),
    ):
        if wanted and wanted != was:
            problems.append(Deviation(0, f"{name} should be {wanted}, was {was or 'nothing'}"))
    return tuple(problems)


def _in_order(matchers: Sequence[EventMatcher], events: Sequence[Happened]) -> list[int]:
    """Indexes of matching events, one for each matcher from the first on, as many as possible.

    Tries later candidates too, since `within_ms` of the next may need them. Dead ends are remembered: (matcher, event
    before it) pairs are few.
    """
    best: list[int] = []
    dead: set[tuple[int, int]] = set()

    def search(position: int, before: int, path: list[int]) -> bool:
        nonlocal best
        if len(path) > len(best):
            best = list(path)
        if position == len(matchers):
            return True
        if (position, before) in dead:
            return False
        since = events[before].at if before >= 0 else 0.0
        for index in range(before + 1, len(events)):
            if (
                matchers[position].mismatch(events[index]) is None
                and matchers[position].lateness_ms(events[index], since) <= 0
            ):
                path.append(index)
                if search(position + 1, index, path):
                    return True
                path.pop()
        dead.add((position, before))
        return False

    search(0, -1, [])
    return best


def _missing(matchers: Sequence[EventMatcher], events: Sequence[Happened], found: Sequence[int]) -> Deviation:
    """What did not happen, and what happened instead."""
    wanted = matchers[len(found)]
    before = found[-1] if found else -1
    since = events[before].at if before >= 0 else 0.0
    lines = [f"expected {wanted}", f"   after {events[before] if found else 'the answer'}"]
    near = [event for event in events[before + 1 :] if event.type == wanted.type][:4]
    for event in near:
        why = wanted.mismatch(event) or f"{wanted.lateness_ms(event, since):.0f} ms too late"
        lines.append(f"   got   {event}  <- {why}")
    if not near:
        earlier = [event for event in events[: before + 1] if wanted.mismatch(event) is None]
        lines.append(f"   but no {wanted.type} came" + (f"; one came before: {earlier[-1]}" if earlier else ""))
    return Deviation(wanted.line, "\n".join(lines))


def transcript_lines(events: Sequence[Happened]) -> list[str]:
    """The conversation for people."""
    wanted = (
        "user_message",
        "agent_message",
        "function_call",
        "function_call_output",
        "task_started",
        "task_completed",
        "digit_received",
        "session_closed",
    )
    return [f"{event.at:8.2f} s  {describe(event)}" for event in events if event.type in wanted]
