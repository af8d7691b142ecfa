"""What a caller in a queue hears over the music, and how they leave by themselves: announcements, messages, keys,
words, and the agreement to be called back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import structlog

from agent.clock import has_real_time
from agent.pipeline.sound_file import load_sound
from gateway.calls.queue_side import QueueSide
from gateway.calls.queue_terms import QueueTerms
from gateway.queues.model import WaitingEnd
from telephony.errors import DialRefused
from telephony.media.wav import BadWavFile

__all__ = ["Company"]

log = structlog.get_logger(__name__)

KEY_LIMIT_S = 20.0  # for an answer to a question
DIGIT_LIMIT_S = 6.0  # between the digits of a number
MOST_DIGITS = 15
_TRIES = 3
T = TypeVar("T")


class Company:
    """Of one caller, from the beginning of the music to its end."""

    def __init__(self, side: QueueSide, terms: QueueTerms, leaves: Callable[[WaitingEnd], None]) -> None:
        self._side = side
        self._terms = terms
        self._leaves = leaves
        self._loop = asyncio.get_running_loop()
        self._speaking: asyncio.Task[None] | None = None
        self._asked: asyncio.Queue[str] | None = None  # the caller's keys, while they are asked something
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    def begin(self) -> None:
        self._side.keys_to(self._pressed)
        if self._terms.leave_by_words:
            self._side.words_to(self._heard)
        if self._terms.messages:
            self._spawn(self._messages())

    def close(self) -> None:
        """Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._side.keys_to(None)
        self._side.words_to(None)
        for task in tuple(self._tasks):
            if task is not asyncio.current_task():
                task.cancel()

    # --- what they hear ----------------------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """Unless something is being said already, or the caller is asked something."""
        if not self._closed and text and self._asked is None and (self._speaking is None or self._speaking.done()):
            self._speaking = self._spawn(self._tell(text))

    async def said(self) -> None:
        """Once nothing is being said."""
        if self._speaking is not None and not self._closed:
            await asyncio.wait({self._speaking})

    async def _tell(self, text: str) -> None:
        began_at = self._loop.time()
        pcm = await self._side.agent.voiced(text)
        whole = await self._side.tell_customer(pcm)
        fields = {"text": text, "started_at": began_at, "interrupted": not whole}
        self._side.note("told_waiting_caller", fields)

    async def _messages(self) -> None:
        """In turn, over and over."""
        number = 0
        while True:
            await asyncio.sleep(self._terms.messages_every_s)
            text, file = self._terms.messages[number % len(self._terms.messages)]
            number += 1
            if text:
                self.say(text)
            elif self._asked is None and (self._speaking is None or self._speaking.done()):
                self._speaking = self._spawn(self._play(Path(file)))

    async def _play(self, file: Path) -> None:
        try:
            pcm = await asyncio.to_thread(load_sound, file) if has_real_time(self._loop) else load_sound(file)
        except (OSError, BadWavFile) as error:
            log.warning("queue_message_not_read", file=str(file), error=str(error))
            return
        await self._side.tell_customer(pcm)

    # --- how they leave ----------------------------------------------------------------------------------------------

    def _pressed(self, digit: str) -> None:
        if self._asked is not None:
            self._asked.put_nowait(digit)
        else:
            self._wants(self._terms.leave_by_key.get(digit, ""))

    def _heard(self, text: str) -> None:
        said = " ".join("".join(c if c.isalnum() else " " for c in text.casefold()).split())
        for words, how in self._terms.leave_by_words.items():
            if f" {words.casefold()} " in f" {said} ":
                self._wants(how)
                return

    def _wants(self, how: str) -> None:
        if self._closed or not how or self._asked is not None:
            return
        if how == "agent":
            self._leaves(WaitingEnd.LEFT)
        else:
            self._asked = asyncio.Queue()
            self._spawn(self._callback(self._asked))

    async def _callback(self, keys: asyncio.Queue[str]) -> None:
        """The number is agreed on, and the caller's place is kept."""
        try:
            agreed = await self._agreed(keys, self._side.caller_number)
            if not agreed and not self._closed:
                await self._tell(self._canned("callback_no"))
        finally:
            self._asked = None
        if agreed:
            self._leaves(WaitingEnd.CALLBACK)

    async def _agreed(self, keys: asyncio.Queue[str], number: str) -> bool:
        for _ in range(_TRIES):
            if number and not (await self._may_be(number)):
                await self._tell(self._canned("callback_not_a_number"))
                number = ""
            if number:
                key = await self._answer("callback_offer", keys, number=_spelt(number))
                if key == "1" and await self._ordered(number):
                    await self._tell(self._canned("callback_kept").format(number=_spelt(number)))
                    return True
                if key != "2":
                    return False
            number = await self._number(keys)
            if not number:
                return False
        return False

    async def _may_be(self, number: str) -> bool:
        try:
            await self._side.ask_queues("may_call", number=number)
        except DialRefused:
            return False
        return True

    async def _ordered(self, number: str) -> bool:
        try:
            await self._side.ask_queues("callback", number=number)
        except DialRefused as refused:
            log.warning("callback_not_taken", error=str(refused))
            return False
        return True

    async def _number(self, keys: asyncio.Queue[str]) -> str:
        """As keyed in, to the pound key or a pause; empty: nothing."""
        digit, found = await self._answer("callback_number", keys), ""
        while digit and digit != "#" and len(found) < MOST_DIGITS:
            found += digit if digit.isdigit() else ""
            digit = await _key(keys, DIGIT_LIMIT_S)
        return found

    async def _answer(self, key: str, keys: asyncio.Queue[str], **fields: str) -> str:
        """The first key, which cuts the question short; empty: none came."""
        speaking = self._spawn(self._tell(self._canned(key).format(**fields)))
        pressed = self._spawn(keys.get())
        await asyncio.wait({speaking, pressed}, return_when=asyncio.FIRST_COMPLETED)
        if not pressed.done():
            await asyncio.wait({pressed}, timeout=KEY_LIMIT_S)
        speaking.cancel()
        if not pressed.done():
            pressed.cancel()
            return ""
        return pressed.result()

    def _canned(self, key: str) -> str:
        return self._side.agent.canned(key)

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _key(keys: asyncio.Queue[str], limit_s: float) -> str:
    try:
        async with asyncio.timeout(limit_s):
            return await keys.get()
    except TimeoutError:
        return ""


def _spelt(number: str) -> str:
    """Digit by digit, as it is said."""
    return " ".join(number.removeprefix("+"))
