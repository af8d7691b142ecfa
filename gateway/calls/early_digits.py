"""Keys pressed before there is a receiver."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["EarlyDigits"]


class EarlyDigits:
    """The digits of one leg, kept in order with their times until there is a receiver; then passed on at once."""

    def __init__(self) -> None:
        self._kept: list[tuple[str, float]] = []
        self._take: Callable[[str, float], None] | None = None

    def press(self, digit: str, at: float) -> None:
        """`at`: seconds, loop clock."""
        if self._take is None:
            self._kept.append((digit, at))
        else:
            self._take(digit, at)

    def flow_to(self, take: Callable[[str, float], None]) -> None:
        kept, self._kept, self._take = self._kept, [], take
        for digit, at in kept:
            take(digit, at)
