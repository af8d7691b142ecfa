"""One participant's connection to a LiveKit room: the boundary to the SDK. Used on the asyncio loop, except for audio.

`rtc_connection.RtcConnection` implements it with livekit.rtc; `fakes.FakeConnection` is for tests.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from telephony.livekit.events import LiveKitEvent, RemoteParticipant

__all__ = ["Connection", "ConnectionListener", "Disconnected", "RpcHandler"]

RpcHandler = Callable[[str, str], Awaitable[str]]  # (caller's identity, payload) -> answer


@dataclass(frozen=True, slots=True)
class Disconnected(LiveKitEvent):
    """A connection's last event. `reason`: LiveKit's, in lower case."""

    reason: str


class ConnectionListener(Protocol):
    """Receives a connection's events and audio. Must not raise."""

    def happened(self, event: LiveKitEvent) -> None:
        """Called on the loop."""

    def heard(self, track: str, pcm: bytes) -> None:
        """20 ms of 8 kHz audio from a remote track. Called on any thread."""


class Connection(Protocol):
    @property
    def room_name(self) -> str: ...

    @property
    def metadata(self) -> str: ...

    @property
    def track(self) -> str:
        """The sid of our own track; empty before `publish`."""

    def participants(self) -> tuple[RemoteParticipant, ...]: ...

    async def open(self, url: str, token: str, timeout_s: float) -> None:
        """Join. Raises LiveKitError."""

    async def publish(self) -> None:
        """Publish our audio track. Raises LiveKitError."""

    def play(self, pcm: bytes) -> None:
        """Send 20 ms on that track now, from any thread. Does nothing without a track."""

    def mute(self, muted: bool) -> None:
        """Tell the others that our track is (not) muted."""

    async def send_data(self, payload: bytes, topic: str, to: Sequence[str]) -> None:
        """Send reliably, to these identities or to all. Raises LiveKitError."""

    async def send_digit(self, digit: str) -> None:
        """Send a SIP DTMF event, to all. Raises LiveKitError."""

    async def call(self, identity: str, method: str, payload: str, timeout_s: float) -> str:
        """Raises RpcFailed."""

    def serve(self, method: str, handler: RpcHandler) -> None:
        """Answer calls of `method`; a LiveKitError from the handler is passed to the caller."""

    async def set_attributes(self, attributes: dict[str, str]) -> None:
        """Set our attributes; an empty value removes one. Raises LiveKitError."""

    async def close(self) -> None:
        """Leave. Idempotent, never raises."""
