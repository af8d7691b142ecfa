"""Which of several providers to ask first: in order of preference, recently failed ones last."""

from __future__ import annotations

import asyncio

from agent.providers.base import ProviderBadRequest, ProviderError

__all__ = ["Resting"]


class Resting:
    def __init__(self, count: int, cool_down_s: float) -> None:
        if count < 1:
            raise ValueError("there must be at least one provider")
        self._cool_down_s = cool_down_s
        self._until = [0.0] * count  # seconds, loop clock; 0: not resting

    def order(self) -> list[int]:
        """All of them; resting ones come last, as they may have recovered."""
        now = asyncio.get_running_loop().time()
        return sorted(range(len(self._until)), key=lambda index: (self._until[index] > now, index))

    def failed(self, index: int, error: ProviderError) -> None:
        if not isinstance(error, ProviderBadRequest):  # that was our fault: the next request may work
            self._until[index] = asyncio.get_running_loop().time() + self._cool_down_s
