"""How loud is what is said, and how loud the background. Pure."""

from __future__ import annotations

from telephony.media.answering.findings import Levels
from telephony.media.answering.spectrum import QUIET_DBFS
from telephony.media.level import dbfs_power, power_dbfs

__all__ = ["NoiseFloor"]

_FRAME = 0.02  # seconds
_BLOCK = 25  # frames: half a second
_BLOCKS = 6  # the floor is the quietest of the last three seconds
_LEAST = dbfs_power(-90.0)
_QUIET = dbfs_power(QUIET_DBFS)
_ABOVE = 5.0  # times the floor (7 dB): something is said


class NoiseFloor:
    """Powers are mean squares of a frame."""

    def __init__(self) -> None:
        self._blocks: list[float] = []
        self._lowest = 0.0
        self._frames = 0
        self._smooth = 0.0
        self._voice = 0.0
        self._block: list[float] = []  # powers of what is no tone
        self._held = 0.0
        self.loudest = 0.0  # of about 100 ms together, of all that was heard
        self.heard_s = 0.0  # of sound that is no tone and no background
        self.floor_power = _LEAST
        self.active_power = _QUIET

    def hear(self, power: float, *, tonal: bool) -> None:
        self._held += 0.2 * (power - self._held)
        if self._held > self.loudest:
            self.loudest = self._held
        # Three frames together: a single lost packet is no floor.
        self._smooth = power if not self._frames and not self._blocks else self._smooth + 0.4 * (power - self._smooth)
        if self._frames == 0 or self._smooth < self._lowest:
            self._lowest = self._smooth
        self._frames += 1
        if not tonal:
            self._block.append(power)
        if self._frames == _BLOCK:
            self._frames = 0
            self._blocks = [*self._blocks[1 - _BLOCKS :], self._lowest]
            self.floor_power = max(_LEAST, min(self._blocks))
            self.active_power = max(_QUIET, _ABOVE * self.floor_power)
            if len(self._blocks) < 2:
                return  # whether that was background is not known yet
            self.heard_s += _FRAME * sum(each > self.active_power for each in self._block)
            self._block.clear()
        if power > self.active_power and not tonal:
            self._voice = power if not self._voice else self._voice + 0.05 * (power - self._voice)

    @property
    def levels(self) -> Levels:
        floor = power_dbfs(self.floor_power)
        return Levels(power_dbfs(self._voice) if self._voice else floor, floor)
