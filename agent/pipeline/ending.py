"""How a session ends politely, once: the last word is played to its last frame, then the leg is hung up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from agent.pipeline.runtime import Runtime
from agent.pipeline.talker import Talker
from telephony.media.frames import FRAME_MS
from telephony.rooms.protocol import AudioOutput

__all__ = ["Ending"]

_log = logging.getLogger(__name__)


class Ending:
    def __init__(
        self,
        runtime: Runtime,
        talker: Talker,
        stop_hearing: Callable[[], None],
        close: Callable[[str], object],
    ) -> None:
        """`close` begins to close the session; it is not awaited here, since closing waits for this task."""
        self._runtime = runtime
        self._talker = talker
        self._stop_hearing = stop_hearing
        self._close = close
        self._task: asyncio.Task[None] | None = None
        self._at_once = asyncio.Event()  # nobody is left to hear the rest
        self.hanging_up = False
        self.begun = False

    def begin(self) -> None:
        """Stop listening; finish the current speech."""
        if not self.begun:
            self.begun = True
            self._talker.speaker.refuse()
            self._stop_hearing()
            self._talker.speaker.keep_all()

    def end(self, reason: str, farewell: str, *, cut: bool = False) -> asyncio.Task[None]:
        """Say `farewell` after what is queued (`cut`: after the current sentence), hang up, close. A second
        call has no effect. A caller on hold hears it when back, except with `cut`."""
        if cut and self._talker.speaker.held:
            self._at_once.set()
        if self._task is None:
            self.begin()
            self._task = self._runtime.tasks.spawn(self._run(reason, farewell, cut), "ending")
        return self._task

    async def _run(self, reason: str, farewell: str, cut: bool) -> None:
        try:
            if cut:
                self._talker.stop_replies(force=True)
                await self._talker.speaker.finish_sentence()
            if farewell:
                self._talker.say(farewell, "farewell", allow_interruptions=False)
            await self._played_out()
            await self._hang_up(reason)
        finally:
            self._close(reason)

    async def _played_out(self) -> None:
        """Wait for the last frame; give up if there is no playback progress for `farewell_margin_ms`."""
        output, loop = self._runtime.output, self._runtime.loop
        if output is None:
            await self._talker.speaker.idle()
            return
        silent = self._runtime.tasks.spawn(self._silent(output), "playing out")
        seen = (-1.0, -1.0)
        stuck_since = loop.time()
        at_once = self._runtime.tasks.spawn(self._at_once.wait(), "end of waiting")
        while not silent.done():
            await asyncio.wait({silent, at_once}, timeout=0.5, return_when=asyncio.FIRST_COMPLETED)
            progress = (output.queued_ms, output.played_ms)
            if at_once.done():
                silent.cancel()
                return
            if progress != seen or self._talker.speaker.held:
                seen, stuck_since = progress, loop.time()
            elif (loop.time() - stuck_since) * 1000 >= self._runtime.options.farewell_margin_ms:
                _log.warning("the farewell was not played out: the leg takes no audio")
                silent.cancel()
                at_once.cancel()
                return
        at_once.cancel()

    async def _silent(self, output: AudioOutput) -> None:
        await self._talker.speaker.idle()
        await output.drained()
        await asyncio.sleep(FRAME_MS / 1000)  # the last frame has been taken, not yet heard

    async def _hang_up(self, reason: str) -> None:
        if self._runtime.call is None:
            return
        self.hanging_up = True
        try:
            async with asyncio.timeout(5):
                await self._runtime.call.hang_up(reason)
        except Exception:  # noqa: BLE001  the session ends all the same; the leg's owner makes sure of the leg
            _log.exception("hanging up failed")
