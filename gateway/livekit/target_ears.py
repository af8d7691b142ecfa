"""Who has answered a further leg of a call in a LiveKit room, by a VAD of the call worker: the agent's recogniser is
another process's, so it is found out by cadence and tones alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from agent.leg_ears import LegEars
from agent.options import SessionOptions
from agent.persona import Agent
from agent.pipeline.tasks import SessionTasks
from agent.providers.base import VAD
from telephony.media.answering.model import AnsweredBy, WhoAnswered
from telephony.rooms.protocol import AudioInput

__all__ = ["TargetEars"]

log = structlog.get_logger(__name__)


class TargetEars:
    """One per process. `load` comes first."""

    def __init__(self, make: Callable[[], VAD] | None) -> None:
        """`make`: takes a moment, and is called off the loop; None: nobody is listened to."""
        self._make = make
        self._vad: VAD | None = None
        self._loading = asyncio.Lock()

    @property
    def hears(self) -> bool:
        return self._make is not None

    async def load(self) -> None:
        async with self._loading:
            if self._vad is None and self._make is not None:
                self._vad = await asyncio.to_thread(self._make)

    def screen(self, hears: AudioInput, who: WhoAnswered, told: Callable[[AnsweredBy], None]) -> LegEars | None:
        if self._vad is None:
            return None
        tasks = SessionTasks(asyncio.get_running_loop())
        return LegEars(
            hears, who, told, agent=Agent(), options=SessionOptions(), tasks=tasks, vad=self._vad, stt=None,
            failed=lambda part, error, action: log.warning("target_not_heard", part=part, error=str(error)),
        )  # fmt: skip
