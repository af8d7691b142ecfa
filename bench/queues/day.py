"""The made-up day: callers who call, wait, hang up and call again; members who answer, refuse, miss, pause and go;
gateways that die and start again. Time is a heap of events: nothing waits."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from bench.queues.umpire import Umpire
from gateway.queues.book import QueueBook
from gateway.queues.deciding import decide, due
from gateway.queues.figures import History
from gateway.queues.model import (
    Announce,
    CallBack,
    LetGo,
    Member,
    Offer,
    OfferEnd,
    Place,
    Queue,
    Skill,
    Strategy,
    Waiting,
    WaitingEnd,
)

__all__ = ["START", "Day", "Outcome", "Scenario", "ten_members"]

START = 20_000 * 86_400.0  # midnight, UTC
LEASE_S = 30.0
RENEW_S = 10.0
CANCEL_S = 0.05  # until a phone that is told so is silent
Event = Callable[[], Coroutine[Any, Any, None]]


def ten_members(queues: Sequence[str] = ("desk",)) -> tuple[Member, ...]:
    """Some with penalties, weights and skills; one takes two calls at once."""
    return tuple(
        Member(
            f"m{n}",
            f"sip:m{n}@example.net",
            tuple(Place(queue, penalty=n // 8, weight=1 + n % 3, order=n) for queue in queues),
            (Skill("german", 1 + n),) if n % 2 else (),
            at_once=2 if n == 5 else 1,
        )
        for n in range(10)
    )


@dataclass(frozen=True, slots=True)
class Scenario:
    """Times are means in seconds. `chaos`: gateways die and restart, members pause, leave and lose their phones."""

    queues: tuple[Queue, ...]
    members: tuple[Member, ...]
    callers: int = 50
    hours: float = 24.0
    between_s: float = 1500.0
    talk_s: float = 180.0
    patience_s: float = 400.0
    accepts: float = 0.8  # of the offers
    with_callbacks: bool = True
    with_skills: bool = True
    chaos: bool = True

    @staticmethod
    def of(strategy: Strategy, **more: Any) -> Scenario:
        """One queue."""
        desk = Queue(
            "desk", strategy, wrap_up_s=15, most_waiting=40, most_wait_s=900, announce_every_s=60, widen_after_s=45,
            callback_retry_s=120,
        )  # fmt: skip
        return Scenario((desk,), ten_members(), **more)

    @staticmethod
    def of_two(first: Strategy, second: Strategy, **more: Any) -> Scenario:
        """Two queues that share members; the callers of the second one go first."""
        limits: Any = {"wrap_up_s": 10, "most_waiting": 12, "most_wait_s": 240, "callback_retry_s": 60}
        desk = Queue("desk", first, retry_s=10, announce_every_s=30, **limits)
        sales = Queue("sales", second, weight=3, ring_s=12, widen_after_s=20, skills=(Skill("german", 4),), **limits)
        both, desk_only = ten_members(("desk", "sales")), ten_members()
        return Scenario((desk, sales), (*both[:6], *desk_only[6:]), **more)


@dataclass(frozen=True, slots=True)
class Outcome:
    umpire: Umpire
    history: History
    told: tuple[tuple[float, float], ...]  # estimated and real wait of those who were told and answered
    seconds: float
    gateway_deaths: int


@dataclass(slots=True)
class Gateway:
    name: str
    book: QueueBook
    alive: bool = True
    deciding: bool = True  # False: its process is just being restarted; its calls live


@dataclass(slots=True)
class Talk:
    queue: str
    began: float


@dataclass(slots=True)
class Day:
    scenario: Scenario
    books: Callable[[], QueueBook]
    seed: int
    now: float = START
    umpire: Umpire = field(init=False)
    gateways: list[Gateway] = field(init=False)
    _random: Random = field(init=False)
    _heap: list[tuple[float, int, Event]] = field(default_factory=list)
    _number: int = 0
    _rings: dict[tuple[str, str], Waiting] = field(default_factory=dict)  # phones that ring
    _talks: dict[tuple[str, str], Talk] = field(default_factory=dict)
    _of: dict[str, Waiting] = field(default_factory=dict)  # calls and callbacks, by id
    _told: dict[str, list[tuple[float, float]]] = field(default_factory=dict)  # at, estimate
    _estimates: list[tuple[float, float]] = field(default_factory=list)
    _upset: bool = False  # a dead gateway still has callers or holds members
    _held: list[tuple[str, str]] = field(default_factory=list)  # calls of a dead gateway, and these members
    _woken_at: float = 0.0
    deaths: int = 0

    def __post_init__(self) -> None:
        self.umpire = Umpire(self.scenario.queues, self.scenario.members)
        self._random = Random(self.seed)
        self.gateways = [Gateway(name, self._book()) for name in ("g1", "g2")]

    async def run(self) -> Outcome:
        end = START + self.scenario.hours * 3600
        for number in range(self.scenario.callers):
            self._in(self._draw(self.scenario.between_s), lambda number=number: self._calls(number))
        for member in self.scenario.members if self.scenario.chaos else ():
            self._in(self._draw(7200), lambda name=member.name: self._goes(name))
        for gateway in self.gateways:
            self._in(0, lambda gateway=gateway: self._renews(gateway))
        if self.scenario.chaos:
            for part, happens in ((0.2, self._dies), (0.45, self._restarts), (0.6, self._dies), (0.8, self._restarts)):
                self._in(part * (end - START), happens)
        while self._heap and self._heap[0][0] < end:
            self.now, _, event = heapq.heappop(self._heap)
            await event()
        history = await self.gateways[0].book.history(START, end)
        return Outcome(self.umpire, history, tuple(self._estimates), end - START, self.deaths)

    # --- callers ---

    async def _calls(self, number: int) -> None:
        random = self._random
        gateway = random.choice([each for each in self.gateways if each.alive])
        queue = random.choice(self.scenario.queues)
        skills = (Skill("german", random.randint(1, 9)),) if self.scenario.with_skills and random.random() < 0.2 else ()
        priority = 1 if random.random() < 0.05 else 0
        caller = Waiting(self._id(f"c{number}"), queue.name, gateway.name, self.now, priority, skills)
        await self._joins(gateway, caller)
        self._in(self._draw(self.scenario.patience_s), lambda: self._has_enough(caller))

    async def _joins(self, gateway: Gateway, caller: Waiting) -> None:
        self._of[caller.call_id] = caller
        await gateway.book.join(caller, self.now, LEASE_S)
        self.umpire.joined(caller)
        await self._settle()

    async def _has_enough(self, caller: Waiting) -> None:
        """Hangs up, leaves by a key, or asks to be called back."""
        if caller.call_id not in self.umpire.waiting or self._later(caller, lambda: self._has_enough(caller)):
            return
        gateway = self._gateway(caller)
        how = WaitingEnd.ABANDONED
        if self.scenario.with_callbacks and (drawn := self._random.random()) < 0.4:
            how = WaitingEnd.CALLBACK if drawn < 0.25 else WaitingEnd.LEFT
        if how is WaitingEnd.CALLBACK:
            back = replace(
                caller,
                call_id=self._id("k"),
                callback_to="+15550100",
                callback_member_first=drawn < 0.15,
                gateway=gateway.name,
            )
            self._of[back.call_id] = back
            await gateway.book.join(back, self.now, LEASE_S)
            self.umpire.joined(back)
        await self._ends(caller, how)

    async def _ends(self, caller: Waiting, how: WaitingEnd, reason: str = "") -> None:
        """The caller waits no longer, and has not been answered."""
        assert await self._gateway(caller).book.leave(caller.call_id, how, self.now, reason)
        self.umpire.ended(caller.call_id, reason or how, self.now)
        for call_id, member in [key for key in self._rings if key[0] == caller.call_id]:
            self._in(CANCEL_S, lambda call_id=call_id, member=member: self._stops_ringing(call_id, member))
        self._calls_again(caller)
        await self._settle()

    def _calls_again(self, caller: Waiting) -> None:
        if caller.callback_to:
            return
        number = int(caller.call_id.split("-")[0][1:])
        self._in(self._draw(self.scenario.between_s), lambda: self._calls(number))

    # --- phones ---

    def _ring(self, caller: Waiting, member: str, queue: Queue) -> None:
        self._rings[caller.call_id, member] = caller
        random = self._random
        drawn = random.random()
        after, how = queue.ring_s, OfferEnd.NO_ANSWER
        if drawn < self.scenario.accepts:
            after, how = min(queue.ring_s, random.expovariate(1 / 5)), OfferEnd.ACCEPTED
        elif drawn < self.scenario.accepts + 0.07:
            after, how = random.uniform(0.5, 8), OfferEnd.DECLINED
        elif drawn < self.scenario.accepts + 0.1:
            after, how = 0.2, OfferEnd.UNREACHABLE
        self._in(after, lambda: self._answers(caller, member, how))

    async def _answers(self, caller: Waiting, member: str, how: OfferEnd) -> None:
        if self._rings.get((caller.call_id, member)) is not caller:
            return
        if self._later(caller, lambda: self._answers(caller, member, how)):
            return
        if how is OfferEnd.ACCEPTED and caller.callback_to:
            self._in(self._random.uniform(4, 20), lambda: self._is_rung_back(caller, member))
            return
        del self._rings[caller.call_id, member]
        taken = await self._gateway(caller).book.offer_ended(caller.call_id, member, how, self.now)
        if how is not OfferEnd.ACCEPTED:
            assert taken
            self.umpire.refused(caller.call_id, caller.queue, member, self.now)
        elif taken:
            self._talks_with(caller, member)
        else:
            assert caller.call_id not in self.umpire.waiting, f"{caller.call_id} waits, but {member} may not have them"
            self.umpire.silent(caller.call_id, member)
        await self._settle()

    def _talks_with(self, caller: Waiting, member: str) -> None:
        self.umpire.accepted(caller.call_id, member, self.now)
        for at, estimate in self._told.pop(caller.call_id, []):
            self._estimates.append((estimate, self.now - at))
        for call_id, other in [key for key in self._rings if key[0] == caller.call_id]:
            self._in(CANCEL_S, lambda call_id=call_id, other=other: self._stops_ringing(call_id, other))
        self._talks[caller.call_id, member] = Talk(caller.queue, self.now)
        self._in(self._draw(self.scenario.talk_s), lambda: self._hangs_up(caller, member))

    async def _is_rung_back(self, caller: Waiting, member: str) -> None:
        if self._rings.get((caller.call_id, member)) is not caller:
            return
        if self._later(caller, lambda: self._is_rung_back(caller, member)):
            return
        del self._rings[caller.call_id, member]
        book = self._gateway(caller).book
        if self._random.random() < 0.7:
            assert await book.offer_ended(caller.call_id, member, OfferEnd.ACCEPTED, self.now)
            self._talks_with(caller, member)
        else:
            self.umpire.silent(caller.call_id, member)
            if await book.callback_missed(caller.call_id, member, self.now):
                retry_s = self.umpire.queues[caller.queue].callback_retry_s
                self.umpire.waiting[caller.call_id].back_at = self.now + retry_s
            else:
                self.umpire.ended(caller.call_id, WaitingEnd.UNREACHED, self.now)
        await self._settle()

    async def _stops_ringing(self, call_id: str, member: str) -> None:
        caller = self._rings.get((call_id, member))
        if caller is None or self._later(caller, lambda: self._stops_ringing(call_id, member)):
            return
        del self._rings[call_id, member]
        assert await self._gateway(caller).book.offer_ended(call_id, member, OfferEnd.WITHDRAWN, self.now)
        self.umpire.silent(call_id, member)
        await self._settle()

    async def _hangs_up(self, caller: Waiting, member: str) -> None:
        if (caller.call_id, member) not in self._talks or self._later(caller, lambda: self._hangs_up(caller, member)):
            return
        talk = self._talks.pop((caller.call_id, member))
        talked_s = self.now - talk.began
        await self._gateway(caller).book.call_ended(caller.call_id, member, talked_s, self.now)
        self.umpire.hung_up(caller.call_id, member, talk.queue, talked_s, self.now)
        self._calls_again(caller)
        await self._settle()

    # --- members ---

    async def _goes(self, name: str) -> None:
        """For lunch, home, or its phone loses its network."""
        worker = self.umpire.members[name]
        book = self._deciding()[0].book if self._deciding() else None
        if book is None:
            self._in(1, lambda: self._goes(name))
            return
        drawn = self._random.random()
        if drawn < 0.5:
            worker.paused = True
            await book.pause(name, "lunch", self.now)
            self._in(self._draw(900), lambda: self._comes(name))
        elif drawn < 0.8:
            worker.signed_in = False
            await book.sign(name, self.now, signed_in=False)
            self._in(self._draw(1800), lambda: self._comes(name))
        else:
            worker.reachable = False
            await book.reachable(name, is_reachable=False)
            self._in(self._draw(60), lambda: self._comes(name))
        await self._settle()

    async def _comes(self, name: str) -> None:
        if not self._deciding():
            self._in(1, lambda: self._comes(name))
            return
        worker, book = self.umpire.members[name], self._deciding()[-1].book
        worker.paused, worker.signed_in, worker.reachable = False, True, True
        await book.pause(name, "", self.now)
        await book.sign(name, self.now, signed_in=True)
        await book.reachable(name, is_reachable=True)
        self._in(self._draw(7200), lambda: self._goes(name))
        await self._settle()

    # --- gateways ---

    async def _renews(self, gateway: Gateway) -> None:
        self._in(RENEW_S, lambda: self._renews(gateway))
        if gateway.alive and gateway.deciding:
            await gateway.book.renew(gateway.name, self.now, LEASE_S)
            if self._upset:
                await self._find_lost(gateway)
                await self._settle()

    async def _find_lost(self, gateway: Gateway) -> None:
        """Callers whom the book has given up; callbacks may have a new gateway."""
        state = await gateway.book.state(self.now)
        known = {each.call_id: each for each in state.waiting}
        for call_id, member in list(self._held):
            worker, it = self.umpire.members[member], state.states[member]
            if len(worker.talking) + bool(worker.ringing_for) > it.busy:
                self._held.remove((call_id, member))
                self.umpire.cut_off(member, call_id)
        for call_id in list(self.umpire.waiting):
            if call_id not in known:
                assert not self._gateway(self._of[call_id]).alive, f"{call_id} is lost, and its gateway lives"
                self.umpire.ended(call_id, WaitingEnd.LOST, self.now)
                self._calls_again(self._of[call_id])
            elif known[call_id].gateway != self._of[call_id].gateway:
                assert known[call_id].callback_to
                self._of[call_id] = replace(self._of[call_id], gateway=known[call_id].gateway)
                self.umpire.taken_over(call_id, known[call_id].gateway)
        dead = {each.name for each in self.gateways if not each.alive}
        self._upset = bool(self._held) or any(each.gateway in dead for each in state.waiting)
        if not self._upset:
            self.umpire.away -= dead

    async def _dies(self) -> None:
        """The second gateway with all of its calls; it starts again some minutes later."""
        gateway = self.gateways[1]
        gateway.alive = False
        self.umpire.away.add(gateway.name)
        self.deaths += 1
        self._upset = True
        self._held += self._cut_off(lambda call_id: self._of[call_id].gateway == gateway.name)
        self._in(300, lambda: self._starts(gateway, []))
        await self._settle()

    async def _restarts(self) -> None:
        """The first gateway's process: most of its calls live on in their workers."""
        gateway = self.gateways[0]
        gateway.deciding = False
        self.umpire.away.add(gateway.name)
        mine = [call_id for call_id, each in self._of.items() if each.gateway == gateway.name]
        living = [call_id for call_id in mine if self._random.random() < 0.9]
        self._in(4, lambda: self._starts(gateway, living))

    async def _starts(self, gateway: Gateway, living: Sequence[str]) -> None:
        gateway.book = self._book()
        joined_meanwhile = [each for each in self._of if gateway.alive and self._of[each].joined_at > self.now - 4.1]
        alive = {*living, *joined_meanwhile}
        cut = self._cut_off(lambda call_id: self._of[call_id].gateway == gateway.name and call_id not in alive)
        await gateway.book.resume(gateway.name, sorted(alive), self.now, LEASE_S)
        for call_id, member in cut:
            self.umpire.cut_off(member, call_id)
        gateway.alive = gateway.deciding = True
        self.umpire.away.discard(gateway.name)
        state = await gateway.book.state(self.now)
        waiting = {each.call_id for each in state.waiting}
        for call_id in [each for each in self.umpire.waiting if each not in waiting]:
            assert self._of[call_id].gateway == gateway.name and call_id not in alive, f"{call_id} was forgotten"
            self.umpire.ended(call_id, WaitingEnd.LOST, self.now)
            self._calls_again(self._of[call_id])
        await self._settle()

    def _cut_off(self, is_cut: Callable[[str], bool]) -> list[tuple[str, str]]:
        """Ends calls, and phones' ringing, of which the book does not know yet."""
        rings = [key for key in self._rings if is_cut(key[0])]
        talks = [key for key in self._talks if is_cut(key[0])]
        for key in rings:
            del self._rings[key]
        for key in talks:
            del self._talks[key]
            self._calls_again(self._of[key[0]])
        return rings + talks

    # --- deciding ---

    async def _settle(self) -> None:
        """Until no gateway finds anything to do at this instant."""
        state = None
        while True:
            acted = False
            for gateway in self._random.sample(self._deciding(), len(self._deciding())):
                state = await gateway.book.state(self.now)
                for action in decide(state, self.now, gateway.name):
                    acted |= await self._do(gateway, action)
            if not acted:
                break
        self.umpire.instant_over(self.now)
        at = due(state, self.now) if state is not None else None
        if at is not None and (self._woken_at <= self.now or at < self._woken_at):
            self._woken_at = at
            self._in(at - self.now, self._settle)

    async def _do(self, gateway: Gateway, action: Offer | Announce | LetGo | CallBack) -> bool:
        """Whether anything was done."""
        caller = self._of[action.call_id]
        match action:
            case LetGo(reason=reason):
                await self._ends_now(gateway, caller, reason)
                return True
            case Offer(members=members):
                got = [each for each in members if await gateway.book.claim(caller.call_id, each, self.now, LEASE_S)]
            case CallBack(member=member):
                got = [member] if await gateway.book.claim(caller.call_id, member, self.now, LEASE_S) else []
            case Announce():
                await gateway.book.announced(caller.call_id, self.now)
                if action.wait_s is not None:
                    self._told.setdefault(caller.call_id, []).append((self.now, action.wait_s))
                return False
        if got:
            self.umpire.offered(caller.call_id, got, self.now)
            for each in got:
                self._ring(caller, each, self.umpire.queues[caller.queue])
        return bool(got)

    async def _ends_now(self, gateway: Gateway, caller: Waiting, reason: str) -> None:
        assert await gateway.book.leave(caller.call_id, WaitingEnd.OVERFLOWED, self.now, reason)
        self.umpire.ended(caller.call_id, reason, self.now)
        self._calls_again(caller)

    # --- small things ---

    def _book(self) -> QueueBook:
        book = self.books()
        book.configure(self.scenario.queues, self.scenario.members)
        return book

    def _deciding(self) -> list[Gateway]:
        return [each for each in self.gateways if each.alive and each.deciding]

    def _gateway(self, caller: Waiting) -> Gateway:
        name = self._of[caller.call_id].gateway
        return next(each for each in self.gateways if each.name == name)

    def _later(self, caller: Waiting, event: Event) -> bool:
        """While its gateway's process restarts, what happens to a call is heard afterwards. A dead gateway's events
        are heard by nobody."""
        gateway = self._gateway(caller)
        if gateway.alive and not gateway.deciding:
            self._in(0.5, event)
        return not (gateway.alive and gateway.deciding)

    def _in(self, after_s: float, event: Event) -> None:
        self._number += 1
        heapq.heappush(self._heap, (self.now + after_s, self._number, event))

    def _draw(self, mean_s: float) -> float:
        return self._random.expovariate(1 / mean_s)

    def _id(self, of: str) -> str:
        self._number += 1
        return f"{of}-{self._number}"
