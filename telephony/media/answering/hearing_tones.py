"""Tones as they count as evidence of who has answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

__all__ = ["Tone", "Tones", "beep_finding"]

_UNSURE_BEEP, _SURE_BEEP = 0.8, 0.9
_BEEP_S = 0.086  # shorter tones are in music and in voices, too


class Tone(Protocol):
    """A `findings.Finding`, as much of it as counts here."""

    @property
    def what(self) -> str: ...

    @property
    def began_at(self) -> float: ...

    @property
    def ended(self) -> float: ...

    @property
    def detail(self) -> str: ...

    @property
    def sure(self) -> float: ...  # 0 to 1


class Tones(Protocol):
    @property
    def sounding(self) -> bool:
        """A tone that may become a beep can be heard now."""

    def hear(self, pcm: bytes, at: float) -> Sequence[Tone]: ...


def beep_finding(tone: Tone, spoken: bool, talking: bool) -> str:
    """A key of `weighing.WEIGHTS`. `spoken`: there has been speech; `talking`: there is."""
    if tone.sure < _UNSURE_BEEP:
        return "beep_unsure"
    if not spoken:
        return "beep_first"
    long = tone.ended - tone.began_at >= _BEEP_S
    return "beep_after_speech" if (long and not talking) or tone.sure >= _SURE_BEEP else "beep_likely"
