"""How many calls a core holds, by what the speech providers need: figures of docs/performance.md. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["calls_per_core"]

_CALL = 1.7  # percent of a core that a talking call takes before anything is recognised or spoken
_ROOM = 60.0  # percent of a core that calls may take together: they don't take turns
_MOST = 12  # calls per core, however little they need: each worker costs memory
# What is recognised or spoken here adds, in percent of a core for a call.
_HEARING: Mapping[str, float] = {
    "moonshine": 1.0,
    "moonshine/whisper": 1.5,
    "pocketsphinx": 3.2,
    "pocketsphinx/grammar": 3.2,
    "pocketsphinx/dictation": 7.0,
    "whisper": 13.3,
    "whisper/auto": 13.3,
}
_SPEAKING: Mapping[str, float] = {"hibari": 0.4, "espeak": 0.1}


def calls_per_core(stt: Sequence[str], tts: Sequence[str]) -> float:
    """Only the first provider of each list counts: the others serve while it cannot."""
    each = _CALL + sum(_HEARING.get(name, 0.0) for name in stt[:1])
    each += sum(_SPEAKING.get(name.partition("/")[0], 0.0) for name in tts[:1])
    return min(float(_MOST), _ROOM / each)
