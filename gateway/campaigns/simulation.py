"""A campaign on a clock that jumps: who would be called when, and how long it takes. The engine is the real one."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from gateway.campaigns.engine import CampaignEngine
from gateway.campaigns.memory import MemoryBook
from gateway.campaigns.model import Attempt, CampaignState, Contact
from gateway.campaigns.order import CampaignOrder
from gateway.campaigns.rules import RuleSet
from gateway.outbound.order import CallOrder

__all__ = ["Answer", "Simulated", "Simulation"]

_CAMPAIGN = "simulated"
_STEP = timedelta(milliseconds=100)  # the shortest; what is due within it is looked at together


@dataclass(frozen=True, slots=True)
class Answer:
    """What becomes of a call, `after_s` seconds after its INVITE. The attempt's number, time and call are filled in."""

    attempt: Attempt
    after_s: float
    our_fault: bool = False
    sip_status: int = 0


@dataclass(slots=True)
class Simulated:
    """`ended_at` None: it was still running when the simulation's time was over."""

    ended_at: datetime | None
    state: CampaignState
    reason: str
    calls: int = 0
    most_at_once: int = 0
    attempts: dict[int, tuple[Attempt, ...]] = field(default_factory=dict)  # by contact


class Simulation:
    def __init__(
        self,
        order: CampaignOrder,
        contacts: Iterable[Contact],
        answer: Callable[[CallOrder, datetime], Answer],
        law: Mapping[str, tuple[RuleSet, ...]],
        now: datetime,
    ) -> None:
        """`answer(call, at)` says what becomes of it."""
        self.book = MemoryBook()
        self.now = now
        self._contacts = tuple(contacts)
        self.book.add(_CAMPAIGN, order, self._contacts, now)
        self._answer = answer
        self._numbers = itertools.count(1)
        self._ends: list[tuple[datetime, str, Answer, Attempt]] = []
        self._alive = self._most = self._calls = 0
        self._engine = CampaignEngine(
            self.book, self._place, lambda _: law, "simulation", room=lambda _: 1_000_000, wall=lambda: self.now,
            new_call_id=lambda: f"c{next(self._numbers)}",
        )  # fmt: skip

    async def run(self, until: datetime) -> Simulated:
        """Until it is done or paused, at `until` at the latest."""
        while self.now < until:
            rest_s = await self._engine.turn()
            await self._engine.placed()
            state, _ = self.book.state(_CAMPAIGN)
            if state not in (CampaignState.RUNNING, CampaignState.FINISHING):
                return self._result(self.now)
            self._pass(rest_s)
        return self._result(None)

    def _pass(self, rest_s: float) -> None:
        """Time passes to the next thing that happens, or is due."""
        ends = self._ends[0][0] if self._ends else datetime.max.replace(tzinfo=self.now.tzinfo)
        self.now = max(self.now + _STEP, min(self.now + timedelta(seconds=rest_s), ends))
        while self._ends and self._ends[0][0] <= self.now:
            _, call_id, answer, attempt = heapq.heappop(self._ends)
            self._alive -= 1
            self.book.end(call_id, attempt, our_fault=answer.our_fault, sip_status=answer.sip_status)

    async def _place(self, call: CallOrder, call_id: str) -> None:
        answer = self._answer(call, self.now)
        told = answer.attempt
        made = Attempt(call.to, self.now, told.outcome, told.answered_by, told.delivered, call_id)
        heapq.heappush(self._ends, (self.now + timedelta(seconds=answer.after_s), call_id, answer, made))
        self._calls += 1
        self._alive += 1
        self._most = max(self._most, self._alive)

    def _result(self, ended_at: datetime | None) -> Simulated:
        state, reason = self.book.state(_CAMPAIGN)
        attempts = {contact.contact_id: self.book.contact(contact.contact_id).attempts for contact in self._contacts}
        return Simulated(ended_at, state, reason, self._calls, self._most, attempts)
