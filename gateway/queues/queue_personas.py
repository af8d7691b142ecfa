"""Personas of ours around human queues, loaded from this file as a dialplan's are from theirs: who takes a message, who
calls back, and who signs members in and out by telephone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import ClassVar

from agent import Agent, RunContext
from agent.hooks import StopResponse, UserTurn
from agent.providers.base import SpokenAudio
from telephony.call import UseRefer
from telephony.errors import DialRefused
from telephony.media.tones import tone
from telephony.queue import QueueEnd

__all__ = ["CallbackToCaller", "CallbackToMember", "MessageTaker", "Pause", "Resume", "SignIn", "SignOut"]

BEEP = "[beep]"
PIN_TRIES = 3


class Mute(Agent):
    """You say fixed sentences, and answer nothing."""

    silence_ladder = False

    async def on_user_turn_completed(self, ctx: RunContext, turn: UserTurn) -> None:
        raise StopResponse

    async def farewell(self, ctx: RunContext, key: str) -> None:
        """Say this canned phrase, then hang up."""
        await ctx.session.say(self.say_canned(key), allow_interruptions=False)
        await ctx.call.hang_up(key)


class MessageTaker(Mute):
    """You take a message: the caller speaks, you do not answer. The message is in the call's recording."""

    async def on_enter(self, ctx: RunContext) -> None:
        ctx.session.say(self.say_canned("queue_message"), allow_interruptions=False)
        ctx.session.say(BEEP, allow_interruptions=False)

    async def tts_node(self, ctx: RunContext, text: str) -> AsyncIterator[SpokenAudio | bytes]:
        if text == BEEP:
            yield tone(1000.0, 400)
            return
        async for audio in super().tts_node(ctx, text):
            yield audio


class CallbackToMember(Mute):
    """You call a member first: who takes the callback by key is connected with the person who asked for it."""

    _taken = False

    async def on_enter(self, ctx: RunContext) -> None:
        variables = ctx.call.info.variables
        self.language = variables["language"]
        ctx.session.say(self.say_canned("callback_to_member").format(queue=variables["queue"]))

    async def on_digit(self, ctx: RunContext, digit: str) -> None:
        if self._taken or digit not in "12":
            return
        variables = ctx.call.info.variables
        callback = variables["callback"]
        self._taken = True
        if digit == "2":
            await ctx.call.ask_queues("callback_declined", callback=callback)
            await ctx.call.hang_up("declined")
            return
        await ctx.call.ask_queues("callback_taken", callback=callback)
        try:
            result = await ctx.call.transfer(variables["number"], refer=UseRefer.NEVER)
        except DialRefused:
            result = None
        if result is not None and result.transferred:
            await ctx.call.ask_queues("callback_reached", callback=callback, leg_id=result.leg_id)
            return
        await ctx.call.ask_queues("callback_missed", callback=callback)
        await self.farewell(ctx, "callback_nobody")


class CallbackToCaller(Mute):
    """You call the person who has asked for it: a member is rung for them at once."""

    async def on_enter(self, ctx: RunContext) -> None:
        variables = ctx.call.info.variables
        self.language = variables["language"]
        await ctx.session.say(self.say_canned("callback_to_caller"), allow_interruptions=False)
        result = await ctx.call.transfer_to_queue(variables["queue"], callback=variables["callback"])
        if not result.has_the_caller and result.end is not QueueEnd.CALLBACK:
            await self.farewell(ctx, "queue_unavailable")


class _Signs(Mute):
    """You know the caller by their telephone or their PIN, and do one thing to them as a member of queues."""

    does: ClassVar[str]
    says: ClassVar[str]
    _pin = ""
    _tries = 0

    async def on_enter(self, ctx: RunContext) -> None:
        await self._try(ctx)

    async def on_digit(self, ctx: RunContext, digit: str) -> None:
        if digit == "#":
            await self._try(ctx)
        elif digit.isdigit():
            self._pin = (self._pin + digit)[-16:]

    async def _try(self, ctx: RunContext) -> None:
        pin, self._pin = self._pin, ""
        info = ctx.call.info
        body = {"does": self.does, "phone": info.variables.get("phone", "") if info.trunk == "phones" else ""}
        try:
            answer = await ctx.call.ask_queues("sign", **body, number=info.caller or "", pin=pin)
        except DialRefused:
            await self.farewell(ctx, "sign_unknown")
            return
        if answer.get("member"):
            await self.farewell(ctx, self.says)
            return
        self._tries += 1
        if self._tries > PIN_TRIES or not answer.get("may_be"):
            await self.farewell(ctx, "sign_unknown")
        else:
            ctx.session.say(self.say_canned("sign_pin"))


class SignIn(_Signs):
    does, says = "in", "signed_in"


class SignOut(_Signs):
    does, says = "out", "signed_out"


class Pause(_Signs):
    does, says = "pause", "sign_paused"


class Resume(_Signs):
    does, says = "resume", "sign_resumed"
