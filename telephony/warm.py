"""How a warm transfer goes: whom to call, what they are asked and told, and what they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

__all__ = ["SummaryBy", "Warm"]


class SummaryBy(StrEnum):
    """Who words what the human hears of the conversation before the two are joined."""

    NONE = "none"  # nothing is said
    MODEL = "model"  # from the conversation; if it fails, `text`, else the canned "transfer_summary"
    TEXT = "text"  # `text` as it is
    CALLER = "caller"  # the caller's own words, asked for before and recorded; without any, as for MODEL


_SECONDS = ("within_s", "accept_s", "consult_s", "detect_limit_s", "correct_for_s")


@dataclass(frozen=True, slots=True)
class Warm:
    """`also`: further targets: called one after another, or `at_once`, when the first to accept has the call.
    `within_s`: for all of it, until somebody has accepted.

    `detect`: find out whether a person or a machine has answered, before they are told or hear anything; with `accept`
    at the same time. `accept`: whoever answers must press 1 (2 declines) within `accept_s`; else answering is
    accepting. `detect_limit_s`: how long they hear nothing until that is known; then they count as a person.
    `correct_for_s`: how long a machine is still noticed after that. `summary`: what they are told then. `consult`: they
    may then ask the agent, until they press 1 or say that the customer is to be put through (2, or words: they do not
    take them), for `consult_s` at most. `introduction`: said to both when they hear each other; empty: the agent is
    silent from then on. `notes`: what the two say is written down, if the settings allow it.
    `handover`: once they are joined, the customer's side is asked to call the human itself, in our place (REFER with
    Replaces); then the call is not ours any more.

    `headers`: of the INVITE to the human, names X-…; `user_to_user`: of its User-to-User header (RFC 7433), as
    text."""

    also: tuple[str, ...] = ()
    at_once: bool = False
    within_s: float = 120.0
    detect: bool = True
    accept: bool = False
    accept_s: float = 15.0
    summary: SummaryBy = SummaryBy.NONE
    text: str = ""
    introduction: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    user_to_user: str = ""
    consult: bool = False
    consult_s: float = 120.0
    notes: bool = True
    handover: bool = False
    detect_limit_s: float = 10.0
    correct_for_s: float = 20.0

    @property
    def speaks(self) -> bool:
        """Whether the human is asked or told anything."""
        return self.accept or self.consult or self.summary is not SummaryBy.NONE or bool(self.introduction)

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError, ValueError."""
        own = {name: body[name] for name in cls.__dataclass_fields__}
        return cls(
            **{
                **own,
                "also": tuple(str(each) for each in own["also"]),
                **{name: float(own[name]) for name in _SECONDS},
                "summary": SummaryBy(own["summary"]),
                "headers": {str(name): str(value) for name, value in dict(own["headers"]).items()},
            }
        )
