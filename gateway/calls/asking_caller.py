"""Asks a caller something without the agent's conversation, and records the answer, in memory alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from agent.said import Heard, Said
from agent.turns.signals import SpeechEnded, SpeechStarted
from gateway.calls.conversation import Closes
from gateway.transfers.callers_words import CallersAnswer
from telephony.rooms.protocol import AudioInput, Participant

__all__ = ["CallerSaid", "Listen", "ask_caller"]

Listen = Callable[[AudioInput, Callable[[Heard], None]], Closes | None]


@dataclass(frozen=True, slots=True)
class CallerSaid:
    """`pcm`: 8 kHz, 16 bit; empty: nothing was said. `said`: in words, as far as they were recognised."""

    pcm: bytes = b""
    said: tuple[Said, ...] = ()

    @property
    def text(self) -> str:
        return " ".join(each.text for each in self.said)


async def ask_caller(place: Participant, question: bytes, listen: Listen) -> CallerSaid:
    """`place`: beside the caller, who hears it alone and is heard there. A caller who begins before the question is
    over cuts it short."""
    loop = asyncio.get_running_loop()
    answer, words, changed = CallersAnswer(), list[Said](), asyncio.Event()
    output = place.audio_output

    def told(heard: Heard) -> None:
        match heard:
            case SpeechStarted(at=at):
                answer.begins(at)
                output.clear()
            case SpeechEnded(at=at):
                answer.ends(at)
            case Said():
                words.append(heard)
        changed.set()

    async def ask() -> None:
        output.push(question)
        output.flush()
        await output.wait_played(output.queued_ms)
        answer.asked(loop.time())
        changed.set()

    ears = listen(place.audio_input, told)
    if ears is None:
        return CallerSaid()
    unsubscribe = place.audio_input.subscribe(lambda frame: answer.frame(frame.pcm, frame.at))
    asking = asyncio.create_task(ask(), name="ask the caller")
    try:
        while not answer.due(loop.time()):
            changed.clear()
            try:
                async with asyncio.timeout_at(answer.deadline):
                    await changed.wait()
            except TimeoutError:
                pass
    finally:
        asking.cancel()
        unsubscribe()
        ears.close()
        output.clear()
    return CallerSaid(answer.pcm, tuple(words))
