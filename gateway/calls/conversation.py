"""What a call is for once it is answered. There are two kinds: with a session of this process in a local room, and in
a LiveKit room with whoever is there. `CallOwner` owns the leg and its end; a conversation says when it is over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from telephony.call import EndedBy
from telephony.rooms.protocol import LegAudio, Recorder

__all__ = ["Conversation", "ConversationOver"]


@dataclass(frozen=True, slots=True)
class ConversationOver:
    """Who ended it and why; by None: it was not ended, the leg has gone."""

    by: EndedBy | None
    reason: str = ""


class Conversation(Protocol):
    """In this order: `prepare`, `join`, `hold`, `close`; the latter in any case. `hangs_up(by, reason)` of its owner is
    called when it uses the leg's `hang_up`."""

    @property
    def begun(self) -> bool:
        """Whether it is told of the end (`leg_ended`) and ends by itself; until then it is cancelled."""

    @property
    def tokens(self) -> tuple[int, int]:
        """Of prompts and completions so far."""

    async def prepare(self) -> None:
        """While the phone rings: all that can be ready before the answer. What it raises is the call's end."""

    def join(self, recorder: Recorder | None) -> LegAudio:
        """The leg's place."""

    async def hold(self) -> ConversationOver:
        """From the answer until it is over."""

    def digit(self, digit: str, at: float) -> None:
        """The caller pressed a key, at any time."""

    def on_hold(self, held: bool) -> None:
        """The phone was put on hold, or taken back."""

    async def drain(self, reason: str) -> None:
        """End politely."""

    def leg_ended(self) -> None:
        """The caller has gone. No effect when it is ending by itself."""

    async def stop(self) -> None:
        """It did not end, or its start has failed half way. May raise."""

    async def close(self) -> None:
        """After all: leave the room."""

    async def summary(self, *, by_model: bool) -> tuple[str, str]:
        """After `close`: what it was about, and whose words that is ("persona", "model"); empty: no words. May take
        seconds."""
