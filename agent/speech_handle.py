"""What `say` and `generate_reply` return."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator

from agent.within import waiting_for_conversation

__all__ = ["SpeechHandle"]


class SpeechHandle:
    """Await it to wait until the speech is over: played out, interrupted or dropped. Awaiting it returns the handle."""

    def __init__(
        self,
        interrupt: Callable[[SpeechHandle], None] = lambda _: None,
        awaited: Callable[[SpeechHandle], None] = lambda _: None,
    ) -> None:
        """`awaited` is called when someone starts to wait for it: a reply must not wait for a tool that waits for that
        reply."""
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._interrupt = interrupt
        self._awaited = awaited
        self.interrupted = False
        self.text = ""  # the part that was heard

    def done(self) -> bool:
        return self._done.done()

    def interrupt(self) -> None:
        """Stop it. Does nothing if it is over."""
        if not self.done():
            self._interrupt(self)

    def finish(self, *, interrupted: bool = False) -> None:
        """Mark it as over. For the session."""
        if not self._done.done():
            self.interrupted = self.interrupted or interrupted
            self._done.set_result(None)

    def __await__(self) -> Generator[object, None, SpeechHandle]:
        with waiting_for_conversation():
            self._awaited(self)
            # Shielded: a cancelled waiter must not end the speech for the others.
            yield from asyncio.shield(self._done).__await__()
        return self
