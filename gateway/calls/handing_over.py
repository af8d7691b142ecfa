"""Customer and human talk with each other through us, and the customer's side is asked to call the human itself, in the
place of our call to them (REFER with Replaces, RFC 5589 section 7.1): then none of our legs is in the way.

If it does not, they go on talking through us, and hear nothing of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from gateway.calls.further_legs import FurtherLegs
from gateway.calls.journal import Journal
from telephony.errors import DialRefused

__all__ = ["HandingOver"]

LIMIT_S = 8.0  # from the REFER to its last report: the human has answered already
Refer = Callable[[str], Awaitable[None]]


class HandingOver:
    """Of one human's leg, once they are joined. `done` is called when the customer's side has the human."""

    def __init__(
        self, leg_id: str, further: FurtherLegs, journal: Journal, refer: Refer, done: Callable[[], None]
    ) -> None:
        """`refer(leg_id)`: have the customer's side asked; raises DialRefused."""
        self._leg_id = leg_id
        self._further = further
        self._journal = journal
        self._refer = refer
        self._done = done
        self._loop = asyncio.get_running_loop()
        self._result: asyncio.Future[tuple[int, str]] = self._loop.create_future()

    async def run(self) -> None:
        """Returns once it is known. The human's phone hangs up our leg when it has been called by the customer's."""
        handed = self._further.hand_on(self._leg_id)
        try:
            await self._refer(self._leg_id)
            async with asyncio.timeout(LIMIT_S):
                status, reason = await self._result
        except DialRefused as refused:
            status, reason = 0, str(refused)
        except TimeoutError:
            status, reason = 0, "no report came of the customer's side"
        fields: dict[str, Any] = {"leg_id": self._leg_id, "status": status, "reason": reason}
        if 200 <= status < 300:
            self._journal.entry("transfer_handed_over", self._loop.time(), **fields)
            self._done()
            return
        self._journal.entry("transfer_not_handed_over", self._loop.time(), **fields)
        self._further.keep(self._leg_id)
        handed.set_result(None)

    def reported(self, *, answer: bool, status: int, reason: str, over: bool) -> None:
        """`answer`: the REFER's own, which only counts as a refusal."""
        if self._result.done() or (answer and 200 <= status < 300) or (not answer and status < 200 and not over):
            return
        self._result.set_result((status, reason))
