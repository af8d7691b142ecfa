"""Further legs: a call's request to the gateway, the gateway's decision, and who places the leg. The bodies of two
questions on the control channel: a worker asks `DIAL`, and the gateway asks `PLACE` of the worker that will hold the
leg.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, Self

from gateway.calls.leg_owner import LegOwner
from gateway.calls.verbs import TransferOrder
from telephony.call import CallInfo, Direction, Leg, LegRole
from telephony.keys import KeyTerms
from telephony.rooms.protocol import LegAudio

__all__ = [
    "DIAL",
    "INVALID_VARIABLE",
    "MOVE_LEG",
    "ORIGINATE",
    "PLACE",
    "REFER",
    "REFER_REPORT",
    "DialOrder",
    "Dialler",
    "LegPlan",
    "PlacedLeg",
    "call_info",
]

DIAL = "dial"
PLACE = "place_leg"
REFER = "refer"  # a worker asks the gateway; body {call_id, leg_id, to, trunk, replaces, only_uri}
REFER_REPORT = "refer_report"  # a worker tells the gateway; body {refer_id, status, reason}
MOVE_LEG = "move_leg"  # a worker asks the gateway; body {from_leg, to_leg}; its answer {status, reason}
ORIGINATE = "originate"  # the gateway asks a worker to place a call; body {prepare, plan}
INVALID_VARIABLE = "invalid_variable"  # its refusal: a text of the persona names a variable that the call has not


def call_info(fields: Mapping[str, Any]) -> CallInfo:
    """The inverse of `dataclasses.asdict`, after JSON."""
    return CallInfo(**{**fields, "direction": Direction(fields["direction"])})


@dataclass(frozen=True, slots=True)
class DialOrder:
    """`to`: a number. `trunk`, `caller`: empty for the gateway's choice. `headers`: of the INVITE, checked."""

    call_id: str
    leg_id: str
    to: str
    role: LegRole = LegRole.HUMAN
    trunk: str = ""
    caller: str = ""
    ring_limit_s: float = 30.0
    private: bool = False  # the called side is not to see the number
    headers: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError, ValueError."""
        own = {name: body[name] for name in cls.__dataclass_fields__}
        return cls(
            **{
                **own,
                "role": LegRole(own["role"]),
                "ring_limit_s": float(own["ring_limit_s"]),
                "headers": {str(name): str(value) for name, value in dict(own["headers"]).items()},
            }
        )


@dataclass(frozen=True, slots=True)
class LegPlan:
    """How a worker places a leg. `edge`: where its INVITE goes. `media_networks`: where the audio of a peer behind NAT
    may come from. `keys`: how those of its trunk go. `carrier`: of LiveKit SIP, which dials it and stops its ringing;
    empty: it goes over the edge."""

    leg_id: str
    role: LegRole
    info: CallInfo
    edge: tuple[str, int]
    media_networks: tuple[str, ...] = field(default=())
    carrier: str = ""
    ring_limit_s: float = 30.0
    keys: KeyTerms = field(default_factory=KeyTerms)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError, ValueError."""
        host, port = body["edge"]
        return cls(
            str(body["leg_id"]),
            LegRole(body["role"]),
            call_info(body["info"]),
            (str(host), int(port)),
            tuple(body["media_networks"]),
            str(body["carrier"]),
            float(body["ring_limit_s"]),
            KeyTerms.of(body["keys"]),
        )


@dataclass(frozen=True, slots=True)
class PlacedLeg:
    """`elsewhere`: another worker holds it, watches its media and keeps its record."""

    leg: Leg
    elsewhere: bool


class Dialler(Protocol):
    async def dial(self, order: DialOrder, audio: LegAudio) -> PlacedLeg:
        """Have the leg placed, here or in another worker, and joined to `audio`. Its events say what becomes of it.
        Raises DialRefused."""

    async def refer(self, call_id: str, leg_id: str, order: TransferOrder, *, replaces: str = "") -> None:
        """Ask the leg's peer by REFER to call the order's target. What becomes of it is told to the call. `replaces`:
        to call the peer of that leg instead, in the place of our call to it. Raises DialRefused."""

    def report_refer(self, refer_id: str, status: int, reason: str) -> None:
        """A phone has handed the customer on by REFER: what becomes of it. From 200 on it is the last report."""

    async def move_leg(self, from_leg: str, to_leg: str) -> None:
        """The peer of one leg of a call takes the place of another leg's, which leaves. Raises DialRefused."""

    async def ask_queues(self, call_id: str, verb: str, how: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask the gateway's queues (`gateway.calls.queue_terms`) for this call. Raises DialRefused."""

    def hold(self, owner: LegOwner) -> None:
        """A leg placed here has its owner: it is this worker's until it ends."""
