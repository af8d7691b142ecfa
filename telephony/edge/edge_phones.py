"""Registered phones, as the edge's owner asks about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from telephony.edge.phone_book import PhoneStatus
from telephony.edge.phone_side import PhoneSide
from telephony.sip.bindings import Binding

__all__ = ["EdgePhones"]


class EdgePhones:
    """`side` raises TelephonyMisuse before the edge has been started; `now`: the loop clock in seconds."""

    def __init__(self, side: Callable[[], PhoneSide], now: Callable[[], float]) -> None:
        self._side = side
        self._now = now

    @property
    def status(self) -> tuple[PhoneStatus, ...]:
        """All that is registered with us, whether it answers or not."""
        return self._side().status(self._now())

    def reachable(self, name: str) -> tuple[Binding, ...]:
        """Where this phone can be called, best first."""
        return self._side().reachable(name, self._now())

    @property
    def bans(self) -> int:
        """Phones and addresses that have guessed passwords, and are not listened to now."""
        return self._side().bans(self._now())

    def restore(self, bindings: Iterable[Binding]) -> None:
        """What was registered before a restart."""
        self._side().restore(bindings, self._now())
