"""What a customer hears who waits, as a participant of the room that nobody else hears and no recording has."""

from __future__ import annotations

import asyncio

from gateway.calls.floor import MUSIC
from telephony.media.tones import ringback, silence, tone
from telephony.rooms.protocol import AudioOutput, Participant, Room

__all__ = ["HOLD", "RINGING", "Music"]

RINGING = ringback()
HOLD = b"".join((tone(523.25, 500, -24.0), tone(587.33, 500, -24.0), tone(783.99, 800, -24.0), silence(2200)))
_AHEAD_MS = 400  # of the end: when the next round is queued


class Music:
    def __init__(self, room: Room) -> None:
        self._room = room
        self._place: Participant | None = None
        self._playing: asyncio.Task[None] | None = None

    def play(self, sound: bytes) -> None:
        """Over and over, from its beginning, instead of what is played now. `sound`: 8 kHz 16-bit, a second or more."""
        self._cut()
        if self._place is None:
            self._place = self._room.add_agent(MUSIC, recorded=False)
        self._place.audio_output.push(sound)
        self._playing = asyncio.create_task(_repeat(self._place.audio_output, sound), name="music")

    def stop(self) -> None:
        """Idempotent."""
        self._cut()
        place, self._place = self._place, None
        if place is not None:
            place.leave()

    def _cut(self) -> None:
        if self._playing is not None:
            self._playing.cancel()
            self._playing = None
        if self._place is not None:
            self._place.audio_output.clear()


async def _repeat(output: AudioOutput, sound: bytes) -> None:
    """Until it is cut, or the room is closed."""
    while await output.wait_played(output.queued_ms - _AHEAD_MS) is not None:
        output.push(sound)
