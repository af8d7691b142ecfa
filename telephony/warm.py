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


@dataclass(frozen=True, slots=True)
class Warm:
    """`also`: further targets: called one after another, or `at_once`, when the first to accept has the call.
    `within_s`: for all of it, until somebody has accepted.

    `detect`: find out whether a person or a machine has answered, before they are told or hear anything; with `accept`
    at the same time. `accept`: whoever answers must press 1 (2 declines) within `accept_s`; else answering is
    accepting. `summary`: what they are told then. `introduction`: said to both when they hear each other; empty: the
    agent is silent from then on.

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

    @property
    def speaks(self) -> bool:
        """Whether the human is asked or told anything."""
        return self.accept or self.summary is not SummaryBy.NONE or bool(self.introduction)

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError, ValueError."""
        own = {name: body[name] for name in cls.__dataclass_fields__}
        return cls(
            **{
                **own,
                "also": tuple(str(each) for each in own["also"]),
                "within_s": float(own["within_s"]),
                "accept_s": float(own["accept_s"]),
                "summary": SummaryBy(own["summary"]),
                "headers": {str(name): str(value) for name, value in dict(own["headers"]).items()},
            }
        )
