"""Questions over a channel, both ways: answers, refusals, time limits, and a side that disappears."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from agent.testing.virtual_clock import run_virtual
from agent.warm.asking import Answer, Asking, AskLost, AskTimedOut, Question, Refused
from agent.warm.channel import Channel, Message, Wire


class OurChannel(Channel):
    wire = Wire([Question, Answer], most_bytes=1000)


class End:
    """One end of a channel with its questions."""

    def __init__(self) -> None:
        self.others: list[Message] = []
        self.asking = Asking(lambda message: self.channel.send(message))
        self.channel = OurChannel(self._received, self.asking.close)

    def _received(self, message: Message) -> None:
        if not self.asking.received(message):
            self.others.append(message)


def between(script: Callable[[End, End], Awaitable[None]]) -> None:
    async def run() -> None:
        sockets = socket.socketpair()
        ends = (End(), End())
        for end, sock in zip(ends, sockets, strict=True):
            await end.channel.connect(sock)
        await script(*ends)
        for end in ends:
            end.channel.close()
            await end.channel.closed.wait()

    run_virtual(run())


async def double(body: Mapping[str, Any]) -> Mapping[str, Any]:
    await asyncio.sleep(body.get("takes", 0))
    return {"number": body["number"] * 2}


def test_both_ends_ask_at_once_and_answers_find_their_questions() -> None:
    async def script(one: End, other: End) -> None:
        one.asking.serve("double", double)
        other.asking.serve("double", double)
        asked = [
            end.asking.ask("double", {"number": number, "takes": 0.5 - number / 10}, timeout_s=1)
            for number in range(4)
            for end in (one, other)
        ]
        assert [answer["number"] for answer in await asyncio.gather(*asked)] == [0, 0, 2, 2, 4, 4, 6, 6]

    between(script)


def test_a_refusal_keeps_its_kind_and_whether_it_is_worth_another_try() -> None:
    async def nobody(body: Mapping[str, Any]) -> Mapping[str, Any]:
        raise Refused("nobody_free", "all three are talking", retryable=True)

    async def script(one: End, other: End) -> None:
        other.asking.serve("human", nobody)
        with pytest.raises(Refused, match="nobody_free: all three are talking") as refused:
            await one.asking.ask("human", {}, timeout_s=1)
        assert (refused.value.kind, refused.value.retryable) == ("nobody_free", True)

    between(script)


def test_a_topic_that_nobody_serves_and_an_answer_that_fails_are_refusals() -> None:
    async def script(one: End, other: End) -> None:
        other.asking.serve("double", double)
        with pytest.raises(Refused) as unknown:
            await one.asking.ask("triple", {}, timeout_s=1)
        assert unknown.value.kind == "unknown_topic"
        with pytest.raises(Refused, match="KeyError") as failed:
            await one.asking.ask("double", {}, timeout_s=1)
        assert (failed.value.kind, failed.value.retryable) == ("failed", False)

    between(script)


def test_a_late_answer_is_dropped_and_the_channel_goes_on() -> None:
    async def script(one: End, other: End) -> None:
        other.asking.serve("double", double)
        with pytest.raises(AskTimedOut, match=r"double: no answer within 0\.2 s"):
            await one.asking.ask("double", {"number": 1, "takes": 0.5}, timeout_s=0.2)
        await asyncio.sleep(1)
        assert (await one.asking.ask("double", {"number": 2}, timeout_s=0.2))["number"] == 4
        assert one.others == other.others == []

    between(script)


def test_who_waits_is_told_when_the_other_end_goes() -> None:
    async def script(one: End, other: End) -> None:
        other.asking.serve("double", double)
        asked = asyncio.create_task(one.asking.ask("double", {"number": 1, "takes": 60}, timeout_s=100))
        await asyncio.sleep(0.1)
        other.channel.close()
        began = asyncio.get_running_loop().time()
        with pytest.raises(AskLost):
            await asked
        assert asyncio.get_running_loop().time() - began < 1
        with pytest.raises(AskLost, match="the channel is closed"):
            await one.asking.ask("double", {"number": 1}, timeout_s=1)

    between(script)
