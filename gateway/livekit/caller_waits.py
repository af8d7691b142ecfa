"""What the caller hears while there is no agent, or no connection to LiveKit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.config import LiveKitSettings
from telephony.media.frames import duration_ms
from telephony.media.tones import ringback
from telephony.rooms.protocol import AudioOutput

__all__ = ["CallerWaits", "announce", "nobody_came"]

RINGBACK_AFTER_S = 0.7  # most agents are there by then, and a phone need not ring again


def announce(announcer: AudioOutput | None, pcm: bytes) -> float:
    """To the caller alone; its length in seconds."""
    if announcer is not None:
        announcer.push(pcm)
        announcer.flush()
    return duration_ms(pcm) / 1000


def nobody_came(settings: LiveKitSettings, *, met: bool) -> str:
    """The end's reason, with what to do. `met`: an agent had been there."""
    if met:
        return f"agent_lost: the agent has left and none came back within {settings.agent_return_s:g} s"
    name, limit_s = settings.agent_name, settings.agent_timeout_s
    asked = f"no agent worker is registered as '{name}'" if name else "no agent worker accepts nameless rooms"
    return f"no_agent: no agent came within {limit_s:g} s: {asked} (start `trunkline worker`), or all are busy"


class CallerWaits:
    """Once there has been a conversation, a sentence that asks to wait, said once; then ringing."""

    def __init__(
        self,
        announcer: Callable[[], AudioOutput | None],
        one_moment: Callable[[], bytes],
        change: Callable[[float], Awaitable[object]],
    ) -> None:
        """`one_moment()`: the sentence, 8 kHz audio. `change(limit_s)` waits until something may have happened."""
        self._announcer = announcer
        self._one_moment = one_moment
        self._change = change
        self._asked_to_wait = False  # since an agent was there
        self.met = False  # an agent has been there

    def talk(self) -> None:
        """An agent is there."""
        self.met, self._asked_to_wait = True, False

    async def for_somebody(self, came: Callable[[], bool], limit_s: float) -> bool:
        """Whether they came in time."""
        return await self.until(came, 0.0 if self._to_be_asked else RINGBACK_AFTER_S, limit_s)

    async def until(self, over: Callable[[], bool], silent_s: float, limit_s: float) -> bool:
        """Whether `over()` within the limit. For the first `silent_s` the caller hears nothing."""
        loop = asyncio.get_running_loop()
        due = loop.time() + silent_s
        deadline = loop.time() + limit_s
        try:
            while not over():
                now = loop.time()
                if now >= deadline:
                    return False
                if now < due:
                    await self._change(min(due, deadline) - now)
                elif self._to_be_asked:
                    self._asked_to_wait = True
                    due += announce(self._announcer(), self._one_moment()) + RINGBACK_AFTER_S
                else:
                    due += announce(self._announcer(), ringback())
            return True
        finally:
            if (announcer := self._announcer()) is not None:
                announcer.clear()

    @property
    def _to_be_asked(self) -> bool:
        return self.met and not self._asked_to_wait
