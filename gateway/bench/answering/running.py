"""One run: makes the calls of a part, lets them be heard, and asks every machine who answered."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from agent.answering import Answering
from gateway.bench.answering.amd import amd
from gateway.bench.answering.by_length import ByLength
from gateway.bench.answering.calls import answered_call, stage_for
from gateway.bench.answering.cases import AnsweredCall, Part
from gateway.bench.answering.driving import MakeMachine, Outcome, drive
from gateway.bench.answering.hearing import Heard, Hearing
from gateway.bench.answering.packages import fetch
from gateway.calls.detector import detector_for
from telephony.media.answering.model import AnsweredBy, Verdict, WhoAnswered
from telephony.media.answering.wording import load_wording

__all__ = ["Run", "heard_calls", "machines", "ours", "prepare"]

_SAID = {"HUMAN": AnsweredBy.HUMAN, "MACHINE": AnsweredBy.VOICEMAIL, "NOTSURE": AnsweredBy.UNKNOWN}


@dataclass(frozen=True, slots=True)
class Run:
    """What to run. `recogniser`: see `hearing.recogniser_for`. `jobs`: processes that listen."""

    part: Part
    calls: int
    kept: Path
    recogniser: str = "auto"
    jobs: int = 1
    offline: bool = False  # packages are not fetched


def ours(answered_at: float) -> WhoAnswered:
    """As the gateway makes it for a call that it places."""
    return detector_for(Answering(), answered_at, load_wording())


def machines(words: bool = True) -> dict[str, Callable[[AnsweredCall, Heard], Outcome]]:
    """Ours first, then the baselines."""
    makes: Mapping[str, MakeMachine] = {"trunkline": ours, "speech length": ByLength}
    driven = {name: partial(drive, make, words=words) for name, make in makes.items()}
    return {**driven, "app_amd": _by_amd}


def _by_amd(call: AnsweredCall, heard: Heard) -> Outcome:
    said = amd(call.pcm)
    return Outcome(call, (Verdict(said.at, _SAID[said.status], 0.5, (said.cause,)),))


def prepare(run: Run) -> list[str]:
    """Fetch the packages. Returns those that could not be had."""
    return [] if run.offline else fetch(run.kept / "sounds")


def heard_calls(run: Run, told: Callable[[int], None] = lambda done: None) -> Iterator[tuple[AnsweredCall, Heard]]:
    """In order. What has been heard before costs nothing but the making of its audio."""
    if run.jobs <= 1:
        for number in range(run.calls):
            told(number)
            yield _hear(run, number)
        return
    one = replace(run, jobs=1)
    with ProcessPoolExecutor(run.jobs, mp_context=get_context("spawn"), initializer=os.nice, initargs=(5,)) as pool:
        for number, found in enumerate(pool.map(partial(_hear, one), range(run.calls), chunksize=8)):
            told(number)
            yield found


def _hear(run: Run, number: int) -> tuple[AnsweredCall, Heard]:
    call = answered_call(stage_for(run.part, run.kept), number)
    return call, Hearing(run.kept / "heard", run.recogniser).of(call)
