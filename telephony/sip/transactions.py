"""The transactions of RFC 3261 section 17, with the corrections of RFC 6026, as tables. Pure.

A transaction gets events (`Came`) and the time (`due`), and returns actions (`Do`). It holds no message: its user keeps
the request and the last response, and sends them when told to.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from telephony.errors import TelephonyMisuse
from telephony.sip.drawn import drawn

__all__ = [
    "CLIENT_INVITE",
    "CLIENT_OTHER",
    "SERVER_INVITE",
    "SERVER_OTHER",
    "Came",
    "Do",
    "Machine",
    "State",
    "Timers",
    "Transaction",
    "came_of",
    "table",
]


class State(StrEnum):
    CALLING = "calling"
    TRYING = "trying"
    PROCEEDING = "proceeding"
    COMPLETED = "completed"  # a non-2xx final answer to an INVITE
    ACCEPTED = "accepted"  # a 2xx to an INVITE: it may come again (RFC 6026)
    CONFIRMED = "confirmed"
    TERMINATED = "terminated"


class Came(StrEnum):
    """For a client: the peer's answer. For a server: its user's answer, or the peer's request."""

    PROVISIONAL = "1xx"
    SUCCESS = "2xx"
    FAILURE = "3xx-6xx"
    REQUEST = "the request again"
    ACK = "ACK"
    AGAIN = "time to send again"  # timers A, E, G
    LIMIT = "time limit"  # timers B, F, H
    OVER = "time to forget"  # timers D, I, J, K, L, M


class Do(StrEnum):
    SEND = "send"  # a client its request, a server its last response
    ACKNOWLEDGE = "acknowledge"  # a non-2xx answer (section 17.1.1.3)
    TELL = "tell"  # the response, to the client's user; the ACK, to the server's
    TIMED_OUT = "timed out"


@dataclass(frozen=True, slots=True)
class Timers:
    """Seconds (RFC 3261 table 4)."""

    t1: float = 0.5
    t2: float = 4.0
    t4: float = 5.0
    limit_s: float | None = None  # None: 64 T1; less on a hop that loses next to nothing

    @property
    def limit(self) -> float:
        """Timers B, F, H, J, L and M."""
        return 64 * self.t1 if self.limit_s is None else self.limit_s


@dataclass(frozen=True, slots=True)
class Stay:
    """What runs while a transaction is in a state. `again`: the first gap as a multiple of T1 or None for none, which
    doubles up to T2 if it is `bounded`; only over UDP. `limit` and `over`: when `Came.LIMIT` and `Came.OVER` come."""

    again: str = ""  # "t1" or "t2": the first gap; empty: nothing is sent again
    bounded: bool = True
    again_if_reliable: bool = False
    limit: bool = False  # 64 T1 after the transaction, or for a server this state, began
    over: str = ""  # "limit" or "t4", after this state began
    over_at_once_if_reliable: bool = False


_USUAL = Timers()
_NOTHING = Stay()

Steps = Mapping[tuple[State, Came], tuple[State, tuple[Do, ...]]]


@dataclass(frozen=True, slots=True)
class Machine:
    """One of the four kinds. Events in `absorbed` but not in `steps` come from the network and are ignored."""

    name: str
    first: State
    steps: Steps
    stays: Mapping[State, Stay]
    absorbed: frozenset[tuple[State, Came]]


def _machine(name: str, first: State, steps: Steps, stays: Mapping[State, Stay], network: frozenset[Came]) -> Machine:
    states = {first, State.TERMINATED} | {state for state, _ in steps}
    absorbed = {(state, came) for state in states for came in network if (state, came) not in steps}
    timers = {(State.TERMINATED, came) for came in (Came.AGAIN, Came.LIMIT, Came.OVER)}
    return Machine(name, first, steps, stays, frozenset(absorbed | timers))


_S, _C, _D = State, Came, Do
_ANSWERS = frozenset({_C.PROVISIONAL, _C.SUCCESS, _C.FAILURE})

