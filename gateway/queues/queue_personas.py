"""Personas of ours around human queues, loaded from this file as a dialplan's are from theirs: who takes a message."""

from __future__ import annotations

from collections.abc import AsyncIterator

from agent import Agent, RunContext
from agent.hooks import StopResponse, UserTurn
from agent.providers.base import SpokenAudio
from telephony.media.tones import tone

__all__ = ["MessageTaker"]

BEEP = "[beep]"


class MessageTaker(Agent):
    """You take a message: the caller speaks, you do not answer. The message is in the call's recording."""

    silence_ladder = False

    async def on_enter(self, ctx: RunContext) -> None:
        ctx.session.say(self.say_canned("queue_message"), allow_interruptions=False)
        ctx.session.say(BEEP, allow_interruptions=False)

    async def on_user_turn_completed(self, ctx: RunContext, turn: UserTurn) -> None:
        raise StopResponse

    async def tts_node(self, ctx: RunContext, text: str) -> AsyncIterator[SpokenAudio | bytes]:
        if text == BEEP:
            yield tone(1000.0, 400)
            return
        async for audio in super().tts_node(ctx, text):
            yield audio
