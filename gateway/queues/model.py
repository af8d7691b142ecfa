"""What a human queue is made of, as types. Times are seconds of UTC (`time.time()`), since gateways share them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = [
    "Absent",
    "Action",
    "Announce",
    "CallBack",
    "LeaveWith",
    "LetGo",
    "Member",
    "MemberState",
    "Offer",
    "OfferEnd",
    "Overflow",
    "Place",
    "Queue",
    "QueueState",
    "Skill",
    "Strategy",
    "Waiting",
    "WaitingEnd",
]


class Strategy(StrEnum):
    """Whom of the free members a caller is offered to; the lowest penalty goes first in all of them."""

    RING_ALL = "ring_all"  # all at once; the first to accept has the caller
    LEAST_RECENT = "least_recent"  # whose last call ended longest ago
    FEWEST_CALLS = "fewest_calls"  # who took the fewest today
    RANDOM = "random"
    ROUND_ROBIN = "round_robin"  # after the one who was offered the last caller, also over a restart
    LINEAR = "linear"  # in the order of the settings
    WEIGHTED = "weighted"  # by chance, in proportion to the members' weights


class Absent(StrEnum):
    """When a queue counts as one without members, so that its callers go to the overflow at once."""

    NEVER = "never"
    SIGNED_OUT = "signed_out"  # nobody is signed in
    AWAY = "away"  # nobody is signed in, reachable and not paused


class LeaveWith(StrEnum):
    """How a caller may leave a queue by themselves."""

    AGENT = "agent"  # back to the agent, or the overflow where there is none
    CALLBACK = "callback"  # keeps the place, and is rung


@dataclass(frozen=True, slots=True)
class Skill:
    name: str
    level: int = 1  # the least that is wanted, or what a member has; 1 to 10


@dataclass(frozen=True, slots=True)
class Overflow:
    """Where a caller goes who may wait no longer. Exactly one is given."""

    queue: str = ""
    persona: str = ""
    number: str = ""  # or a `sip:` or `tel:` address
    voicemail: bool = False  # the persona's message taker


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue as the settings have it. 0 for a limit: none."""

    name: str
    strategy: Strategy = Strategy.LEAST_RECENT
    weight: int = 1  # among queues that want the same member: the heavier one's caller goes first
    ring_s: float = 20.0  # each member
    retry_s: float = 5.0  # before a member who did not accept is offered the same queue again
    wrap_up_s: float = 0.0  # for a member, after each call
    most_waiting: int = 0  # callers; callbacks do not count
    most_wait_s: float = 0.0
    overflow: Overflow | None = None  # None: back to the agent, or a polite end
    overflow_if: Absent = Absent.SIGNED_OUT
    closed_since: float | None = None  # outside of its hours: who joined before it is still served; callbacks wait
    service_level_s: float = 20.0  # answered within it counts
    skills: tuple[Skill, ...] = ()  # wanted of members, beside the caller's own
    widen_after_s: float = 0.0  # then any member will do, those that lack least first; 0: never
    announce_every_s: float = 0.0  # position and estimated wait; 0: never
    leave_by_key: Mapping[str, LeaveWith] = field(default_factory=dict)
    agent_helps: bool = False  # the agent keeps talking with the caller while the queue searches
    callback_attempts: int = 3  # to reach a person who has asked for a callback
    callback_retry_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Place:
    """A member's place in one queue."""

    queue: str
    penalty: int = 0
    weight: int = 1
    order: int = 0  # of the settings


@dataclass(frozen=True, slots=True)
class Member:
    """A human as the settings (or REST) have them. `target`: `phone:NAME`, `sip:` or `tel:` address, or a number."""

    name: str
    target: str
    places: tuple[Place, ...] = ()
    skills: tuple[Skill, ...] = ()
    at_once: int = 1  # calls
    signed_in: bool = True  # until they first sign in or out


@dataclass(frozen=True, slots=True)
class MemberState:
    """What is known of a member now. Survives restarts."""

    name: str
    signed_in: bool = True
    paused: str = ""  # the reason; empty: not paused
    reachable: bool = True  # False: its phone has no registration
    busy: int = 0  # offers and calls that they have
    ringing: bool = False  # one of them is an offer: they are offered one caller at a time
    wraps_up_until: float = 0.0
    last_ended_at: float = 0.0  # their last call of any queue
    last_offered_at: float = 0.0
    taken_today: int = 0
    refused_at: Mapping[str, float] = field(default_factory=dict)  # queue -> the last offer that was not accepted


class OfferEnd(StrEnum):
    ACCEPTED = "accepted"
    DECLINED = "declined"
    NO_ANSWER = "no_answer"
    UNREACHABLE = "unreachable"  # busy, not registered, a machine, failed
    WITHDRAWN = "withdrawn"  # the caller has gone, or somebody else accepted


class WaitingEnd(StrEnum):
    ANSWERED = "answered"
    ABANDONED = "abandoned"  # the caller hung up
    LEFT = "left"  # by a key or a word, back to the agent
    CALLBACK = "callback"  # asked for one, which waits on in their place
    OVERFLOWED = "overflowed"
    LOST = "lost"  # its worker or gateway died
    UNREACHED = "unreached"  # called back in vain, as often as the queue allows
    CANCELLED = "cancelled"  # a callback that is no longer wanted


@dataclass(frozen=True, slots=True)
class Waiting:
    """One caller (or callback) in a queue. `gateway`: whose call it is, and who alone acts for it."""

    call_id: str
    queue: str
    gateway: str
    joined_at: float
    priority: int = 0  # higher goes first
    skills: tuple[Skill, ...] = ()
    offered_to: tuple[str, ...] = ()  # members who are being rung for it now
    announced_at: float = 0.0
    offers: int = 0  # so far, to each member
    callback_to: str = ""  # a number: rung when a member is free; the call of joining has ended
    callback_member_first: bool = True
    callback_attempts: int = 0  # in vain
    callback_at: float = 0.0  # not before


@dataclass(frozen=True, slots=True)
class QueueState:
    """Everything that a decision is made from; `service_s`: mean talk and wrap-up time by queue, of measured calls."""

    queues: tuple[Queue, ...]
    members: tuple[Member, ...]
    states: Mapping[str, MemberState]  # by member
    waiting: tuple[Waiting, ...]
    service_s: Mapping[str, float] = field(default_factory=dict)
    last_member: Mapping[str, str] = field(default_factory=dict)  # queue -> who was offered its last caller


# --- what to do: `gateway.queues.deciding.decide` returns these, for one gateway's callers only ---


@dataclass(frozen=True, slots=True)
class Offer:
    """Ring these members for the caller: one, or all of ring-all. Each is claimed in the store before it is rung."""

    call_id: str
    queue: str
    members: tuple[str, ...]
    ring_s: float


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell the caller its position, from 1, and the estimated wait (None: not known)."""

    call_id: str
    position: int
    wait_s: float | None


@dataclass(frozen=True, slots=True)
class LetGo:
    """The caller may wait no longer."""

    call_id: str
    reason: str  # "full", "too_long", "no_members", "closed", "no_queue"
    to: Overflow | None


@dataclass(frozen=True, slots=True)
class CallBack:
    """Call a person back who has asked for it, and this member."""

    call_id: str
    to: str
    member: str
    member_first: bool


Action = Offer | Announce | LetGo | CallBack
