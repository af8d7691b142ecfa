"""A job process whose worker's main process has died: goodbyes, and records that it writes itself."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from livekit.protocol import agent as pb

from agent.warm.channel import Message
from agent.worker.channel import Channel, ProcessReady, RunJob, Stop
from agent.worker.job import JobContext, JobProcess
from agent.worker.process import JobHost
from agent.worker.program import Program, Reference

kept: list[tuple[str, tuple[Any, ...]]] = []
drained: list[str] = []


async def entrypoint(ctx: JobContext) -> None:
    async def close() -> None:
        ctx.send({"message": "closed"})

    def drain(reason: str) -> None:
        drained.append(reason)
        asyncio.get_running_loop().call_later(0.01, ctx.shutdown, "said goodbye")

    ctx.add_drain_callback(drain)
    ctx.add_shutdown_callback(close)
    ctx.send({"message": "opened"})


async def keep(process: JobProcess, bodies: tuple[Any, ...]) -> None:
    kept.append((process.name, bodies))


class MainProcess:
    """Its end of the channel, and a job process within this one."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.ours, self.theirs = socket.socketpair()

    async def begin(self) -> Channel:
        here = Reference(__name__, "entrypoint")
        host = JobHost(
            Program(here, orphaned=Reference(__name__, "keep")), JobProcess("j1"), ready=lambda: None
        )  # fmt: skip
        self.channel = await Channel.open(self.ours, self.messages.append, lambda: None)
        self.process = asyncio.create_task(host.serve(self.theirs))
        await self.until(ProcessReady)
        job = pb.Job(id="AJ_1").SerializeToString().hex()
        self.channel.send(RunJob("AJ_1", job, "ws://nowhere", "token", "agent-1", "AW_1"))
        return self.channel

    async def until(self, kind: type[Message]) -> None:
        while not any(isinstance(each, kind) for each in self.messages):
            await asyncio.sleep(0)

    async def said(self, count: int) -> None:
        while sum(type(each).__name__ == "JobSays" for each in self.messages) < count:
            await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def nothing_yet() -> None:
    kept.clear()
    drained.clear()


async def test_what_jobs_say_after_the_death_is_kept_once_they_have_said_goodbye() -> None:
    main = MainProcess()
    channel = await main.begin()
    await main.said(1)
    channel.close()
    assert await asyncio.wait_for(main.process, 5) == 0
    assert drained == ["the worker's main process has died"]
    assert kept == [("j1", ({"message": "opened"}, {"message": "closed"}))]


async def test_a_worker_that_stops_is_told_as_before() -> None:
    main = MainProcess()
    channel = await main.begin()
    await main.said(1)
    channel.send(Stop())
    assert await asyncio.wait_for(main.process, 5) == 0
    await main.said(2)
    assert (drained, kept) == ([], [])
