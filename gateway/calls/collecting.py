"""Asking the caller for digits on behalf of a program outside: what is ordered, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

__all__ = ["MARGIN_S", "CollectEnd", "CollectOrder", "Collected"]

MARGIN_S = 5.0  # for an answer on its way from the conversation to who asked
CollectEnd = Literal["full", "terminator", "timeout", "spoken", "no_digits", "too_late", "handed_over"]


@dataclass(frozen=True, slots=True)
class CollectOrder:
    """As the parameters of `agent.tasks.CollectDigits`. `limit_s`: for all of it."""

    prompt: str
    least: int
    most: int
    terminators: str = "#"
    first_digit_timeout_ms: float = 7000.0
    inter_digit_timeout_ms: float = 3000.0
    secret: bool = False
    confirm: bool = False
    retries: int = 2
    retry_prompt: str = ""
    limit_s: float = 60.0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError."""
        return cls(**{name: body[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True, slots=True)
class Collected:
    """`digits` None: the caller gave none that fit."""

    digits: str | None = field(repr=False)  # they may be secret
    ended: CollectEnd

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Self:
        """Raises KeyError."""
        return cls(body["digits"], body["ended"])
