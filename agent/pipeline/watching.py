"""A session as seen by the event loop's watch: which of its code blocks the loop, and how to speak to its caller
then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from agent.events import FunctionBlocked
from agent.loop_watch import Blocked
from agent.persona import Agent
from agent.pipeline.canned import CannedAudio, in_spoken_form, waiting_tone
from agent.pipeline.runtime import Runtime
from telephony.media.frames import duration_ms

__all__ = ["Announces", "WatchedSession"]


@runtime_checkable
class Announces(Protocol):
    """An output that accepts audio from another thread while the loop is blocked."""

    def announce(self, pcm: bytes) -> None: ...


class WatchedSession:
    """Implements `Watched`."""

    def __init__(
        self,
        runtime: Runtime,
        agent: Callable[[], Agent],
        canned: CannedAudio,
        *,
        unheard: Callable[[], bool],
        announced: Callable[[float], None],
    ) -> None:
        """`agent`: who has the caller. `unheard`: the caller hears nothing (on hold). `announced`: something is audible
        until then."""
        self._runtime = runtime
        self._agent = agent
        self._unheard = unheard
        self._announced = announced
        self._canned = canned

    def loop_blocked(self, blocked: Blocked) -> None:
        runtime = self._runtime
        runtime.emit(FunctionBlocked(runtime.now(), blocked.name, blocked.blocked_ms, blocked.stack))

    def announce(self, canned: str) -> float:
        runtime, agent = self._runtime, self._agent()
        output: object = runtime.output
        if not isinstance(output, Announces) or self._unheard() or not agent.say_canned(canned):
            return 0.0
        pcm = self._canned.get(agent, in_spoken_form(agent, canned)) or waiting_tone()
        output.announce(pcm)
        seconds = duration_ms(pcm) / 1000
        # When the loop runs again, waiting counts from here, so no second filler follows immediately.
        self._announced(runtime.now() + seconds)
        return seconds
