"""What one session runs on: set once and never changed. The session's parts keep what changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from agent.events import ProviderFailed, SessionEvent
from agent.options import SessionOptions
from agent.pipeline.casting import Part
from agent.pipeline.tasks import SessionTasks
from agent.providers.base import Offload, ProviderError
from telephony.call import CallVerbs
from telephony.rooms.protocol import AudioOutput

__all__ = ["Runtime"]


@dataclass(frozen=True, slots=True)
class Runtime:
    """`output`: None in a text conversation. `call`: the leg's verbs, if there is one. `emit` reports to all watchers
    of the session."""

    loop: asyncio.AbstractEventLoop
    options: SessionOptions
    tasks: SessionTasks
    offload: Offload
    tool_offload: Offload
    output: AudioOutput | None
    call: CallVerbs | None
    emit: Callable[[SessionEvent], None]

    def now(self) -> float:
        """Loop time, in seconds."""
        return self.loop.time()

    def provider_failed(
        self, part: Part, error: ProviderError, action: Literal["retry", "canned", "ignored", "fallback"]
    ) -> None:
        self.emit(ProviderFailed(self.now(), error.provider, part, str(error), action))
