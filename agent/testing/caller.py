"""A caller who follows a timeline. Pure: it takes the received audio, 20 ms at a time, and returns what to send.

    waiting --its time has come--> acting --its audio, keys or pause are over--> waiting (for the next step) ... done

Like a person, it reacts to the audio, not to the session's state, so the same timeline works in a virtual replay and
over a real phone line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.testing.fixture import Action, Clip, Digits, HangUp, LineNoise, NoiseBurst, Pause, Step
from telephony.media.frames import FRAME_BYTES, SAMPLE_RATE, SILENCE
from telephony.media.level import dbfs
from telephony.media.noise import line_noise

__all__ = ["AUDIBLE_DBFS", "SPURT_GAP_S", "Sent", "TimelineCaller"]

AUDIBLE_DBFS = -50.0  # the agent's voice is above it, the line's own noise below
SPURT_GAP_S = 0.5  # talk after this much silence is a new utterance, for "during_agent"
_NOISE_S = 10  # the line noise repeats seamlessly, as it is made by an inverse Fourier transform


@dataclass(frozen=True, slots=True)
class Sent:
    """What the caller's side sends in 20 ms. `press`: a key that goes down now, if any."""

    pcm: bytes
    press: str = ""
    press_ms: int = 0
    hang_up: bool = False


_Pressed = tuple[float, str, int]  # when, key, milliseconds


class TimelineCaller:
    def __init__(self, timeline: Sequence[Step], line: LineNoise | None = None) -> None:
        self._steps = list(timeline)
        self._position = 0
        self._free_at = 0.0  # when the previous step is over
        self._spoken_at = -1.0  # when the agent was last audible
        self._spurt_at = -1.0  # when it last began to talk
        self._playing: list[tuple[bytes, int]] = []
        self._presses: list[_Pressed] = []
        self._noise = line_noise(_NOISE_S * 1000, line.dbfs, line.seed) if line is not None else b""
        self._noise_at = 0
        self.began: list[float] = []
        """When each started step began: seconds since the answer."""

    @property
    def waiting_for(self) -> Step | None:
        """The first step that has not begun; None: all have."""
        return self._steps[self._position] if self._position < len(self._steps) else None

    def step(self, heard: bytes, now: float) -> Sent:
        """`heard`: 20 ms of the agent's side. `now`: seconds since the answer. Call it every 20 ms."""
        self._listen(heard, now)
        hang_up = False
        while (step := self.waiting_for) is not None and self._due(step, now):
            self._position += 1
            self.began.append(round(now, 3))
            hang_up = self._begin(step.action, now) or hang_up
        key, press_ms = self._press(now)
        return Sent(self._frame(), key, press_ms, hang_up)

    def _listen(self, heard: bytes, now: float) -> None:
        if heard == SILENCE or dbfs(heard) < AUDIBLE_DBFS:
            return
        if now - self._spoken_at > SPURT_GAP_S or self._spurt_at < 0:
            self._spurt_at = now
        self._spoken_at = now

    def _due(self, step: Step, now: float) -> bool:
        wait = step.when.seconds - 1e-6
        match step.when.anchor:
            case "at":
                return now >= wait
            case "after_agent":
                return self._spoken_at > self._free_at and now >= self._free_at and now - self._spoken_at >= wait
            case "during_agent":
                return self._spurt_at > self._free_at and now - self._spurt_at >= wait
            case _:
                return now - self._free_at >= wait

    def _begin(self, action: Action, now: float) -> bool:
        """Whether the caller hangs up."""
        length = 0.0
        match action:
            case Clip(pcm=pcm):
                self._playing.append((pcm, 0))
                length = len(pcm) / (2 * SAMPLE_RATE)
            case NoiseBurst(dbfs=level, seconds=seconds):
                self._playing.append((line_noise(seconds * 1000, level, self._position), 0))
                length = seconds
            case Digits():
                length = self._plan_presses(action, now)
            case Pause(seconds=seconds):
                length = seconds
            case HangUp():
                return True
        self._free_at = max(self._free_at, now + length)
        return False

    def _plan_presses(self, action: Digits, now: float) -> float:
        at = now
        for key in action.digits:
            if key == "w":
                at += 0.5
            else:
                self._presses.append((at, key, action.press_ms))
                at += (action.press_ms + action.gap_ms) / 1000
        return at - now

    def _press(self, now: float) -> tuple[str, int]:
        if self._presses and now >= self._presses[0][0] - 1e-6:
            _, key, press_ms = self._presses.pop(0)
            return key, press_ms
        return "", 0

    def _frame(self) -> bytes:
        pieces: list[bytes] = []
        if self._noise:
            pieces.append(self._noise[self._noise_at : self._noise_at + FRAME_BYTES])
            self._noise_at = (self._noise_at + FRAME_BYTES) % len(self._noise)
        still: list[tuple[bytes, int]] = []
        for pcm, offset in self._playing:
            pieces.append(pcm[offset : offset + FRAME_BYTES].ljust(FRAME_BYTES, b"\0"))
            if offset + FRAME_BYTES < len(pcm):
                still.append((pcm, offset + FRAME_BYTES))
        self._playing = still
        if len(pieces) < 2:
            return pieces[0] if pieces else SILENCE
        total = np.sum([np.frombuffer(piece, dtype="<i2").astype(np.int32) for piece in pieces], axis=0)
        return bytes(np.clip(total, -32768, 32767).astype("<i2").tobytes())
