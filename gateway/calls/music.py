"""What a customer hears who waits, as a participant of the room that nobody else hears and no recording has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from agent.clock import has_real_time
from agent.pipeline.sound_file import load_sound
from gateway.calls.floor import MUSIC
from gateway.config import HoldMusicSettings
from telephony.media.frames import SAMPLE_RATE
from telephony.media.tones import ringback, silence, tone
from telephony.media.wav import BadWavFile
from telephony.rooms.mixing import faded
from telephony.rooms.protocol import AudioOutput, Participant, Room

__all__ = ["RINGING", "HoldMusic", "Music", "Sound"]

log = structlog.get_logger(__name__)

RINGING = ringback()
_TONES = b"".join((tone(523.25, 500, -24.0), tone(587.33, 500, -24.0), tone(783.99, 800, -24.0), silence(2200)))
_AHEAD_MS = 400  # of the end: when the next piece is queued
_PIECE_BYTES = 2 * 8000 * 10  # of a file: a long one takes more than a moment to queue
_UNDER_WORDS = 0.1  # of the volume

T = TypeVar("T")
Sound = bytes | Callable[[], AsyncGenerator[bytes, None]]  # over and over; or pieces without an end. 8 kHz, 16 bit


class HoldMusic:
    """The settings' files, one after another, from the first; tones if there are none, or they cannot be read."""

    def __init__(self, settings: HoldMusicSettings) -> None:
        self._source = settings.source
        self.volume = 10 ** (settings.volume_db / 20)
        self.fade_ms = settings.fade_ms

    @property
    def sound(self) -> Sound:
        return _TONES if self._source is None else self._pieces

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        while True:
            played = False
            for file in await _off_loop(self._files):
                try:
                    pcm = await _off_loop(partial(load_sound, file))
                except (OSError, BadWavFile) as error:
                    log.warning("hold_music_not_read", file=str(file), error=str(error))
                    continue
                for at in range(0, len(pcm), _PIECE_BYTES):
                    played = True
                    yield pcm[at : at + _PIECE_BYTES]
            if not played:
                yield _TONES

    def _files(self) -> list[Path]:
        source = self._source
        if source is None or not source.is_dir():
            return [] if source is None else [source]
        return sorted(each for each in source.iterdir() if each.suffix.lower() == ".wav")


class Music:
    def __init__(self, room: Room) -> None:
        self._room = room
        self._fade_ms = 0.0
        self._place: Participant | None = None
        self._playing: asyncio.Task[None] | None = None
        self._gain = 1.0
        self._says_something = False

    def play(self, sound: Sound, volume: float = 1.0, fade_ms: float = 0.0) -> None:
        """Over and over, from its beginning, instead of what is played now. `volume`: a factor; of tones that say
        something (ringing) it is 1. `fade_ms`: until it is reached."""
        self._cut()
        self._fade_ms = fade_ms
        if self._place is None:
            self._place = self._room.add_agent(MUSIC, recorded=False)
        output = self._place.audio_output
        self._says_something = sound is RINGING
        self._gain = 1.0 if self._says_something else volume
        output.set_gain(self._gain)
        fade_ms = 0.0 if self._says_something else fade_ms
        if isinstance(sound, bytes):
            output.push(_faded_in(sound, fade_ms))
            playing = _play(output, _over_and_over(sound), None)
        else:
            playing = _play(output, sound(), fade_ms)
        self._playing = asyncio.create_task(playing, name="music")

    def under_words(self, spoken: bool) -> None:
        """Softer, while somebody speaks to the customer."""
        if self._place is not None:
            self._place.audio_output.set_gain(self._gain * (_UNDER_WORDS if spoken else 1.0), self._fade_ms)

    @property
    def fade_s(self) -> float:
        """How long it takes to fade out; 0: it stops at once, as what says something does."""
        return 0.0 if self._place is None or self._says_something else self._fade_ms / 1000

    def fade_out(self) -> None:
        """It goes on, softer and softer, until `stop`."""
        if self._place is not None:
            self._place.audio_output.set_gain(0.0, self._fade_ms)

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


def _faded_in(pcm: bytes, fade_ms: float) -> bytes:
    end = 2 * round(fade_ms * SAMPLE_RATE / 1000)
    return faded(pcm[:end], 0.0, 1.0) + pcm[end:] if end else pcm


async def _play(output: AudioOutput, pieces: AsyncGenerator[bytes, None], fade_ms: float | None) -> None:
    """Until it is cut, or the room is closed. `fade_ms` None: its beginning is queued already."""
    async with aclosing(pieces):
        if fade_ms is not None:
            output.push(_faded_in(await anext(pieces), fade_ms))
        while await output.wait_played(output.queued_ms - _AHEAD_MS) is not None:
            output.push(await anext(pieces))


async def _over_and_over(sound: bytes) -> AsyncGenerator[bytes, None]:
    while True:
        yield sound


async def _off_loop(work: Callable[[], T]) -> T:
    return await asyncio.to_thread(work) if has_real_time(asyncio.get_running_loop()) else work()
