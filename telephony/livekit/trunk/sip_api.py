"""The boundary to LiveKit's SIP API. `livekit_sip_api.LiveKitSipApi` implements it with livekit.api; `fakes.FakeSipApi`
is for tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from telephony.livekit.liveness import Liveness
from telephony.livekit.trunk.objects import Found, SipObject

__all__ = ["Dial", "DialFailed", "SipCalls", "SipObjects", "Transfer"]


@dataclass(frozen=True, slots=True)
class Dial:
    """A call to place. `caller` empty: one of the trunk's numbers. `digits` are sent once it is answered."""

    trunk_id: str
    number: str
    room: str
    identity: str
    ringing_timeout_s: float
    caller: str = ""
    name: str = ""
    display_name: str = ""
    digits: str = ""
    max_call_s: float = 0.0  # 0: LiveKit's own limit
    attributes: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Transfer:
    """A call to hand over. `to`: a sip: or tel: URI."""

    room: str
    identity: str
    to: str
    ringing_timeout_s: float
    play_dialtone: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


class DialFailed(Exception):
    """An INVITE or REFER failed. `sip_status` 0: no final status came. `gave_up`: our limit for ringing."""

    def __init__(self, sip_status: int, text: str, *, gave_up: bool = False) -> None:
        super().__init__(f"{sip_status} {text}")
        self.sip_status = sip_status
        self.text = text
        self.gave_up = gave_up


class SipObjects(Protocol):
    """Trunks and rules. All methods raise LiveKitError."""

    async def objects(self) -> tuple[Found, ...]:
        """All objects. Rules refer to our trunks by name, and to others by LiveKit's ID."""

    async def create(self, thing: SipObject, trunk_ids: Mapping[str, str]) -> str:
        """Returns its ID. `trunk_ids`: IDs of the inbound trunks that rules name."""

    async def update(self, id: str, thing: SipObject, trunk_ids: Mapping[str, str]) -> None:
        """Set our fields and leave the others as they are."""

    async def delete(self, id: str, thing: SipObject) -> None: ...


class SipCalls(Protocol):
    """Calls. All methods raise LiveKitError; dial and transfer raise DialFailed too."""

    async def outbound_trunk_ids(self) -> Mapping[str, str]:
        """IDs of all outbound trunks, by LiveKit's name for them."""

    async def dial(self, dial: Dial) -> str:
        """Wait until the call is answered; returns LiveKit's ID of it."""

    async def transfer(self, transfer: Transfer) -> None:
        """Wait until the target has answered."""

    async def remove(self, room: str, identity: str) -> bool:
        """End the call of this participant, also while it rings. False: there is no such participant."""

    async def liveness(self, room: str, identity: str) -> Liveness:
        """Whether the LiveKit SIP of this participant's call still runs. Never raises."""
