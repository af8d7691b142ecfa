"""What a warm transfer says to a human, and to the customer who waits, made while they are being called."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from telephony.warm import SummaryBy, Warm

__all__ = ["HumansWords", "Says", "Words"]


@dataclass(frozen=True, slots=True)
class Words:
    text: str
    pcm: bytes


class Says(Protocol):
    """The agent, as `gateway.calls.conversation.Conversation` has it."""

    async def voiced(self, text: str) -> bytes: ...

    def canned(self, key: str) -> str: ...

    async def briefing(self) -> str: ...


class HumansWords:
    """Each is made once, however many humans hear it. `close` comes last."""

    def __init__(self, order: Warm, agent: Says) -> None:
        self._order = order
        self._agent = agent
        self._made: dict[str, asyncio.Task[Words]] = {}

    def prepare(self) -> None:
        """Begin with those that were ordered, before anybody answers."""
        order = self._order
        if order.accept:
            self._begin("question", self._question)
        if order.summary is not SummaryBy.NONE:
            self._begin("summary", self._summary)
        if order.introduction:
            self._begin("introduction", self._introduction)

    def question(self) -> Awaitable[Words]:
        return self._begin("question", self._question)

    def summary(self) -> Awaitable[Words]:
        return self._begin("summary", self._summary)

    def introduction(self) -> Awaitable[Words]:
        return self._begin("introduction", self._introduction)

    def taken(self) -> Awaitable[Words]:
        return self._begin("taken", self._taken)

    def waiting(self) -> Awaitable[Words]:
        """For the customer."""
        return self._begin("waiting", self._waiting)

    def close(self) -> None:
        for task in self._made.values():
            task.cancel()

    def _begin(self, name: str, make: Callable[[], Awaitable[str]]) -> Awaitable[Words]:
        if name not in self._made:
            self._made[name] = asyncio.create_task(self._voiced(make), name=f"words: {name}")
        return asyncio.shield(self._made[name])

    async def _voiced(self, make: Callable[[], Awaitable[str]]) -> Words:
        text = await make()
        return Words(text, await self._agent.voiced(text) if text else b"")

    async def _question(self) -> str:
        return self._agent.canned("transfer_accept")

    async def _summary(self) -> str:
        words = await self._agent.briefing() if self._order.summary is SummaryBy.MODEL else ""
        return words or self._order.text or self._agent.canned("transfer_summary")

    async def _introduction(self) -> str:
        return self._order.introduction

    async def _waiting(self) -> str:
        return self._agent.canned("transfer_waiting")

    async def _taken(self) -> str:
        return self._agent.canned("transfer_taken")
