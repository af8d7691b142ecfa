"""A recorded call as data: who calls, what is sent and when, what must happen. Manual: docs/recorded-calls.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from agent.testing.expectation import Expectation
from agent.testing.recorded_model import RecordedReply

__all__ = [
    "DEFAULT_LIMIT_S",
    "Action",
    "Clip",
    "Digits",
    "Fixture",
    "HangUp",
    "LineNoise",
    "NoiseBurst",
    "Pause",
    "Step",
    "When",
]

DEFAULT_LIMIT_S = 180.0


@dataclass(frozen=True, slots=True)
class Clip:
    """The caller says something. `pcm`: 8 kHz 16-bit. `says`: its words, for people."""

    file: str
    pcm: bytes
    says: str = ""


@dataclass(frozen=True, slots=True)
class Digits:
    """The caller presses keys, each `press_ms` long, with `gap_ms` between them. `w` is a pause of 500 ms."""

    digits: str
    press_ms: int = 120
    gap_ms: int = 100


@dataclass(frozen=True, slots=True)
class Pause:
    """The caller says nothing."""

    seconds: float


@dataclass(frozen=True, slots=True)
class NoiseBurst:
    """Some other sound on the caller's side."""

    dbfs: float
    seconds: float


@dataclass(frozen=True, slots=True)
class HangUp:
    """The caller hangs up: the end of the timeline."""


Action = Clip | Digits | Pause | NoiseBurst | HangUp


@dataclass(frozen=True, slots=True)
class When:
    """When a step begins.

    "at": `seconds` after the answer, regardless of anything else. "after_agent": when the agent has spoken since the
    previous step and has been quiet for `seconds`. "during_agent": `seconds` after the agent began to talk.
    "after_step": `seconds` after the end of the previous step.
    """

    anchor: Literal["at", "after_agent", "during_agent", "after_step"]
    seconds: float


@dataclass(frozen=True, slots=True)
class Step:
    when: When
    action: Action
    line: int = 0


@dataclass(frozen=True, slots=True)
class LineNoise:
    """Noise under everything the caller's side sends, determined by `seed`."""

    dbfs: float
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Fixture:
    """`persona` is `path/to/file.py:Class`, or `:factory`. `limit_s`: a call that is not over by then is ended and
    fails. `model`: a language model's replies to reuse; empty: the persona's rules answer."""

    folder: Path
    description: str
    number: str
    persona: str
    timeline: tuple[Step, ...]
    expect: Expectation
    caller: str | None = None
    dialplan: str | None = None
    time: datetime | None = None
    session: Mapping[str, float | str | bool | None] = field(default_factory=dict)
    line_noise: LineNoise | None = None
    limit_s: float = DEFAULT_LIMIT_S
    model: tuple[RecordedReply, ...] = ()

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def file(self) -> Path:
        return self.folder / "fixture.yaml"
