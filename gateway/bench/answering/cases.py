"""What an answered call of the corpus is, and what is true of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from telephony.media.answering.model import AnsweredBy
from telephony.media.frames import SAMPLE_RATE

__all__ = ["KINDS", "AnsweredCall", "Kind", "Line", "Part", "Truth"]

# Figures come from "reported": its wordings, beeps and nearly all of its voices are in no other part, and nobody has
# looked at its calls. "tuning" is for tuning; "seen" was what figures came from once, and is for tuning now.
Part = Literal["tuning", "seen", "reported"]
Truth = Literal["human", "machine", "silence"]


@dataclass(frozen=True, slots=True)
class Kind:
    """`share`: of a corpus's calls. `right`: the verdicts that are. `truth`: what it is counted as."""

    share: float
    truth: Truth
    right: tuple[AnsweredBy, ...]
    worded: bool = True  # there are wordings of it


_HUMAN, _MAIL = (AnsweredBy.HUMAN,), (AnsweredBy.VOICEMAIL,)
# There is no verdict of its own for a number that is not in service, or a busy tone after the answer: whatever is not
# talked to is right.
_NOBODY = tuple(kind for kind in AnsweredBy if kind not in (AnsweredBy.HUMAN, AnsweredBy.UNKNOWN))

# Every other person says no more than a hello at first.
KINDS: dict[str, Kind] = {
    "hello": Kind(20, "human", _HUMAN),
    "name": Kind(8, "human", _HUMAN),
    "business": Kind(7, "human", _HUMAN),
    "business long": Kind(5, "human", _HUMAN),
    "hold on": Kind(5, "human", _HUMAN),
    "hello twice": Kind(4, "human", _HUMAN),
    "silent first": Kind(3, "human", _HUMAN),
    "two talkers": Kind(3, "human", _HUMAN),
    "recorded person": Kind(2, "human", _HUMAN, worded=False),
    "personal": Kind(10, "machine", _MAIL),
    "short": Kind(6, "machine", _MAIL),
    "with a pause": Kind(5, "machine", _MAIL),
    "carrier": Kind(6, "machine", _MAIL),
    "recorded greeting": Kind(2, "machine", _MAIL, worded=False),
    "mailbox full": Kind(2, "machine", (AnsweredBy.MAILBOX_FULL,)),
    "screener": Kind(3, "machine", (AnsweredBy.SCREENER,)),
    "menu": Kind(3, "machine", (AnsweredBy.IVR,)),
    "hold line": Kind(2, "machine", (AnsweredBy.IVR,)),
    "fax": Kind(1, "machine", (AnsweredBy.FAX,), worded=False),
    "announcement": Kind(1.5, "machine", _NOBODY),
    "busy": Kind(0.5, "machine", _NOBODY, worded=False),
    "silence": Kind(1, "silence", (AnsweredBy.SILENCE, AnsweredBy.HUMAN, AnsweredBy.UNKNOWN), worded=False),
}


@dataclass(frozen=True, slots=True)
class Line:
    """What the network does to it. Levels in dBFS (RMS of speech), `snr_db` against that. `lost`: share of packets."""

    law: Literal["mu-law", "A-law"] = "mu-law"
    level_db: float = -20.0
    snr_db: float | None = None
    noise: Literal["line", "room"] = "line"  # room: others talk, or a television
    lost: float = 0.0


@dataclass(frozen=True, slots=True)
class AnsweredCall:
    """Times in seconds after the answer. `pcm` is what we hear, from then on."""

    name: str
    part: Part
    kind: str
    language: str
    voice: str
    line: Line
    pcm: bytes
    text: str  # as spoken
    words_at: float | None  # the first word's start
    greeting_end: float
    beep_end: float | None = None  # of the last beep
    beeps: str = ""
    spoken: tuple[tuple[float, float, str], ...] = ()  # start, end and words of each stretch

    @property
    def truth(self) -> Truth:
        return KINDS[self.kind].truth

    @property
    def right(self) -> tuple[AnsweredBy, ...]:
        return KINDS[self.kind].right

    @property
    def seconds(self) -> float:
        return len(self.pcm) / 2 / SAMPLE_RATE
