"""By which ways the keys of each trunk come: learnt from its calls, and after a restart from
the records of the latest ones. Pure.

Tones are listened for until an event has come. A trunk whose calls have shown that events work is spared that, except
for one call in twenty, so that a carrier that changes its mind is noticed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.config import TrunkSettings
from gateway.live_calls import CallFact
from gateway.record import CallClosed, CallOpened, LegClosed, LegMoved, LegOpened, RecordMessage, WorkerLost, leg_id_of
from telephony.call import DigitSource, MediaStatistics
from telephony.keys import KeyFigures, KeyTerms

__all__ = ["TrunkKeys", "TrunkKeysState"]

PROVEN_AFTER = 3  # calls in a row
LISTEN_EVERY = 20  # calls of a trunk whose events work
_MOST_LEGS = 10_000


@dataclass(slots=True)
class TrunkKeysState:
    """`presses` and `calls` by way; a call counts for the way of its first key. `not_used`: calls that agreed to
    telephone-event and sent tones only. `in_a_row`: the latest calls with keys, all by events."""

    setting: str = "auto"
    presses: dict[str, int] = field(default_factory=lambda: dict.fromkeys(map(str, DigitSource), 0))
    calls: dict[str, int] = field(default_factory=lambda: dict.fromkeys(map(str, DigitSource), 0))
    not_used: int = 0
    in_a_row: int = 0
    latest: str = ""  # the way of the latest call with keys
    _begun: int = 0

    @property
    def events_work(self) -> bool:
        return self.in_a_row >= PROVEN_AFTER

    def learn(self, figures: KeyFigures) -> None:
        """Of one leg that has ended."""
        if not figures.first:
            return
        for way in DigitSource:
            self.presses[way] += getattr(figures, way)
        self.calls[figures.first] += 1
        self.latest = figures.first
        if figures.rfc4733:
            self.in_a_row += 1
        elif figures.agreed and figures.inband:
            self.not_used += 1
            self.in_a_row = 0

    def terms(self) -> KeyTerms:
        """For a call that begins."""
        self._begun += 1
        way = None if self.setting == "auto" else DigitSource(self.setting)
        return KeyTerms(way, self.events_work and self._begun % LISTEN_EVERY != 0)


class TrunkKeys:
    """`observe` watches the records."""

    def __init__(self, trunks: Sequence[TrunkSettings]) -> None:
        self._states = {trunk.name: TrunkKeysState(trunk.dtmf) for trunk in trunks}
        self._legs: OrderedDict[str, str] = OrderedDict()  # live ones -> trunk

    @property
    def states(self) -> Mapping[str, TrunkKeysState]:
        """By the trunk's name."""
        return self._states

    def remember(self, before: Iterable[tuple[str, KeyFigures]]) -> None:
        """At the start: trunk and keys of legs of the gateway's earlier lives, oldest first."""
        for trunk, figures in before:
            if trunk in self._states:
                self._states[trunk].learn(figures)

    def terms(self, trunks: Iterable[str]) -> KeyTerms:
        """For a leg that begins, and may go over any of these trunks: what holds for all of them."""
        found = {self._states[trunk].terms() if trunk in self._states else KeyTerms() for trunk in trunks}
        return found.pop() if len(found) == 1 else KeyTerms()

    def observe(self, message: RecordMessage, facts: Sequence[CallFact] = ()) -> None:
        match message:
            case CallOpened():
                self._begins(leg_id_of(message.call_id), message.trunk)
            case LegOpened() | LegMoved():
                self._begins(message.leg_id, message.trunk)
            case CallClosed():
                self._ends(leg_id_of(message.call_id), message.media)
            case LegClosed():
                self._ends(message.leg_id, message.media)
            case WorkerLost():
                for leg_id in (*message.leg_ids, *map(leg_id_of, message.call_ids)):
                    self._ends(leg_id, None)
            case _:
                pass

    def _begins(self, leg_id: str, trunk: str) -> None:
        self._legs[leg_id] = trunk
        if len(self._legs) > _MOST_LEGS:
            self._legs.popitem(last=False)

    def _ends(self, leg_id: str, media: MediaStatistics | None) -> None:
        state = self._states.get(self._legs.pop(leg_id, ""))
        if state is not None and media is not None:
            state.learn(media.keys)
