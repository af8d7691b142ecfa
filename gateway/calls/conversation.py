"""What a call is for once it is answered. There are two kinds: with a session of this process, and in a LiveKit room
with whoever is there. `Call` owns the legs and the end; a conversation says when it is over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.calls.early_digits import EarlyDigits
from gateway.calls.journal import Journal
from telephony.call import CallInfo, CallVerbs, DialledLeg, EndedBy
from telephony.rooms.protocol import LegAudio, Recorder, Room

__all__ = ["CallSide", "Conversation", "ConversationMaker", "ConversationOver", "NotTalking"]


@dataclass(frozen=True, slots=True)
class ConversationOver:
    """Who ended it and why; by None: it was not ended, the leg has gone."""

    by: EndedBy | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CallSide:
    """What a conversation has of its call. `hangs_up(by, reason)` is to be called when it uses the verbs' `hang_up`."""

    info: CallInfo
    verbs: CallVerbs  # of the customer's leg
    digits: EarlyDigits
    journal: Journal
    hangs_up: Callable[[EndedBy, str], None]
    dial: Callable[..., Awaitable[DialledLeg]]  # as `Dials.dial`


class NotTalking(Exception):
    """There is no agent (yet, or any more) that could say something; or it is not ours to tell."""


class Conversation(Protocol):
    """In this order: `prepare`, `join`, `hold`, `stop`, `close`; the latter two in any case."""

    @property
    def begun(self) -> bool:
        """Whether it is told of the end (`leg_ended`) and ends by itself; until then it is cancelled."""

    @property
    def tokens(self) -> tuple[int, int]:
        """Of prompts and completions so far."""

    @property
    def joins_unprepared(self) -> bool:
        """Whether `join` may come before `prepare`: then a call that we place rings while it is prepared."""

    async def prepare(self) -> None:
        """While the phone rings: all that can be ready before the answer. What it raises is the call's end."""

    def join(self, recorder: Recorder | None) -> LegAudio:
        """The customer's place in the room."""

    @property
    def room(self) -> Room | None:
        """After `join`: where further legs can join. None: nowhere."""

    async def hold(self) -> ConversationOver:
        """From the answer until it is over. Takes the digits once it can do something with them."""

    async def apologize(self) -> None:
        """The call was answered, and there will be no conversation: a word to the customer, if there is a way. Never
        raises."""

    def on_hold(self, held: bool) -> None:
        """The phone was put on hold, or taken back."""

    async def drain(self, reason: str) -> None:
        """End politely."""

    def say(self, text: str, *, allow_interruptions: bool) -> None:
        """In the agent's voice, after what is being said. Raises NotTalking."""

    def leg_ended(self) -> None:
        """The customer has gone. No effect when it is ending by itself."""

    async def stop(self) -> None:
        """It did not end, or its start has failed half way. May raise."""

    async def close(self) -> None:
        """After all: leave the room."""

    async def summary(self, *, by_model: bool) -> tuple[str, str]:
        """After `close`: what it was about, and whose words that is ("persona", "model"); empty: no words. May take
        seconds."""


ConversationMaker = Callable[[CallSide], Conversation]
