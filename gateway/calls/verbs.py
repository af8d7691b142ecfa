"""What may be done with a live call from outside: one Protocol for every kind of call and room.

`Call` implements it for calls whose leg and room this process has; a job in a LiveKit room has its own implementation.
`gateway.callworker.steered` reads the API's commands and calls either.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, Self

from gateway.record import TransferKind
from telephony.call import AfterTransfer, DigitSource, UseRefer, Warm
from telephony.queue import QueueAsk

if TYPE_CHECKING:
    from gateway.calls.collecting import Collected, CollectOrder

__all__ = [
    "DigitsOrder",
    "ListenMode",
    "ListenOrder",
    "OnwardOrder",
    "SteeredCall",
    "TransferOrder",
    "VerbRefused",
    "Voice",
    "new_transfer_id",
]


class VerbRefused(Exception):
    """Nothing was done. `kind`: one word for programs; `text`: a sentence for people.

    not_talking: not answered yet, or nobody is there to do it; not_live: the call is ending; transferring: a
    transfer is in progress; on_hold: not while it is on hold; not_possible: this kind of call, room or agent cannot
    do it; no_answer: the agent does not answer; unknown_leg, no_events: of keys;
    collecting: the caller is being asked something already. From dialling: no_trunk,
    closed_destination, invalid_target, no_slot, draining, no_room, failed."""

    def __init__(self, kind: str, text: str, *, retryable: bool = False) -> None:
        super().__init__(text)
        self.kind = kind
        self.retryable = retryable


class Voice(StrEnum):
    """Whose voice is muted."""

    AGENT = "agent"  # the customer does not hear the agent
    CALLER = "caller"  # the agent does not hear the customer


class ListenMode(StrEnum):
    """Who hears a supervisor. A supervisor hears everybody."""

    LISTEN = "listen"  # nobody
    WHISPER = "whisper"  # the human who talks with the customer; nobody without one
    BARGE = "barge"  # the customer, and the human if there is one; not the agent
    TAKE_OVER = "take_over"  # the same, and the agent neither hears nor is heard


@dataclass(frozen=True, slots=True)
class TransferOrder:
    """`to`: a number, `sip:` or `tel:` address. `trunk`, `caller`: empty for the gateway's choice. `announce`: the
    agent says this first. `refer`: whether to ask the customer's side by REFER to call the target itself; never for a
    warm transfer. `afterwards`: what happens when the target leaves a bridged call before the customer. `warm`: of a
    warm transfer, how it goes. `queue`: how the customer waits in the human queue that `to` names (`queue:NAME`).
    `extension`: keys for whoever answers at `to`, before anybody is joined; the leg is ours then."""

    transfer_id: str
    to: str
    kind: TransferKind = TransferKind.COLD
    trunk: str = ""
    caller: str = ""
    announce: str = ""
    ring_s: float = 30.0
    refer: UseRefer = UseRefer.PREFER
    afterwards: AfterTransfer = AfterTransfer.END
    warm: Warm | None = None
    queue: QueueAsk | None = None
    extension: str = field(default="", repr=False)

    @property
    def ways(self) -> UseRefer:
        """Whether the customer's side may be asked: it sends no keys for us."""
        return UseRefer.NEVER if self.kind is TransferKind.WARM or self.extension else self.refer

    @property
    def targets(self) -> tuple[str, ...]:
        return (self.to, *(self.warm.also if self.warm is not None else ()))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError, ValueError."""
        own = {name: body[name] for name in cls.__dataclass_fields__}
        return cls(
            **{
                **own,
                "kind": TransferKind(own["kind"]),
                "ring_s": float(own["ring_s"]),
                "refer": UseRefer(own["refer"]),
                "afterwards": AfterTransfer(own["afterwards"]),
                "warm": None if own["warm"] is None else Warm.from_dict(own["warm"]),
                "queue": None if own["queue"] is None else QueueAsk.from_dict(own["queue"]),
            }
        )


@dataclass(frozen=True, slots=True)
class OnwardOrder:
    """`leg_id`: whose phone asks; `refer_id`: what its reports are about; `headers`: of the INVITE to the next."""

    leg_id: str
    refer_id: str
    order: TransferOrder
    headers: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError, ValueError."""
        headers = {str(name): str(value) for name, value in dict(body["headers"]).items()}
        return cls(str(body["leg_id"]), str(body["refer_id"]), TransferOrder.from_dict(body["order"]), headers)


@dataclass(frozen=True, slots=True)
class DigitsOrder:
    """Keys, with `w` and `W` for pauses of 0.5 and 1 s. `leg_id`: empty for the customer's. `way`: None for what the
    trunk's settings say, or was agreed on."""

    digits: str = field(repr=False)
    leg_id: str = ""
    way: DigitSource | None = None
    duration_ms: int = 160
    gap_ms: int = 80

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError, ValueError."""
        own = {name: body[name] for name in cls.__dataclass_fields__}
        return cls(**{**own, "way": None if own["way"] is None else DigitSource(own["way"])})


@dataclass(frozen=True, slots=True)
class ListenOrder:
    """`to`: whom to call in as supervisor, as in `TransferOrder`; `extension` too. `afterwards`: what becomes of the
    customer when a supervisor who has taken the call over hangs up."""

    to: str
    mode: ListenMode = ListenMode.LISTEN
    trunk: str = ""
    caller: str = ""
    ring_s: float = 30.0
    afterwards: AfterTransfer = AfterTransfer.AGENT
    extension: str = field(default="", repr=False)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError, ValueError."""
        own = {name: body[name] for name in cls.__dataclass_fields__}
        return cls(
            **{
                **own,
                "mode": ListenMode(own["mode"]),
                "ring_s": float(own["ring_s"]),
                "afterwards": AfterTransfer(own["afterwards"]),
            }
        )


def new_transfer_id(call_id: str) -> str:
    """Unique among all calls."""
    return f"{call_id}-t{secrets.token_hex(4)}"


class SteeredCall(Protocol):
    """All raise VerbRefused, and return once it has begun; its outcome is in the call's events and record. Hold,
    resume, mute and unmute do nothing if that is the state already."""

    def hang_up(self, reason: str, *, goodbye: bool) -> None:
        """`goodbye`: the agent says its farewell first, if there is one."""

    async def say(self, text: str, *, allow_interruptions: bool = True) -> None:
        """In the agent's voice, after the current speech."""

    def press(self, order: DigitsOrder) -> None:
        """Send keys to one leg."""

    async def collect(self, order: CollectOrder) -> Collected:
        """Ask the customer for digits; returns with them."""

    async def transfer(self, order: TransferOrder) -> None:
        """Bring the customer to somebody else."""

    def hand_on(self, asked: OnwardOrder) -> None:
        """The phone of the human who talks with the customer asks for somebody else in their place."""

    async def hold(self) -> None:
        """The customer hears hold music; the agent neither hears nor speaks, and its time limits pause."""

    async def resume(self) -> None: ...

    def pause_recording(self, paused: bool) -> None:
        """The recording is silent from now on, or goes on; on the same time axis, whoever talks. Idempotent."""

    async def mute(self, voice: Voice) -> None: ...

    async def unmute(self, voice: Voice) -> None: ...

    async def listen(self, order: ListenOrder) -> str:
        """Call in a supervisor; returns the leg's id. For one already called or listening: changes the mode."""
