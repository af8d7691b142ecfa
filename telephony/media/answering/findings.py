"""What a listener for tones finds. Times are seconds on the loop's clock, levels dBFS (a full-scale sine is -3).

Each has `what` ("beep", "sit", "busy", "ringback", "dial tone", "fax", "music"), when it `ended` (or was last heard),
`detail` for the record, and how `sure` it is (0 to 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

__all__ = [
    "Beep",
    "Busy",
    "DialTone",
    "FaxTone",
    "FaxTones",
    "Finding",
    "HoldMusic",
    "Levels",
    "Ringback",
    "SpecialInformation",
]


@dataclass(frozen=True, slots=True)
class _Sounding:
    """A finding about what has been sounding since `began_at`, and may go on after `at`."""

    at: float
    began_at: float

    @property
    def ended(self) -> float:
        return self.at


@dataclass(frozen=True, slots=True)
class _Tone(_Sounding):
    hertz: float

    @property
    def detail(self) -> str:
        return f"{self.hertz:.0f} Hz"


@dataclass(frozen=True, slots=True)
class Beep:
    """A beep is over. Of a double beep each is told. `sure` is low where it may be a network's tone as well."""

    what: ClassVar[str] = "beep"
    at: float  # when it was known: 40 to 60 ms after `ended_at`
    began_at: float
    ended_at: float
    hertz: float  # at its end
    rising: bool
    level_dbfs: float
    sure: float  # 0 to 1

    @property
    def ended(self) -> float:
        return self.ended_at

    @property
    def detail(self) -> str:
        rising = ", rising" if self.rising else ""
        return f"{self.hertz:.0f} Hz, {(self.ended_at - self.began_at) * 1000:.0f} ms{rising}"


@dataclass(frozen=True, slots=True)
class SpecialInformation:
    """The three rising tones (SIT) before "the number you have dialed"; ITU-T E.180 and the North American ones."""

    what: ClassVar[str] = "sit"
    at: float
    began_at: float
    ended_at: float
    hertz: tuple[float, float, float]
    sure: float = 0.99

    @property
    def ended(self) -> float:
        return self.ended_at

    @property
    def detail(self) -> str:
        return ", ".join(f"{hertz:.0f}" for hertz in self.hertz) + " Hz"


@dataclass(frozen=True, slots=True)
class Busy(_Tone):
    """Busy tone, or the quicker one (reorder, congestion) where `on_ms` is below 300; told once."""

    what: ClassVar[str] = "busy"
    on_ms: float
    off_ms: float
    sure: float = 0.97

    @property
    def quick(self) -> bool:
        return self.on_ms < 300

    @property
    def detail(self) -> str:
        return f"{self.hertz:.0f} Hz, {self.on_ms:.0f} ms on, {self.off_ms:.0f} ms off"


@dataclass(frozen=True, slots=True)
class Ringback(_Tone):
    """It rings (again) after the answer; told when it becomes likely, and again each time when it is surer."""

    what: ClassVar[str] = "ringback"
    sure: float


@dataclass(frozen=True, slots=True)
class DialTone(_Tone):
    """The line is dead, and a dial tone is heard on it; told once."""

    what: ClassVar[str] = "dial tone"
    sure: float = 0.95


class FaxTones(StrEnum):
    CNG = "CNG"  # a fax that calls: 1,100 Hz, 0.5 s on, 3 s off (ITU-T T.30)
    CED = "CED"  # a fax or modem that answers: 2,100 Hz, 2.6 to 4 s


@dataclass(frozen=True, slots=True)
class FaxTone(_Sounding):
    """Told while the tone still sounds (CED), at its end (CNG), and again when it is surer."""

    what: ClassVar[str] = "fax"
    tones: FaxTones
    sure: float

    @property
    def detail(self) -> str:
        return self.tones


@dataclass(frozen=True, slots=True)
class HoldMusic(_Sounding):
    """Music, not speech; told when it becomes likely, and again each time when it is surer."""

    what: ClassVar[str] = "music"
    sure: float

    @property
    def detail(self) -> str:
        return f"{self.sure:.0%} sure"


@dataclass(frozen=True, slots=True)
class Levels:
    """Of what is said, and of the background."""

    voice_dbfs: float
    floor_dbfs: float

    @property
    def above_floor_db(self) -> float:
        return self.voice_dbfs - self.floor_dbfs


Finding = Beep | SpecialInformation | Busy | Ringback | DialTone | FaxTone | HoldMusic
