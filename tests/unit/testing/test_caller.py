"""The caller following a timeline: when each step begins, and what is sent."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from agent.testing.caller import TimelineCaller
from agent.testing.fixture import Action, Clip, Digits, HangUp, LineNoise, NoiseBurst, Pause, Step, When
from telephony.media.frames import FRAME_BYTES, SILENCE
from telephony.media.level import dbfs
from telephony.media.tones import tone

VOICE = tone((440.0,), 20, -20.0)


def step(anchor: str, seconds: float, action: Action) -> Step:
    return Step(When(anchor, seconds), action)  # type: ignore[arg-type]  # short for the test


def clip(ms: int) -> Clip:
    return Clip("clip.wav", tone((880.0,), ms, -20.0))


def run(caller: TimelineCaller, until: float, talks: Callable[[float], bool]) -> list[tuple[float, object]]:
    """What was sent, with its time: "voice" at the start of each piece, keys, "gone"."""
    sent: list[tuple[float, object]] = []
    loud = False
    for tick in range(round(until * 50)):
        now = tick / 50
        out = caller.step(VOICE if talks(now) else SILENCE, now)
        assert len(out.pcm) == FRAME_BYTES
        if (dbfs(out.pcm) > -40) != loud:
            loud = not loud
            sent.append((now, "voice" if loud else "quiet"))
        if out.press:
            sent.append((now, out.press))
        if out.hang_up:
            return [*sent, (now, "gone")]
    return sent


def test_after_the_agent_has_finished() -> None:
    caller = TimelineCaller([step("after_agent", 1.0, clip(200)), step("after_agent", 0.5, HangUp())])
    sent = run(caller, 20, lambda now: 1 <= now < 3 or 3.4 <= now < 5 or 7 <= now < 8)
    assert [(round(at, 2), what) for at, what in sent] == [(5.98, "voice"), (6.18, "quiet"), (8.48, "gone")]
    assert caller.waiting_for is None
    assert caller.began == [5.98, 8.48]


def test_an_agent_who_never_speaks_is_waited_for() -> None:
    caller = TimelineCaller([step("after_agent", 1.0, HangUp())])
    assert run(caller, 30, lambda now: False) == []
    assert caller.waiting_for is not None


def test_while_the_agent_talks() -> None:
    caller = TimelineCaller([step("during_agent", 0.8, clip(400)), step("during_agent", 0.5, HangUp())])
    sent = run(caller, 20, lambda now: 1 <= now < 4 or 4.3 <= now < 5 or 8 <= now < 12)
    # The second waits for a new utterance: 0.3 s of quiet are a pause between words.
    assert [(round(at, 2), what) for at, what in sent] == [(1.8, "voice"), (2.2, "quiet"), (8.5, "gone")]


def test_fixed_times_and_pauses() -> None:
    steps = [step("at", 2.0, clip(1000)), step("at", 2.5, Digits("1w2")), step("after_step", 0.5, HangUp())]
    sent = run(TimelineCaller(steps), 10, lambda now: True)
    assert sent == [(2.0, "voice"), (2.5, "1"), (3.0, "quiet"), (3.22, "2"), (3.94, "gone")]


def test_a_pause_holds_up_the_next_step() -> None:
    sent = run(TimelineCaller([step("after_step", 0, Pause(3)), step("after_step", 1, HangUp())]), 10, lambda now: True)
    assert sent == [(4.0, "gone")]


def test_overlapping_pieces_are_mixed() -> None:
    loud = Clip("a", np.full(1600, 20000, dtype="<i2").tobytes())
    caller = TimelineCaller([step("at", 0, loud), step("at", 0, loud)])
    assert np.frombuffer(caller.step(SILENCE, 0).pcm, dtype="<i2")[0] == 32767


def test_noise_is_the_same_each_time_and_at_its_level() -> None:
    def noise(seed: int, steps: list[Step]) -> list[bytes]:
        caller = TimelineCaller(steps, LineNoise(-50, seed))
        return [caller.step(SILENCE, tick / 50).pcm for tick in range(1000)]

    quiet = noise(3, [])
    assert quiet == noise(3, []) and quiet != noise(4, [])
    assert -51 < dbfs(b"".join(quiet)) < -49
    assert quiet[:500] == quiet[500:], "ten seconds, over and over"
    burst = noise(3, [step("at", 1, NoiseBurst(-25, 0.5))])
    assert burst[:50] == quiet[:50] and burst[75:] == quiet[75:]
    assert -26 < dbfs(b"".join(burst[50:75])) < -24
