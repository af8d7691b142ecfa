"""One bench call: a phone that speaks into the agent's tone, again and again, and measures from its own packets.

Times are when packets are sent and received by the phone. A reply's latency runs from the departure of the last packet
with speech in it to the arrival of the first packet with sound; a barge-in's from the departure of the first packet
with speech to the end of the last packet with sound.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.bench.figures import CallFigures
from telephony.media.frames import FRAME_BYTES, FRAME_MS, SAMPLE_RATE
from telephony.media.level import frame_levels_dbfs
from telephony.phone import CallFailed, Phone, PhoneCall
from telephony.phone.analysis import onset_after, packet_counts, silent_after

__all__ = ["LATE_MS", "SETTLE_S", "Clip", "measure_call", "round_s", "speech_clip"]

SPEECH_DBFS = -45.0  # a frame of the clip above this is speech
SOUND_DBFS = -40.0  # of the agent's tone, which comes at about -9 dBFS
SETTLE_S = 1.0  # from the answer to the first words
TALK_S = 1.2  # how long the agent's tone plays before it is interrupted
PAUSE_S = 0.7  # for the answer to begin
REPLY_LIMIT_S = 3.0
SILENCE_MS = 200.0  # without sound for this long, the agent has stopped
LATE_MS = 40.0


@dataclass(frozen=True, slots=True)
class Clip:
    """Speech, and which of its 20 ms frames are the first and last that sound."""

    pcm: bytes
    first: int
    last: int


def speech_clip(pcm: bytes) -> Clip:
    """Raises ValueError when nothing in it sounds."""
    pcm += bytes(-len(pcm) % FRAME_BYTES)
    levels = frame_levels_dbfs(pcm)
    loud = [index for index, level in enumerate(levels) if level > SPEECH_DBFS]
    if not loud:
        raise ValueError("the clip is silent")
    return Clip(pcm, loud[0], loud[-1])


@dataclass(frozen=True, slots=True)
class _Spoken:
    began_at: float
    ended_at: float


def round_s(clips: Sequence[Clip]) -> float:
    """The least that one round of a call takes: words, the wait for the answer, and its tone."""
    return PAUSE_S + TALK_S + min(len(clip.pcm) for clip in clips) / (2 * SAMPLE_RATE)


async def measure_call(
    phone: Phone, uri: str, clips: Sequence[Clip], rounds: int, caller: str, *, later_s: float = 0.0
) -> CallFigures:
    """`later_s`: delay of its first words. Raises CallFailed when the call is not answered, or ends before the phone
    has ended it."""
    call = await phone.call(uri, caller=caller, timeout=10.0)
    spoken: list[_Spoken] = []
    await asyncio.sleep(SETTLE_S + later_s)
    for turn in range(rounds):
        if call.ended.done():
            raise CallFailed(0, "the gateway ended the call")
        spoken.append(await _speak(call, clips[turn % len(clips)]))
        await asyncio.sleep(REPLY_LIMIT_S - TALK_S if turn == rounds - 1 else PAUSE_S + TALK_S)
    await call.hang_up()
    return _figures(call, spoken)


async def _speak(call: PhoneCall, clip: Clip) -> _Spoken:
    handle = call.play(clip.pcm)
    await handle.done
    assert handle.first_sent_at is not None
    frame_s = FRAME_MS / 1000
    return _Spoken(handle.first_sent_at + clip.first * frame_s, handle.first_sent_at + clip.last * frame_s)


def _figures(call: PhoneCall, spoken: Sequence[_Spoken]) -> CallFigures:
    packets = call.received
    answers: list[float] = []
    stops: list[float] = []
    missed = 0
    for turn, said in enumerate(spoken):
        heard_at = onset_after(packets, said.ended_at, threshold_dbfs=SOUND_DBFS)
        if heard_at is None or heard_at - said.ended_at > REPLY_LIMIT_S:
            missed += 1
        else:
            answers.append((heard_at - said.ended_at) * 1000)
        if turn:  # by then the agent talks
            silent_at = silent_after(packets, said.began_at, threshold_dbfs=SOUND_DBFS, min_silence_ms=SILENCE_MS)
            if silent_at is None or silent_at > said.ended_at:
                missed += 1
            else:
                stops.append((silent_at - said.began_at) * 1000)
    counts = packet_counts(packets)
    at = packets.at[: len(packets)]
    spacings = tuple((later - earlier) * 1000 for earlier, later in itertools.pairwise(at))
    return CallFigures(
        setup_ms=call.setup_ms or 0.0,
        answers_ms=tuple(answers),
        barge_ins_ms=tuple(stops),
        missed=missed,
        spacings_ms=spacings,
        packets=counts.received,
        packets_lost=counts.lost,
        packets_late=counts.late + sum(gap > LATE_MS for gap in spacings),
    )
