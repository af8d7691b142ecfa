"""Who talks in the calls of bench/phones.yaml."""

from collections.abc import AsyncIterator

from agent import Agent, Answering, RunContext
from agent.providers.base import SpokenAudio
from telephony.call import SummaryBy, Warm
from telephony.media.tones import tone


class Caller(Agent):
    """Greets with the tone of the instant TTS, once media flows."""

    greeting = "Hello."


MESSAGE = "Please call us back."


class Machine(Agent):
    """Finds out who has answered: greets a person with the tone of the instant TTS, and leaves 3 s of 880 Hz for a
    voicemail."""

    greeting = "Hello."
    answering = Answering(message=MESSAGE)

    async def tts_node(self, ctx: RunContext, text: str) -> AsyncIterator[SpokenAudio | bytes]:
        if text == MESSAGE:
            yield tone(880, 3000)
            return
        async for audio in super().tts_node(ctx, text):
            yield audio


HUMAN, NEXT = "sip:human@127.0.0.1:5091", "sip:human@127.0.0.1:5092"
SUMMARY = "The caller has pressed a key."


class Desk(Agent):
    """Brings the caller to a human: by key 1 warm, by key 2 cold, by key 4 to one of two, one after the other, by key 3
    to whoever the queue `desk` finds. Its
    summary is 1 s of 660 Hz; whatever else it says is the instant TTS's tone."""

    greeting = ""

    async def on_digit(self, ctx: RunContext, digit: str) -> None:
        told = Warm(detect=False, summary=SummaryBy.TEXT, text=SUMMARY)
        if digit == "1":
            result = await ctx.call.transfer(HUMAN, warm=told, ring_s=5)
        elif digit == "2":
            result = await ctx.call.transfer(HUMAN, ring_s=5)
        elif digit == "3":
            queued = await ctx.call.transfer_to_queue("desk")
            if not queued.has_the_caller:
                ctx.session.say(f"Nobody took the call: {queued.end}.")
            return
        elif digit == "4":
            hunt = Warm(also=(NEXT,), detect=False, summary=SummaryBy.TEXT, text=SUMMARY)
            result = await ctx.call.transfer(HUMAN, warm=hunt, ring_s=5)
        else:
            return
        if not result.transferred:
            ctx.session.say(f"Nobody took the call: {result.end}.")

    async def tts_node(self, ctx: RunContext, text: str) -> AsyncIterator[SpokenAudio | bytes]:
        if text == SUMMARY:
            yield tone(660, 1000)
            return
        async for audio in super().tts_node(ctx, text):
            yield audio
