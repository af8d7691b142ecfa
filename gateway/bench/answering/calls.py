"""The corpus: answered calls, the same each time for the same part and number."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from gateway.bench.answering.cases import KINDS, AnsweredCall, Line, Part
from gateway.bench.answering.lines import Floats, draw_line, through
from gateway.bench.answering.packages import programs
from gateway.bench.answering.scenes import Stage, levelled, play
from gateway.bench.answering.speaking import Speech
from gateway.bench.answering.wording import LANGUAGES

__all__ = ["answered_call", "corpus", "kind_of", "stage_for"]

_ENGLISH = 0.7  # of the calls; the other five languages share the rest
_SEEDS: Mapping[Part, str] = {"tuning": "tuning", "seen": "table", "reported": "reported, November 2026"}


def stage_for(part: Part, kept: Path) -> Stage:
    """`kept`: the cache folder; packages are used as far as they have been fetched into it."""
    found = programs(kept / "sounds")
    return Stage(part, Speech(kept / "spoken", found), kept / "sounds", found)


def corpus(stage: Stage, calls: int) -> Iterator[AnsweredCall]:
    """Each kind has its share in every hundred, so that a small corpus is of the same making as a large one."""
    for number in range(calls):
        yield answered_call(stage, number)


def answered_call(stage: Stage, number: int) -> AnsweredCall:
    draw = random.Random(f"{_SEEDS[stage.part]} {number}")  # noqa: S311 - the same each time
    kind, language = kind_of(number), _language(draw)
    scene = play(stage, kind, language, draw)
    line = draw_line(draw)
    room = _room(stage, language, draw) if line.noise == "room" and line.snr_db is not None else np.zeros(0)
    return AnsweredCall(
        name=f"{stage.part}/{number:04}",
        part=stage.part,
        kind=kind,
        language=scene.language,
        voice=scene.voice,
        line=line if len(room) or line.noise == "line" else Line(line.law, line.level_db, None, "line", line.lost),
        pcm=through(scene.audio, room, line, draw),
        text=" | ".join(text for _, _, text in scene.spoken if text),
        spoken=tuple(scene.spoken),
        words_at=scene.words_at,
        greeting_end=scene.greeting_end,
        beep_end=scene.beep_end,
        beeps=scene.beeps,
    )


def kind_of(number: int) -> str:
    """By the golden ratio: any run of calls has about the shares."""
    total = sum(kind.share for kind in KINDS.values())
    place = (number * 0.6180339887498949) % 1 * total
    for name, kind in KINDS.items():
        place -= kind.share
        if place < 0:
            return name
    return next(iter(KINDS))


def _language(draw: random.Random) -> str:
    return "en" if draw.random() < _ENGLISH else draw.choice(LANGUAGES[1:])


def _room(stage: Stage, language: str, draw: random.Random) -> Floats:
    """Others who talk, or music."""
    if draw.random() < 0.25 and (music := stage.music(draw, 20.0)):
        return levelled(music)
    talk = [
        levelled(stage.speech.say(stage.words(draw, "chatter", language), stage.voice(draw, language), draw))
        for _ in range(2)
    ]
    return np.concatenate([talk[0], np.zeros(draw.randrange(1, 8000)), talk[1], np.zeros(8000)])
