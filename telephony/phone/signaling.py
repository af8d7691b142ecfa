"""What a call needs from its phone, and what it reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from telephony.phone.dialog import Dialog, Received
from telephony.phone.sdp import CodecName
from telephony.phone.transaction import ClientTransaction
from telephony.phone.transport import Address
from telephony.sip.new_request import NewRequest
from telephony.sip.parse import Response
from telephony.sip.transactions import Timers

__all__ = ["CallEnded", "InDialogRequest", "Signaling"]


@dataclass(frozen=True, slots=True)
class CallEnded:
    """`by`: "us" (hang_up, cancel, reject), "peer" (BYE, CANCEL) or "failed" (never answered).

    `status`: of the BYE's answer (408 without one), 200 for the peer's BYE, or the INVITE's final status.
    `reason`: the peer's Reason header or reason phrase.
    """

    by: Literal["us", "peer", "failed"]
    at: float  # seconds, loop clock
    status: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class InDialogRequest:
    """A request from the peer during the call: INFO, REFER, re-INVITE, UPDATE, BYE ..."""

    at: float
    method: str
    headers: Mapping[str, str]
    body: str


class Signaling(Protocol):
    """What a call needs from its phone."""

    host: str
    reliable: bool
    timers: Timers
    codecs: Sequence[CodecName]

    def transact(
        self, request: NewRequest, to: Address, on_response: Callable[[Response], None] | None = None
    ) -> ClientTransaction: ...

    def send(self, request: NewRequest, to: Address) -> None:
        """Without a transaction: ACK."""

    def reply(self, request: Received, response: bytes) -> None: ...

    def authorize(self, request: NewRequest, challenge: Response) -> bool:
        """Add credentials to `request`; False if there are none for this challenge."""

    def forget(self, dialog: Dialog) -> None:
        """The call is over."""
