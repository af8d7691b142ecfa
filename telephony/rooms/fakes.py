"""Fakes of the room protocol, for tests of its users: no room, no thread, no clock of their own."""

from __future__ import annotations

from collections.abc import Callable

from telephony.media.frames import FRAME_BYTES, FRAME_MS, SILENCE, AudioFrame
from telephony.rooms.hearing import HearingQueue
from telephony.rooms.playout import PlayoutQueue
from telephony.rooms.protocol import AudioInput, AudioOutput

__all__ = ["FakeAudioInput", "FakeAudioOutput", "FakeLegAudio", "FakeParticipant", "FakeRecorder"]


def _at_once(callback: Callable[[], None]) -> None:
    callback()


class FakeAudioOutput(PlayoutQueue):
    """An `AudioOutput` whose audio the test takes. `played` is everything taken, including silence."""

    def __init__(self) -> None:
        super().__init__(_at_once)
        self.played = bytearray()

    def advance(self, ms: float, at: float) -> bytes:
        """Take whole frames for `ms` (a multiple of 20), the last one at loop-clock time `at`; return their audio."""
        frames = round(ms / FRAME_MS)
        taken = bytearray()
        for index in range(frames):
            taken += self.take(at - (frames - 1 - index) * FRAME_MS / 1000) or SILENCE
        self.played += taken
        return bytes(taken)


class FakeAudioInput:
    """An `AudioInput` that the test feeds; frames reach the subscriber before `feed` returns."""

    def __init__(self) -> None:
        self._hearing = HearingQueue(_at_once)

    def subscribe(self, on_frame: Callable[[AudioFrame], None]) -> Callable[[], None]:
        return self._hearing.subscribe(on_frame)

    def feed(self, pcm: bytes, at: float) -> None:
        """Hear whole frames, the last of which ends at loop-clock time `at`."""
        frames = len(pcm) // FRAME_BYTES
        for index in range(frames):
            offset = index * FRAME_BYTES
            frame_at = at - (frames - 1 - index) * FRAME_MS / 1000
            self._hearing.feed(AudioFrame(pcm[offset : offset + FRAME_BYTES], frame_at))

    def close(self) -> None:
        self._hearing.close()


class FakeLegAudio:
    """A leg's place without a room. `said`: what the leg has pushed."""

    def __init__(self) -> None:
        self.said = bytearray()

    def push(self, pcm: bytes, at: float) -> None:
        self.said += pcm

    def pull(self, at: float) -> bytes:
        return SILENCE


class FakeParticipant:
    """An agent's place without a room."""

    def __init__(self, identity: str = "agent") -> None:
        self.identity = identity
        self.input = FakeAudioInput()
        self.output = FakeAudioOutput()
        self.apart: dict[str, FakeAudioInput] = {}
        self.left = False

    @property
    def audio_input(self) -> AudioInput:
        return self.input

    @property
    def audio_output(self) -> AudioOutput:
        return self.output

    def hear_apart(self, source: str) -> AudioInput:
        return self.apart.setdefault(source, FakeAudioInput())

    def leave(self) -> None:
        self.left = True
        self.output.close()
        self.input.close()


class FakeRecorder:
    """A `Recorder` that keeps both channels."""

    def __init__(self) -> None:
        self.caller = bytearray()
        self.others = bytearray()

    def write(self, caller: bytes, others: bytes) -> None:
        self.caller += caller
        self.others += others
