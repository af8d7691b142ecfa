"""What a warm transfer says to a human, and to the customer who waits, made while they are being called."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from gateway.calls.asking_caller import CallerSaid
from telephony.media.tones import silence
from telephony.warm import SummaryBy, Warm

__all__ = ["HumansWords", "Says", "Words"]

PAUSE_MS = 300  # between our words and the caller's


@dataclass(frozen=True, slots=True)
class Words:
    text: str
    pcm: bytes


class Says(Protocol):
    """The agent, as `gateway.calls.conversation.Conversation` has it."""

    async def voiced(self, text: str) -> bytes: ...

    def canned(self, key: str) -> str: ...

    async def briefing(self) -> str: ...

    def note(self, text: str) -> None: ...


class HumansWords:
    """Each is made once, however many humans hear it. `close` comes last."""

    def __init__(self, order: Warm, agent: Says) -> None:
        self._order = order
        self._agent = agent
        self._made: dict[str, asyncio.Task[Words]] = {}
        self.caller_said = CallerSaid()  # before `prepare`, what it is about

    def prepare(self) -> None:
        """Begin with those that were ordered, before anybody answers."""
        order = self._order
        if order.accept:
            self.question()
        if order.summary is not SummaryBy.NONE:
            self.summary()
        if order.introduction:
            self.introduction()

    def question(self) -> Awaitable[Words]:
        return self._once("question", partial(self._canned, "transfer_accept"))

    def summary(self) -> Awaitable[Words]:
        return self._once("summary", self._summary)

    @property
    def briefed(self) -> str:
        """The summary, once it has been made."""
        made = self._made.get("summary")
        if made is None or not made.done() or made.cancelled() or made.exception() is not None:
            return ""
        return made.result().text

    def introduction(self) -> Awaitable[Words]:
        return self._once("introduction", lambda: self._voiced(self._order.introduction))

    def taken(self) -> Awaitable[Words]:
        return self._once("taken", partial(self._canned, "transfer_taken"))

    def waiting(self) -> Awaitable[Words]:
        """For the customer."""
        return self._once("waiting", partial(self._canned, "transfer_waiting"))

    def reason(self) -> Awaitable[Words]:
        """The same: what it is about."""
        return self._once("reason", partial(self._canned, "transfer_reason"))

    def close(self) -> None:
        for task in self._made.values():
            task.cancel()

    def _once(self, name: str, make: Callable[[], Coroutine[Any, Any, Words]]) -> Awaitable[Words]:
        if name not in self._made:
            self._made[name] = asyncio.create_task(make(), name=f"words: {name}")
        return asyncio.shield(self._made[name])

    async def _canned(self, key: str) -> Words:
        return await self._voiced(self._agent.canned(key))

    async def _voiced(self, text: str) -> Words:
        return Words(text, await self._agent.voiced(text) if text else b"")

    async def _summary(self) -> Words:
        caller, order = self.caller_said, self._order
        if caller.pcm:
            text = self._agent.canned("transfer_callers_words")
            pcm = await self._agent.voiced(text) + silence(PAUSE_MS) + caller.pcm
            return Words(f"{text} {caller.text}".strip(), pcm)
        words = "" if order.summary is SummaryBy.TEXT else await self._agent.briefing()
        return await self._voiced(words or order.text or self._agent.canned("transfer_summary"))
