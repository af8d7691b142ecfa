"""The clock of text conversations: timers are skipped, external work is awaited."""

from __future__ import annotations

import asyncio
import time

import pytest

from agent.testing import run_text
from agent.testing.virtual_clock import WouldBlockForever


def test_timers_take_no_time() -> None:
    async def script() -> float:
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time() - began

    real = time.monotonic()
    assert run_text(script()) == 3600
    assert time.monotonic() - real < 2


def test_a_thread_s_work_is_not_overtaken_by_its_time_limit() -> None:
    async def script() -> str:
        async with asyncio.timeout(30):
            await asyncio.to_thread(time.sleep, 0.05)
        return "done"

    assert run_text(script()) == "done"


def test_a_server_that_takes_its_time_is_waited_for() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.to_thread(time.sleep, 0.05)
        writer.write(b"hello\n")
        writer.close()

    async def script() -> bytes:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server, asyncio.timeout(30):
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            line = await reader.readline()
            writer.close()
            return line

    assert run_text(script()) == b"hello\n"


def test_what_can_never_come_is_told() -> None:
    async def script() -> None:
        await asyncio.Event().wait()

    with pytest.raises(WouldBlockForever):
        run_text(script())
