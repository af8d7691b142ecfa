"""The trunks that a call to a number may go over, in the order to try them. Pure, except for the weighted random
choice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from gateway.config.outbound import OutboundSettings, RouteSettings
from gateway.config.trunks import TrunkSettings

__all__ = ["TrunkOrder"]


class TrunkOrder:
    """`random` returns numbers from 0 to 1."""

    def __init__(
        self, outbound: OutboundSettings, trunks: Iterable[TrunkSettings], random: Callable[[], float]
    ) -> None:
        self._trunks = {trunk.name: trunk for trunk in trunks if trunk.outbound is not None}
        beginnings = [(number, route) for route in outbound.routes for number in route.numbers]
        self._routes = sorted(beginnings, key=lambda each: len(each[0]), reverse=True)
        self._random = random

    def named(self, name: str) -> TrunkSettings | None:
        return self._trunks.get(name)

    def of(self, number: str) -> tuple[TrunkSettings, ...]:
        """From the route with the longest matching prefix; without one, all trunks in the settings' order."""
        for beginning, route in self._routes:
            if number.startswith(beginning):
                return tuple(self._trunks[name] for name in self._drawn(route) if name in self._trunks)
        return tuple(self._trunks.values())

    def _drawn(self, route: RouteSettings) -> Sequence[str]:
        weighted = list(zip(route.trunks, route.weights, strict=False))
        drawn: list[str] = []
        while weighted:
            total = sum(weight for _, weight in weighted)
            place = self._random() * total
            chosen = next((each for each in weighted if (place := place - each[1]) < 0), weighted[0])
            weighted.remove(chosen)
            drawn.append(chosen[0])
        return [*drawn, *route.trunks[len(drawn) :]]