CLIENT_INVITE = _machine(  # figure 5
    "client INVITE",
    _S.CALLING,
    {
        (_S.CALLING, _C.AGAIN): (_S.CALLING, (_D.SEND,)),
        (_S.CALLING, _C.LIMIT): (_S.TERMINATED, (_D.TIMED_OUT,)),
        (_S.CALLING, _C.PROVISIONAL): (_S.PROCEEDING, (_D.TELL,)),
        (_S.CALLING, _C.SUCCESS): (_S.ACCEPTED, (_D.TELL,)),
        (_S.CALLING, _C.FAILURE): (_S.COMPLETED, (_D.ACKNOWLEDGE, _D.TELL)),
        (_S.PROCEEDING, _C.PROVISIONAL): (_S.PROCEEDING, (_D.TELL,)),
        (_S.PROCEEDING, _C.SUCCESS): (_S.ACCEPTED, (_D.TELL,)),
        (_S.PROCEEDING, _C.FAILURE): (_S.COMPLETED, (_D.ACKNOWLEDGE, _D.TELL)),
        (_S.COMPLETED, _C.FAILURE): (_S.COMPLETED, (_D.ACKNOWLEDGE,)),
        (_S.COMPLETED, _C.OVER): (_S.TERMINATED, ()),
        (_S.ACCEPTED, _C.SUCCESS): (_S.ACCEPTED, (_D.TELL,)),  # its user acknowledges each
        (_S.ACCEPTED, _C.OVER): (_S.TERMINATED, ()),
    },
    {
        _S.CALLING: Stay(again="t1", bounded=False, limit=True),  # A, B
        _S.COMPLETED: Stay(over="limit", over_at_once_if_reliable=True),  # D
        _S.ACCEPTED: Stay(over="limit"),  # M
    },
    _ANSWERS,
)

CLIENT_OTHER = _machine(  # figure 6
    "client",
    _S.TRYING,
    {
        (_S.TRYING, _C.AGAIN): (_S.TRYING, (_D.SEND,)),
        (_S.TRYING, _C.LIMIT): (_S.TERMINATED, (_D.TIMED_OUT,)),
        (_S.TRYING, _C.PROVISIONAL): (_S.PROCEEDING, (_D.TELL,)),
        (_S.TRYING, _C.SUCCESS): (_S.COMPLETED, (_D.TELL,)),
        (_S.TRYING, _C.FAILURE): (_S.COMPLETED, (_D.TELL,)),
        (_S.PROCEEDING, _C.AGAIN): (_S.PROCEEDING, (_D.SEND,)),
        (_S.PROCEEDING, _C.LIMIT): (_S.TERMINATED, (_D.TIMED_OUT,)),
        (_S.PROCEEDING, _C.PROVISIONAL): (_S.PROCEEDING, (_D.TELL,)),
        (_S.PROCEEDING, _C.SUCCESS): (_S.COMPLETED, (_D.TELL,)),
        (_S.PROCEEDING, _C.FAILURE): (_S.COMPLETED, (_D.TELL,)),
        (_S.COMPLETED, _C.OVER): (_S.TERMINATED, ()),
    },
    {
        _S.TRYING: Stay(again="t1", limit=True),  # E, F
        _S.PROCEEDING: Stay(again="t2", limit=True),
        _S.COMPLETED: Stay(over="t4", over_at_once_if_reliable=True),  # K
    },
    _ANSWERS,
)

SERVER_INVITE = _machine(  # figure 7; a 2xx is sent again until its ACK by the user of RFC 3261 section 13.3.1.4: here
    "server INVITE",
    _S.PROCEEDING,
    {
        (_S.PROCEEDING, _C.REQUEST): (_S.PROCEEDING, (_D.SEND,)),
        (_S.PROCEEDING, _C.PROVISIONAL): (_S.PROCEEDING, (_D.SEND,)),
        (_S.PROCEEDING, _C.SUCCESS): (_S.ACCEPTED, (_D.SEND,)),
        (_S.PROCEEDING, _C.FAILURE): (_S.COMPLETED, (_D.SEND,)),
        (_S.COMPLETED, _C.REQUEST): (_S.COMPLETED, (_D.SEND,)),
        (_S.COMPLETED, _C.AGAIN): (_S.COMPLETED, (_D.SEND,)),
        (_S.COMPLETED, _C.LIMIT): (_S.TERMINATED, (_D.TIMED_OUT,)),
        (_S.COMPLETED, _C.ACK): (_S.CONFIRMED, (_D.TELL,)),
        (_S.ACCEPTED, _C.AGAIN): (_S.ACCEPTED, (_D.SEND,)),
        (_S.ACCEPTED, _C.LIMIT): (_S.TERMINATED, (_D.TIMED_OUT,)),
        (_S.ACCEPTED, _C.ACK): (_S.CONFIRMED, (_D.TELL,)),
        (_S.CONFIRMED, _C.OVER): (_S.TERMINATED, ()),
    },
    {
        _S.COMPLETED: Stay(again="t1", limit=True),  # G, H
        _S.ACCEPTED: Stay(again="t1", again_if_reliable=True, limit=True),  # a later hop may be UDP
        _S.CONFIRMED: Stay(over="t4", over_at_once_if_reliable=True),  # I
    },
    frozenset({_C.REQUEST, _C.ACK}),
)

