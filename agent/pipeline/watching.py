"""A session as the watch of its event loop sees it: who of it blocks the loop, and how its caller is spoken to then."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from agent.events import FunctionBlocked
from agent.loop_watch import Blocked
from agent.pipeline.canned import CannedAudio, in_spoken_form, waiting_tone
from agent.pipeline.conversation import Conversation
from telephony.media.frames import duration_ms

__all__ = ["Announces", "WatchedSession"]


@runtime_checkable
class Announces(Protocol):
    """An output that can be given audio from another thread while the loop stands still."""

    def announce(self, pcm: bytes) -> None: ...


class WatchedSession:
    """Implements `Watched`."""

    def __init__(self, conversation: Conversation, canned: CannedAudio) -> None:
        self._conversation = conversation
        self._canned = canned

    def loop_blocked(self, blocked: Blocked) -> None:
        conversation = self._conversation
        conversation.emit(FunctionBlocked(conversation.now(), blocked.name, blocked.blocked_ms, blocked.stack))

    def announce(self, canned: str) -> float:
        conversation, agent = self._conversation, self._conversation.agent
        output: object = conversation.output
        if not isinstance(output, Announces) or conversation.held or not agent.say_canned(canned):
            return 0.0
        pcm = self._canned.get(agent, in_spoken_form(agent, canned)) or waiting_tone()
        output.announce(pcm)
        seconds = duration_ms(pcm) / 1000
        # When the loop goes on, nobody has waited since before this: no second word comes right behind it.
        conversation.last_sound_at = max(conversation.last_sound_at, conversation.now() + seconds)
        return seconds
