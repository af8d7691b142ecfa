"""Requests forwarded to a worker or a caller, until they are answered and for a while afterwards.

An answer need not contain anything from the request: it is matched by our branch and written from the data kept here. A
request that its worker does not seem to have read is sent again, and finally reported (`Due`).
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import InitVar, dataclass, field
from enum import StrEnum

from telephony.edge.dialogs import Dialog, DialogState, Reply
from telephony.edge.hops import Hop, SendPublic, SendWorker
from telephony.edge.protocol import Dial
from telephony.edge.settings import EdgeTimers
from telephony.sip.digest import DigestClient
from telephony.sip.offer import Streams
from telephony.sip.parse import Request, Response
from telephony.sip.resolving import Place
from telephony.sip.transactions import CLIENT_INVITE, CLIENT_OTHER, Do, Timers, Transaction

__all__ = ["Asked", "DialAttempt", "Dialed", "Due", "DueKind", "Relay", "RelayTable"]


class DueKind(StrEnum):
    AGAIN = "again"  # send it once more
    NOT_TAKEN = "not taken"  # no answer of any kind has come
    NO_END = "no end"  # a cancelled INVITE has no final answer


@dataclass(slots=True)
class Relay:
    """A caller's request at its worker."""

    dialog: Dialog
    branch: str  # ours
    method: str
    cseq: int
    reply: Reply
    sent: SendWorker
    sent_at: float
    timers: InitVar[Timers]
    initial: bool = False  # the INVITE that made the dialog
    replaces: Dialog | None = None  # whose public side's place its sender is to take
    streams: Streams | None = None  # around its description's stream
    taken: bool = False
    asking: Transaction = field(init=False)
    status: int = 0  # final
    final: bytes = b""  # as sent to the caller

    def __post_init__(self, timers: Timers) -> None:
        machine = CLIENT_INVITE if self.method == "INVITE" else CLIENT_OTHER
        self.asking = Transaction(machine, self.sent_at, reliable=False, timers=timers)

    @property
    def live(self) -> bool:
        return not self.final and self.dialog.state is not DialogState.LOST


@dataclass(slots=True)
class DialAttempt:
    """The INVITE of a worker's call at one place, with or without credentials."""

    branch: str
    hop: Hop
    place: Place
    cseq: int
    began_at: float
    dial: Dial  # which trunk it went over, to whom and from whom
    uri: str  # Request-URI: the dial's, or what a 3xx has named
    routes: tuple[str, ...]  # Route values of its INVITE
    heard: bool = False  # any answer has come
    rang: bool = False  # the called side has rung there
    cancel: bool = False  # it has been sent a CANCEL
    reliable: dict[str, int] = field(default_factory=dict)  # To tag -> RSeq of its last reliable provisional answer
    described: dict[str, bytes] = field(default_factory=dict)  # To tag -> its session description, as a worker gets it


@dataclass(slots=True)
class Dialed:
    """`dial`: over the current trunk; `left`: its untried places; `then`: over further trunks; `earlier`: abandoned
    attempts, by branch; `besides`: those that ring at the same time as `now`, which go on while any of them does."""

    dial: Dial
    left: list[Place]
    digest: DigestClient | None
    then: list[Dial]
    now: DialAttempt | None = None
    earlier: dict[str, DialAttempt] = field(default_factory=dict)
    besides: dict[str, DialAttempt] = field(default_factory=dict)
    worst: Response | None = None  # the refusal that counts, of those of other phones that rang at the same time
    challenges: int = 0  # of the current place
    moves: int = 0  # 3xx that were followed
    told: DialAttempt | None = None  # the attempt whose end has been reported


@dataclass(slots=True)
class Asked:
    """A worker's request at its caller."""

    dialog: Dialog
    request: Request
    address: tuple[str, int]  # the worker's
    refusals: int = 0  # 491: it collided with a request of the caller's
    waits: bool = False  # will be sent again
    resent: SendPublic | None = None
    initial: bool = False  # the INVITE of a call that the worker places; then:
    dialed: Dialed | None = None  # its progress
    cancelled: bool = False  # its CANCEL is wanted, and sent once a 1xx has come
    why: tuple[str, ...] = ()  # Reason values of that CANCEL
    final: SendWorker | None = None  # as sent to the worker
    offer: bytes = b""  # its description as written by the worker: each trunk gets its own version


@dataclass(frozen=True, slots=True)
class Due:
    kind: DueKind
    relay: Relay


class RelayTable:
    """Bounded: the oldest are dropped first."""

    def __init__(self, limit: int, timers: EdgeTimers) -> None:
        self._limit = limit
        self._timers = timers
        self._relays: OrderedDict[tuple[str, str], Relay] = OrderedDict()
        self._asked: OrderedDict[tuple[str, str], tuple[float, Asked]] = OrderedDict()
        self._heap: list[tuple[float, int, bool, Relay]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._relays) + len(self._asked)

    def get(self, branch: str, method: str) -> Relay | None:
        return self._relays.get((branch, method))

    def add(self, relay: Relay) -> None:
        self._relays[(relay.branch, relay.method)] = relay
        if len(self._relays) > self._limit:
            self._relays.popitem(last=False)
        self._push(relay.asking.next_at, relay)

    def await_end(self, relay: Relay, now: float) -> None:
        """Its CANCEL was sent to the worker."""
        self._push(now + self._timers.cancelled_s, relay, cancelled=True)

    def ask(self, branch: str, asked: Asked, now: float) -> None:
        self._asked[(branch, asked.request.method)] = (now, asked)
        if len(self._asked) > self._limit:
            self._asked.popitem(last=False)

    def asked(self, branch: str, method: str) -> Asked | None:
        entry = self._asked.get((branch, method))
        return entry[1] if entry is not None else None

    def due(self, now: float) -> Iterator[Due]:
        while self._heap and self._heap[0][0] <= now:
            _, _, cancelled, relay = heapq.heappop(self._heap)
            if cancelled:
                if relay.live:
                    yield Due(DueKind.NO_END, relay)
                continue
            if relay.taken or not relay.live:
                continue
            for do in relay.asking.due(now):
                if do is Do.SEND:
                    yield Due(DueKind.AGAIN, relay)
                elif do is Do.TIMED_OUT:
                    yield Due(DueKind.NOT_TAKEN, relay)
            if not relay.asking.over:
                self._push(relay.asking.next_at, relay)

    def expire(self, now: float) -> None:
        while self._asked:
            key, (at, asked) = next(iter(self._asked.items()))
            if now - at < self._timers.kept_s:
                break
            del self._asked[key]
            if asked.initial and not asked.final and asked.dialog.live:  # it rings on
                self._asked[key] = (now, asked)
        while self._relays:
            key, relay = next(iter(self._relays.items()))
            if now - relay.sent_at < self._timers.kept_s:
                return
            del self._relays[key]
            if relay.live and relay.dialog.live:  # it rings on
                relay.sent_at = now
                self._relays[key] = relay

    def _push(self, at: float, relay: Relay, *, cancelled: bool = False) -> None:
        self._count += 1
        heapq.heappush(self._heap, (at, self._count, cancelled, relay))
