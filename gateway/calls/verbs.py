"""What the agent may do with its leg."""

from __future__ import annotations

from collections.abc import Callable

from telephony.call import CallInfo, Leg

__all__ = ["AgentsVerbs"]


class AgentsVerbs:
    """Implements `CallVerbs`. `hangs_up(reason)` is called just before: it is the agent who ends the call."""

    def __init__(self, leg: Leg, hangs_up: Callable[[str], None]) -> None:
        self._leg = leg
        self._hangs_up = hangs_up
        self.send_digits = leg.send_digits

    @property
    def info(self) -> CallInfo:
        return self._leg.info

    async def hang_up(self, reason: str = "") -> None:
        self._hangs_up(reason)
        await self._leg.hang_up(reason)
