"""Beeps of voicemails, fax tones and the network's tones, as they follow a greeting or stand for one."""

from __future__ import annotations

import random

from gateway.bench.answering.cases import Part
from gateway.bench.answering.wording import half
from telephony.media.tones import silence, special_information, tone

__all__ = ["beep_of", "beeps_of", "busy_tone", "fax_tones", "network_tones"]

# Hz and ms of each sound, "/" between them: "880:400", "rising 660:120/880:120". The first four were measured.
_BEEPS = (
    "744:350", "660:240", "1004:280", "881:770", "440:1000", "1000:500", "1400:200", "425:250", "620:300", "950:400",
    "2000:150", "800:80", "1209:120", "523:600", "1600:250", "2400:120", "700:1500", "480:500", "1100:300", "820:180",
    "1320:90", "585:450", "990:1000", "770:650", "1760:200", "640:2000", "1047:350", "900:60", "2600:100", "1250:420",
    "double 880:150", "double 1000:200", "double 620:120", "double 1500:90",
    "rising 660:120/880:120", "rising 523:100/659:100/784:200", "rising 440:200/880:300", "rising 800:150/1200:150",
)  # fmt: skip
_REPORTED = (
    "755:300", "680:220", "1020:260", "905:600", "450:900", "1016:450", "1380:180", "410:280", "605:350", "965:500",
    "1900:160", "830:70", "1275:140", "550:700", "1650:200", "2300:110", "725:1800", "495:400", "1130:240", "860:200",
    "1230:100", "570:380", "1035:900", "790:520", "1560:260", "655:1500", "1080:330", "935:80", "2550:130", "1290:360",
    "double 840:160", "double 1060:220", "double 660:100", "double 1420:120",
    "rising 620:140/830:140", "rising 587:110/740:110/880:220", "rising 500:180/1000:250", "rising 850:120/1275:160",
)  # fmt: skip
_DOUBLE_GAP_MS = 180


def beeps_of(part: Part) -> tuple[str, ...]:
    return _REPORTED if part == "reported" else half(_BEEPS, part)


def beep_of(recipe: str, level_db: float) -> bytes:
    shape, _, sounds = recipe.rpartition(" ")
    pieces = []
    for sound in sounds.split("/"):
        frequencies, _, ms = sound.partition(":")
        pieces.append(tone([float(hertz) for hertz in frequencies.split("+")], float(ms), level_db))
    if shape == "double":
        pieces = [pieces[0], silence(_DOUBLE_GAP_MS), pieces[0]]
    return b"".join(pieces)


def fax_tones(draw: random.Random, level_db: float) -> bytes:
    """A machine that answers (CED, 2100 Hz, ITU-T T.30), or one that calls (CNG, 1100 Hz)."""
    if draw.random() < 0.6:
        return (tone(2100, draw.uniform(2600, 4000), level_db) + silence(75) + tone((1650, 1850), 1000, level_db)) * 2
    return (tone(1100, 500, level_db) + silence(3000)) * 4


def busy_tone(draw: random.Random, level_db: float) -> bytes:
    """North America's, Europe's, or one of them at the pace of congestion."""
    pair = draw.choice(((480.0, 620.0), (425.0,)))
    ms = draw.choice((500, 500, 250, 375))
    return (tone(pair, ms, level_db) + silence(ms)) * (12_000 // (2 * ms))


def network_tones() -> bytes:
    return special_information()