SERVER_OTHER = _machine(  # figure 8
    "server",
    _S.TRYING,
    {
        (_S.TRYING, _C.PROVISIONAL): (_S.PROCEEDING, (_D.SEND,)),
        (_S.TRYING, _C.SUCCESS): (_S.COMPLETED, (_D.SEND,)),
        (_S.TRYING, _C.FAILURE): (_S.COMPLETED, (_D.SEND,)),
        (_S.PROCEEDING, _C.REQUEST): (_S.PROCEEDING, (_D.SEND,)),
        (_S.PROCEEDING, _C.PROVISIONAL): (_S.PROCEEDING, (_D.SEND,)),
        (_S.PROCEEDING, _C.SUCCESS): (_S.COMPLETED, (_D.SEND,)),
        (_S.PROCEEDING, _C.FAILURE): (_S.COMPLETED, (_D.SEND,)),
        (_S.COMPLETED, _C.REQUEST): (_S.COMPLETED, (_D.SEND,)),
        (_S.COMPLETED, _C.OVER): (_S.TERMINATED, ()),
    },
    {_S.COMPLETED: Stay(over="limit", over_at_once_if_reliable=True)},  # J
    frozenset({_C.REQUEST}),
)


def came_of(status: int) -> Came:
    """The event for a response. Raises ValueError for an invalid SIP status."""
    if not 100 <= status <= 699:
        raise ValueError(f"{status} is not a SIP status")
    return _C.PROVISIONAL if status < 200 else _C.SUCCESS if status < 300 else _C.FAILURE


def table(machine: Machine) -> str:
    """Its steps as Markdown, for docs/edge.md: the next state, if different, and the action."""

    def cell(state: State, came: Came) -> str:
        step = machine.steps.get((state, came))
        if step is None:
            return ""
        after, actions = step
        parts = [] if after is state else [f"**{after.value}**"]
        return ", ".join(parts + [action.value for action in actions]) or "-"

    states = dict.fromkeys(state for state, _ in machine.steps)
    return drawn(states, [came for came in Came if any((state, came) in machine.steps for state in states)], cell)


class Transaction:
    """One transaction. `reliable`: over TCP or TLS, where nothing is sent again. A client has just sent its request; a
    server has just had its. All times are seconds of one clock."""

    def __init__(self, machine: Machine, now: float, *, reliable: bool, timers: Timers | None = None) -> None:
        self._machine = machine
        self._reliable = reliable
        self._timers = timers or _USUAL
        self._began = now
        self._gap = 0.0
        self._again_at = self._limit_at = self._over_at = math.inf
        self.state = machine.first
        self._enter(now)

    @property
    def over(self) -> bool:
        return self.state is State.TERMINATED

    @property
    def next_at(self) -> float:
        """When `due` is to be called; infinite when no timer runs."""
        return min(self._again_at, self._limit_at, self._over_at)

    def came(self, what: Came, now: float) -> tuple[Do, ...]:
        """Raises TelephonyMisuse for something that our own side may not do in this state."""
        step = self._machine.steps.get((self.state, what))
        if step is None:
            if (self.state, what) in self._machine.absorbed:
                return ()
            raise TelephonyMisuse(f"{self._machine.name} transaction: {what} is not possible while {self.state}")
        state, actions = step
        if state is not self.state:
            self.state = state
            self._enter(now)
        return actions

    def due(self, now: float) -> tuple[Do, ...]:
        """The actions of due timers."""
        actions: tuple[Do, ...] = ()
        while self.next_at <= now:
            if self._limit_at <= now:
                actions += self.came(Came.LIMIT, now)
            elif self._over_at <= now:
                actions += self.came(Came.OVER, now)
            else:
                actions += self.came(Came.AGAIN, now)
                self._gap *= 2
                if self._machine.stays[self.state].bounded:
                    self._gap = min(self._gap, self._timers.t2)
                self._again_at = now + self._gap
        return actions

    def _enter(self, now: float) -> None:
        """Set the timers of the current state."""
        stay, timers = self._machine.stays.get(self.state, _NOTHING), self._timers
        self._again_at = self._over_at = math.inf
        if stay.again and (not self._reliable or stay.again_if_reliable):
            self._gap = timers.t1 if stay.again == "t1" else timers.t2
            self._again_at = now + self._gap
        if stay.over:
            wait = timers.t4 if stay.over == "t4" else timers.limit
            self._over_at = now if stay.over_at_once_if_reliable and self._reliable else now + wait
        is_client = self._machine.first in (State.CALLING, State.TRYING)
        begun = self._began if is_client else now
        self._limit_at = begun + timers.limit if stay.limit else math.inf
