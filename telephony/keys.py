"""By which ways one leg hears and sends keys. Pure.

| | listens in band | sends, unless told otherwise |
| --- | --- | --- |
| the trunk's way is fixed to in band | always | in band |
| fixed to RFC 4733 or INFO | never | that way |
| no telephone-event agreed | until an INFO has come | in band |
| agreed, and not proven yet | until an event or an INFO has come: some agree to events and send tones | events |
| agreed, and the trunk is known to send events | never | events |

Events and INFO are always taken: they cost nothing, and are never speech.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from telephony.errors import DigitsNotSent

__all__ = ["DigitSource", "KeyFigures", "KeyTerms", "KeyWays", "KnowsItsWays", "SendByInfo"]


class DigitSource(StrEnum):
    """The ways in which a key goes from one side to the other."""

    RTP = "rfc4733"
    INFO = "info"
    INBAND = "inband"


@dataclass(frozen=True, slots=True)
class KeyTerms:
    """What is known about a trunk's keys when a leg begins. `way`: the only one that it uses, by its settings; None:
    found out. `events_work`: its calls have shown that its keys come as RFC 4733 events."""

    way: DigitSource | None = None
    events_work: bool = False

    @classmethod
    def of(cls, written: Mapping[str, Any]) -> KeyTerms:
        """As JSON has it; an empty one says nothing. Raises ValueError."""
        way = written.get("way")
        return cls(DigitSource(way) if way else None, bool(written.get("events_work")))


@dataclass(frozen=True, slots=True)
class KeyFigures:
    """Presses of one leg by the ways in which they came; one that came by two ways counts for both. `first`: the way of
    the first one; empty: there was none. `agreed`: telephone-event was agreed on."""

    rfc4733: int = 0
    info: int = 0
    inband: int = 0
    first: str = ""
    agreed: bool = False

    @classmethod
    def of(cls, written: KeyFigures | Mapping[str, Any]) -> KeyFigures:
        """Also of a mapping, as JSON has it."""
        return written if isinstance(written, KeyFigures) else cls(**written)

    def counted(self, way: DigitSource) -> KeyFigures:
        return replace(self, first=self.first or way.value, **{way.value: getattr(self, way.value) + 1})

    def with_agreed(self, agreed: bool) -> KeyFigures:
        return replace(self, agreed=agreed)


class SendByInfo(Protocol):
    """Has a key sent to the peer by INFO, and returns once it has taken it. Raises DigitsNotSent."""

    def __call__(self, key: str, duration_ms: int, /) -> Awaitable[None]: ...


@runtime_checkable
class KnowsItsWays(Protocol):
    """A leg that says beforehand how keys would go."""

    def key_way(self, asked: DigitSource | None) -> DigitSource:
        """`asked` None: its own choice. Raises DigitsNotSent."""


@dataclass(slots=True)
class KeyWays:
    terms: KeyTerms = field(default_factory=KeyTerms)
    agreed: bool | None = None  # to telephone-event; None: there is no session description yet
    figures: KeyFigures = field(default_factory=KeyFigures)

    def describe(self, *, agreed: bool) -> None:
        """An offer has been answered."""
        self.agreed = agreed
        self.figures = self.figures.with_agreed(agreed)

    def came(self, way: DigitSource) -> None:
        """A press by this way, whether or not another way has told it already."""
        self.figures = self.figures.counted(way)

    @property
    def listens_in_band(self) -> bool:
        terms, figures = self.terms, self.figures
        if terms.way is not None:
            return terms.way is DigitSource.INBAND
        if self.agreed is None or figures.rfc4733 or figures.info:
            return False
        return not (self.agreed and terms.events_work)

    def sends_by(self, asked: DigitSource | None) -> DigitSource:
        """`asked` None: the trunk's way, else what was agreed. Raises DigitsNotSent."""
        way = asked or self.terms.way or (DigitSource.RTP if self.agreed else DigitSource.INBAND)
        if way is DigitSource.RTP and not self.agreed:
            raise DigitsNotSent("no_events", "the other side has not agreed to telephone-event (RFC 4733)")
        return way
