"""The calls that the gateway has announced to this worker, by leg, and which of PJSIP's slots belong to legs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from gateway.control import Prepare

__all__ = ["Announced", "Slots"]

_WAIT_S = 1.0  # how long an INVITE may be ahead of its Prepare


class Announced:
    """From its `Prepare`, or from an INVITE that was ahead of it, until the call is over."""

    def __init__(self) -> None:
        self._prepared: dict[str, asyncio.Future[Prepare]] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._prepared)

    def prepare(self, leg_id: str, message: Prepare) -> bool:
        """False: it has been prepared before."""
        waiting = self._waiting(leg_id)
        if waiting.done():
            return False
        waiting.set_result(message)
        return True

    def is_prepared(self, leg_id: str) -> bool:
        waiting = self._prepared.get(leg_id)
        return waiting is not None and waiting.done()

    async def wait(self, leg_id: str) -> Prepare | None:
        """The gateway's announcement of a leg whose INVITE is here; None if there is none in time."""
        waiting = self._waiting(leg_id)
        try:
            async with asyncio.timeout(_WAIT_S):
                return await asyncio.shield(waiting)  # another INVITE of the same leg may wait for it too
        except TimeoutError:
            if self._prepared.get(leg_id) is waiting:
                del self._prepared[leg_id]
            return None

    def forget(self, leg_id: str) -> bool:
        """Idempotent; False when it was not known."""
        return self._prepared.pop(leg_id, None) is not None

    def _waiting(self, leg_id: str) -> asyncio.Future[Prepare]:
        waiting = self._prepared.get(leg_id)
        if waiting is None:
            waiting = self._prepared[leg_id] = asyncio.get_running_loop().create_future()
        return waiting


class Slots:
    """The gateway counts a slot from a call's `Prepare` to its end on record; PJSIP holds one from the INVITE until the
    peer has answered the BYE. A call that is only expected holds none, and must not be counted as lingering."""

    def __init__(self, announced: Announced) -> None:
        self._announced = announced
        self._invited: set[str] = set()  # legs whose INVITE is here
        self._dialled: set[str] = set()  # legs whose INVITE is ours
        self._over: set[str] = set()  # of these, the ones whose end has been told

    def invited(self, leg_id: str) -> bool:
        """Its INVITE is here. False for a second one: a leg has one slot."""
        if leg_id in self._invited:
            return False
        self._invited.add(leg_id)
        return True

    def dialled(self, leg_id: str) -> None:
        """Its INVITE is about to be sent."""
        self._dialled.add(leg_id)

    def told_over(self, leg_id: str) -> None:
        if leg_id in self._invited or leg_id in self._dialled:
            self._over.add(leg_id)

    def left(self, leg_id: str) -> None:
        self._invited.discard(leg_id)
        self._dialled.discard(leg_id)
        self._over.discard(leg_id)

    def lingering(self, in_use: int) -> int:
        """PJSIP's `in_use` slots that it holds for calls which are over."""
        return max(0, in_use - len(self._invited - self._over) - len(self._dialled - self._over))

    def unannounced(self) -> list[str]:
        """Legs with a slot that the gateway has said nothing about: it may have given their slot to another call."""
        return sorted(leg_id for leg_id in self._invited - self._over if not self._announced.is_prepared(leg_id))
