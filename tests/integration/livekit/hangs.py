"""Shared by tests of hanging parts. From outside, a hanging part looks like a cut network: no packets arrive, and no
socket is closed."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from gateway_process import RunningGateway
from rooms import until
from test_livekit_calls import livekit_settings
from worker_phone import speech
from worker_process import RunningWorker

from telephony.phone import Phone, PhoneCall
from telephony.phone.analysis import onset_after, silent_after

NUMBER = "+15550100"
DEAD_LINE_S = 10.0  # the longest silence for a caller


@contextmanager
def hanging(*pids: int) -> Iterator[float]:
    """These processes are stopped meanwhile; yields since when."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield time.monotonic()
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):  # somebody may have killed it
                os.kill(pid, signal.SIGCONT)


@dataclass(frozen=True, slots=True)
class Bridged:
    """A phone in a call with an agent of `trunkline worker`, bridged into a LiveKit room by `trunkline serve`."""

    stack: Any
    worker: RunningWorker
    gateway: RunningGateway
    phone: Phone
    call: PhoneCall

    @property
    def job(self) -> int:
        """The process of the call's job."""
        return next(iter(self.worker.jobs().values()))

    @property
    def call_worker(self) -> int:
        return list(self.gateway.worker_pids().values())[-1]

    async def next_call(self, caller: str) -> None:
        await livekit_serves(self.stack)
        await until(lambda: self.worker.health()[0] == 200, 15, "the worker's registration")
        again = await self.phone.call(self.gateway.uri(NUMBER), caller=caller)
        await until(lambda: onset_after(again.received, again.answered_at or 0.0), 10, "the next call's greeting")
        await again.hang_up()
        await self.gateway.record(again.call_id)


async def livekit_serves(stack: Any, limit_s: float = 20.0) -> None:
    """LiveKit makes rooms again: after a hang it needs some seconds, in which calls get 503."""
    from livekit import api

    async with asyncio.timeout(limit_s), api.LiveKitAPI(stack.http_url, stack.api_key, stack.api_secret) as livekit:
        while True:
            try:
                await livekit.room.create_room(api.CreateRoomRequest(name="is-anybody-there", empty_timeout=1))
                await livekit.room.delete_room(api.DeleteRoomRequest(room="is-anybody-there"))
                return
            except (api.TwirpError, aiohttp.ClientError):
                await asyncio.sleep(0.1)


@asynccontextmanager
async def bridged(stack: Any, folder: Path, caller: str) -> AsyncIterator[Bridged]:
    """The greeting is over."""
    name = f"agent-{uuid.uuid4().hex[:6]}"
    with RunningWorker(folder / "worker", stack, agent_name=name) as worker:
        settings = livekit_settings(folder / "gateway", stack, agent_name=name)
        gateway = RunningGateway(folder / "gateway", workers=1, dialplans=[str(worker.plan)], **settings).start()
        try:
            async with Phone() as phone:
                call = await phone.call(gateway.uri(NUMBER), caller=caller)
                await greeting_over(call)
                yield Bridged(stack, worker, gateway, phone, call)
        finally:
            gateway.stop()


async def greeting_over(call: PhoneCall) -> None:
    await until(lambda: onset_after(call.received, call.answered_at or 0.0), 10, "the greeting")
    await quiet(call, (onset_after(call.received, call.answered_at or 0.0) or 0.0) + 0.2)


async def quiet(call: PhoneCall, after: float) -> None:
    await until(lambda: silent_after(call.received, after, min_silence_ms=500), 15, "silence")


async def answered(call: PhoneCall, limit_s: float = 8.0) -> None:
    """The caller says something, and the agent answers."""
    await call.play(speech()).done  # with a second of silence at its end
    said_at = time.monotonic() - 1.0
    await until(lambda: onset_after(call.received, said_at), limit_s, "an answer")


def heard_after(call: PhoneCall, at: float) -> float:
    """Seconds from `at` to the first sound, ignoring audio already in transit."""
    onset = onset_after(call.received, at + 0.5)
    assert onset is not None, "nothing was heard any more"
    return onset - at


__all__ = [
    "DEAD_LINE_S",
    "NUMBER",
    "Bridged",
    "answered",
    "bridged",
    "greeting_over",
    "hanging",
    "heard_after",
    "quiet",
]
