"""The trunks for outbound calls: which may take a call, how many each has, and which failed recently."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import SystemRandom

import structlog

from gateway.config import Settings
from gateway.dispatch import Dispatcher
from gateway.live_calls import LiveCalls
from gateway.outbound.caps import CapState, TrunkCaps, TrunkQueue
from gateway.outbound.choosing import TrunkChoice
from gateway.outbound.destinations import closed_because
from gateway.record import LegMoved, RecordMessage, call_id_of
from telephony.edge import DialAttempted
from telephony.sip.places import Failures

__all__ = ["OutboundTrunks", "TrunkState"]

_E164 = re.compile(r"\+[1-9][0-9]{4,14}")
_MOST_REMEMBERED = 1_000  # legs
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TrunkState:
    cap: CapState
    passed_over_until: float  # seconds, loop clock; 0: it has not failed of late


class OutboundTrunks:
    def __init__(
        self,
        settings: Settings,
        live: LiveCalls,
        dispatcher: Dispatcher,
        record: Callable[[RecordMessage], None],
        *,
        now: Callable[[], float],
        random: Callable[[], float] | None = None,
    ) -> None:
        """`now`: the loop clock in seconds; `random` gives numbers from 0 to 1."""
        trunks = settings.sip.trunks
        self._trunks = {trunk.name: trunk for trunk in trunks}
        self._live = live
        self._record = record
        self._callers: OrderedDict[str, Mapping[str, str]] = OrderedDict()  # leg -> trunk -> number
        self._now = now
        self._failures: Failures[str] = Failures()
        self.queue = TrunkQueue(TrunkCaps(trunks, live.legs_on), live, dispatcher, now)
        self.choice = TrunkChoice(
            trunks, settings.outbound, random=random or SystemRandom().random, passed_over=self._passed_over
        )

    def attempted(self, attempt: DialAttempted) -> None:
        """A trunk that could not take a call is tried last for a while, twice as long each time, until it takes one or
        gives an answer about the number."""
        if attempt.failed:
            self._failures.failed(attempt.trunk, self._now())
        elif attempt.status:
            self._failures.worked(attempt.trunk)

    def remember(self, leg_id: str, callers: Mapping[str, str]) -> None:
        """The numbers that a leg would come from, by trunk."""
        if len(callers) < 2:
            return
        self._callers[leg_id] = callers
        if len(self._callers) > _MOST_REMEMBERED:
            self._callers.popitem(last=False)

    def may_dial_over(self, leg_id: str, trunk: str) -> bool:
        """The edge asks before a leg that its trunk did not take moves to the route's next trunk."""
        if (leg := self._live.leg(leg_id)) is not None and leg.trunk == trunk:
            return True  # another device of the same phone
        if not self.queue.moves(leg_id, trunk):
            return False
        log.info("leg_moved", leg_id=leg_id, trunk=trunk)
        caller = self._callers.get(leg_id, {}).get(trunk) or None
        self._record(LegMoved(leg_id=leg_id, call_id=call_id_of(leg_id), trunk=trunk, caller=caller))
        return True

    def may_redirect(self, trunk: str, number: str) -> bool:
        """A 3xx of this trunk names another number than the one that was called: whether that may be called over it."""
        return _E164.fullmatch(number) is not None and closed_because(number, self._trunks[trunk]) is None

    def states(self) -> dict[str, TrunkState]:
        """By the trunk's name."""
        return {
            name: TrunkState(self.queue.state(name), self._failures.passed_over_until(name)) for name in self._trunks
        }

    def _passed_over(self, trunk: str) -> bool:
        return self._failures.passed_over_until(trunk) > self._now()
