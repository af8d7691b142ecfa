"""Which tones are a voicemail's beep, and which three are special information tones (SIT). Pure."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from telephony.media.answering.runs import ToneRun
from telephony.media.answering.spectrum import Components
from telephony.media.dtmf import COLUMNS, ROWS
from telephony.media.level import power_dbfs

__all__ = [
    "NETWORK_HERTZ",
    "beep_sureness",
    "is_special_information",
    "may_become_special_information",
    "network_pair",
    "rises",
]

_SHORTEST, _LONGEST = 0.05, 2.1  # seconds: 60 ms to 2 s
_LOWEST, _HIGHEST = 390.0, 2650.0  # Hz: 400 to 2,600
_FAINTEST_DBFS = -46.0
# A sine keeps its frequency and its level, and holds all of the power that is not noise. A vowel does one of these for
# 60 ms, or two, but not all three.
_PURE, _STEADY_HZ, _NOISY_HZ, _RIPPLE_DB = 0.965, 3.0, 6.0, 2.5
_STEADY_SHARE = 0.002  # of its frequency
_SHORT = 0.1  # seconds; beginning and end weigh more
# Where the noise is not known: from this length on, more of it is allowed, and less unsteadiness.
_LONG, _LONG_PURE, _LONG_STEADY_HZ, _LONG_RIPPLE_DB = 0.15, 0.86, 4.5, 1.6
# A chime's level moves; from this length on it may, where all else is as a sine has it.
_CHIME, _CHIME_PURE, _CHIME_STEADY_HZ, _CHIME_RIPPLE_DB = 0.2, 0.9, 2.0, 7.0
_WHISTLE, _WHISTLE_HERTZ = 0.075, 600.0  # above the pitch of voices, and pure: shorter ones are sure as well
# With a television behind it, from this length on.
_VERY_LONG, _ROOM_PURE, _ROOM_STEADY_HZ = 0.3, 0.8, 1.2
_GLIDE, _GLIDE_PURE, _GLIDE_BEND_HZ = 0.11, 0.88, 10.0  # seconds at least; deviation from an even glide
NETWORK_HERTZ = (380.0, 500.0)  # single tones of networks: 400, 425, 440 and 450 Hz
# One tone alone, as networks ring (ITU-T E.180, supplement 2): Hz, and from how many seconds to how many.
_RINGBACKS = ((400, 0.94, 1.06), (425, 0.65, 2.1), (440, 1.4, 1.75), (450, 0.94, 1.06))
_SURE_ALONE, _UNSURE, _ALONE = 0.85, 0.6, 0.2  # the last: seconds at least, vowels are shorter
_PAIRS = ((350, 440), (400, 450), (440, 480), (480, 620))

# First, second and third tone: ITU-T E.180's and North America's two variants of each, with room.
_SIT = ((890.0, 1010.0), (1340.0, 1455.0), (1740.0, 1855.0))
_SIT_SHORTEST, _SIT_LONGEST, _SIT_GAP, _SIT_PURE = 0.22, 0.45, 0.07, 0.8  # seconds; share


def network_pair(found: Components) -> tuple[int, int] | None:
    if not found.second_hertz:
        return None
    low, high = sorted((found.hertz, found.second_hertz))
    return next((pair for pair in _PAIRS if abs(low - pair[0]) <= 14 and abs(high - pair[1]) <= 14), None)


def is_special_information(runs: Sequence[ToneRun]) -> bool:
    return len(runs) == 3 and _information_tones(runs)


def may_become_special_information(runs: Sequence[ToneRun]) -> bool:
    """The first two of three."""
    return len(runs) == 2 and _information_tones(runs)


def _information_tones(runs: Sequence[ToneRun]) -> bool:
    gaps = [after.began_at - (before.ended_at or 0.0) for before, after in itertools.pairwise(runs)]
    return all(gap < _SIT_GAP for gap in gaps) and all(
        low <= run.components().hertz <= high
        and _SIT_SHORTEST <= run.length <= _SIT_LONGEST
        and run.components().share > _SIT_PURE
        for run, (low, high) in zip(runs, _SIT, strict=False)
    )


def rises(run: ToneRun) -> bool:
    """Evenly, by a tenth at least."""
    row = run.steady
    if run.length < _GLIDE or len(row) < 4 or row[-1] < 1.1 * row[0]:
        return False
    step = (row[-1] - row[0]) / (len(row) - 1)
    return all(abs(row[0] + k * step - hertz) <= _GLIDE_BEND_HZ for k, hertz in enumerate(row))


def beep_sureness(run: ToneRun, floor_power: float, heard_before: bool) -> float:
    """How likely the run, which is over, is a beep: 0 for everything else that sounds like one tone."""
    row = run.steady
    middle = sorted(row)[len(row) // 2]
    if not (_SHORTEST <= run.length <= _LONGEST and _LOWEST <= middle <= _HIGHEST and len(row) >= 2):
        return 0.0
    if power_dbfs(run.loudest) < _FAINTEST_DBFS or run.loudest < 4 * floor_power:
        return 0.0
    noise = min(0.2, 2 * floor_power / run.loudest)  # the floor is of the quietest moments
    if rises(run):
        inner = run.shares[1:-1]
        pure = sum(inner) / len(inner) >= max(0.75, _GLIDE_PURE - noise)
        return 0.85 if pure and run.whole_ripple_db <= _RIPPLE_DB and row[-1] <= _HIGHEST else 0.0
    found = run.components()
    if (
        found.hertz < _LOWEST
        or abs(found.hertz - middle) > 25
        or network_pair(found)
        or _keyed(found)
        or not _sine(run, found, noise)
    ):
        return 0.0
    if NETWORK_HERTZ[0] <= found.hertz <= NETWORK_HERTZ[1]:
        if not heard_before:
            return 0.0
        if run.length < _ALONE or _rings(found.hertz, run.length):
            return _UNSURE
        return _SURE_ALONE if run.length < 2 * _ALONE else 0.95
    if run.length > _LONG:
        return 0.95
    return 0.9 if run.length >= _WHISTLE and found.hertz >= _WHISTLE_HERTZ and found.share >= _PURE else 0.85


def _rings(hertz: float, length: float) -> bool:
    """As one burst of a ringback does. Busy tones have shorter ones, and are soon known by the next."""
    return any(abs(hertz - of) < 6 and low < length < high for of, low, high in _RINGBACKS)


def _sine(run: ToneRun, found: Components, noise: float) -> bool:
    share = found.share + (found.second_share if _harmonic(found) and run.length > _LONG else 0.0)
    ripple, spread = run.ripple_db, run.spread_hz
    steady = max(_STEADY_HZ, _STEADY_SHARE * found.hertz) if noise < 0.02 and run.length > _SHORT else _NOISY_HZ
    if share >= _PURE * (1 - noise) and spread <= steady and (ripple <= _RIPPLE_DB or run.fades):
        return True
    if run.length >= _CHIME and share >= _CHIME_PURE and spread <= _CHIME_STEADY_HZ and ripple <= _CHIME_RIPPLE_DB:
        return True
    if run.length >= _VERY_LONG and share >= _ROOM_PURE and spread <= _ROOM_STEADY_HZ and ripple <= _RIPPLE_DB:
        return True
    return run.length >= _LONG and share >= _LONG_PURE and spread <= _LONG_STEADY_HZ and ripple <= _LONG_RIPPLE_DB


def _harmonic(found: Components) -> bool:
    """An overdriven sine, or a chime."""
    if not found.second_hertz:
        return False
    low, high = sorted((found.hertz, found.second_hertz))
    return min(abs(high - n * low) for n in (2, 3)) < 0.02 * high


def _keyed(found: Components) -> bool:
    if not found.second_hertz:
        return False
    low, high = sorted((found.hertz, found.second_hertz))
    return any(abs(low - row) < 0.025 * row for row in ROWS) and any(abs(high - c) < 0.025 * c for c in COLUMNS)
