"""The room protocol: where a call's audio meets. See docs/architecture.md for the clock.

A room has participants. A *leg* participant (a phone) pushes and pulls one frame every 20 ms on its own media
thread. An *agent* participant hears frames on the asyncio loop and queues speech of any length, which the room
plays out at the pace of the room's clock: the first leg's pull.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from telephony.media.frames import AudioFrame
from telephony.rooms.routes import Rows

__all__ = ["AudioInput", "AudioOutput", "LegAudio", "Participant", "Recorder", "Room", "SpeaksBeside", "TakesAgents"]


class LegAudio(Protocol):
    """A leg's place in a room. Called on the leg's media thread, every 20 ms, for at most some tens of
    microseconds; must not block, raise, or touch asyncio other than through call_soon_threadsafe."""

    def push(self, pcm: bytes, at: float) -> None:
        """The leg heard one 20 ms frame (FRAME_BYTES), at loop-clock time `at`."""

    def pull(self, at: float) -> bytes:
        """The next 20 ms frame for the leg to send: the mix of everybody else. Always FRAME_BYTES."""


class AudioInput(Protocol):
    """What an agent hears, on the loop: a mix of everybody it may hear, or one of them alone."""

    def subscribe(self, on_frame: Callable[[AudioFrame], None]) -> Callable[[], None]:
        """Call `on_frame` on the loop for each 20 ms frame, in order; call the result to unsubscribe. Frames heard
        before anyone subscribed (up to 5 s of them) are delivered first, to the first subscriber."""


class AudioOutput(Protocol):
    """What an agent says: a queue of audio that the room plays out. All methods are called on the loop.

    Positions are milliseconds of queued audio since the output was created. They advance only with audio, not with
    silence, so `played_ms` says how much of the pushed audio has really been sent to the phone.
    """

    @property
    def queued_ms(self) -> float:
        """Position of the end of the pushed audio (cleared audio counts as never pushed)."""

    @property
    def played_ms(self) -> float:
        """Position up to which the leg has taken the audio."""

    def push(self, pcm: bytes) -> None:
        """Queue 8 kHz 16-bit audio: any whole number of samples. A partial last frame waits for more audio or
        `flush`."""

    def flush(self) -> None:
        """Pad a partial last frame with silence so that it is played."""

    def pause(self) -> None:
        """Play silence from the next frame on; the queue stays."""

    def resume(self) -> None: ...

    def set_gain(self, gain: float, over_ms: float = 0.0) -> None:
        """Volume from the next frame on: 1.0 as pushed, 0.1 for speech over music (ducking), 0 silent; ramped linearly
        over this much audio. Raises ValueError outside 0 to 4."""

    def clear(self) -> float:
        """Drop unplayed audio, end a pause, release all waiters; return `played_ms`."""

    async def wait_played(self, position_ms: float) -> float | None:
        """Wait until the frame that holds `position_ms` has been taken; return its loop-clock time,
        or None if it was cleared first."""

    async def drained(self) -> None:
        """Wait until everything pushed has been played or cleared."""


class Recorder(Protocol):
    """Takes each 20 ms of a room, in step with its clock. Called on the media thread: must not block or raise."""

    def write(self, caller: bytes, others: bytes) -> None: ...


class Participant(Protocol):
    """An agent's place in a room."""

    @property
    def identity(self) -> str: ...

    @property
    def audio_input(self) -> AudioInput: ...

    @property
    def audio_output(self) -> AudioOutput: ...

    def hear_apart(self, source: str) -> AudioInput:
        """One other participant alone, present or not: silence while it is absent or the routes hide it from us.
        Returns the same object each time."""

    def leave(self) -> None: ...


@runtime_checkable
class TakesAgents(Protocol):
    """A room as an agent sees it."""

    def add_agent(self, identity: str, *, recorded: bool = True) -> Participant:
        """`recorded`: False for audio that does not belong in the recording, such as hold music."""


@runtime_checkable
class SpeaksBeside(Protocol):
    """A room of which an agent's place beside one leg is another matter than one among all."""

    def add_beside(self, leg: str, identity: str) -> Participant:
        """Heard by this leg, and by those who are routed to hear `identity`; it hears the leg alone. Raises
        TelephonyError."""


class Room(TakesAgents, Protocol):
    @property
    def name(self) -> str: ...

    async def route(self, rows: Rows) -> None:
        """Set who hears whom from the next frame on, all rows at once: listener -> the identities that it hears, or
        None for everybody else (the default without a row)."""

    def add_leg(self, identity: str) -> LegAudio:
        """A phone joins. The first one is the room's clock and the left channel of its recording."""

    def remove(self, identity: str) -> None:
        """A participant leaves; the clock passes to the next leg. Idempotent."""

    async def close(self) -> None:
        """Everyone leaves; waiters for playout are released. Idempotent."""
