"""Synchronous tools have their own threads, each call has its share, and a hanging one delays nobody else."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import threading
import time

import pytest

from agent import Agent, AgentSession, function_tool
from agent.clock import ThreadOffload, offload_for_tools
from agent.events import FunctionCallOutput
from agent.providers.base import ToolCall
from agent.providers.fakes import FakeLLM, FakeOffload, ModelTurn
from agent.tool_threads import ToolThreads, TooManyRunning


def test_a_call_has_its_share_and_what_is_more_waits_its_turn():
    async def run() -> None:
        threads = ToolThreads(a_call=2, in_all=64)
        share, other = threads.share(), threads.share()
        release = threading.Event()
        hung = [asyncio.ensure_future(share(release.wait, modelled_ms=0)) for _ in range(3)]
        await asyncio.sleep(0.02)
        assert (share.running, threads.running) == (2, 2)
        assert await other(lambda: "quick", modelled_ms=0) == "quick"
        release.set()
        assert await asyncio.gather(*hung) == [True] * 3
        assert (share.running, threads.running) == (0, 0)

    asyncio.run(run())


def test_who_gives_up_waiting_leaves_its_place_to_the_next():
    async def run() -> None:
        share = ToolThreads(a_call=1).share()
        release = threading.Event()
        first = asyncio.ensure_future(share(release.wait, modelled_ms=0))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(share(lambda: 2, modelled_ms=0))
        third = asyncio.ensure_future(share(lambda: 3, modelled_ms=0))
        await asyncio.sleep(0)
        second.cancel()
        release.set()
        assert await third == 3
        await first

    asyncio.run(run())


def test_a_process_has_an_end_of_threads_and_says_so():
    async def run() -> None:
        threads = ToolThreads(a_call=2, in_all=2)
        release = threading.Event()
        hung = [asyncio.ensure_future(threads.share()(release.wait, modelled_ms=0)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(TooManyRunning):
            await threads.share()(lambda: 1, modelled_ms=0)
        release.set()
        await asyncio.gather(*hung)

    asyncio.run(run())


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), ValueError("x")])
def test_what_a_function_raises_comes_to_who_waits_and_nowhere_else(error):
    def fail() -> None:
        raise error

    async def run() -> None:
        with pytest.raises(type(error)):
            await ToolThreads().share()(fail, modelled_ms=0)

    asyncio.run(run())


def test_the_logs_context_goes_along():
    name = contextvars.ContextVar("name", default="")

    async def run() -> str:
        name.set("call-1")
        return await ToolThreads().share()(name.get, modelled_ms=0)

    assert asyncio.run(run()) == "call-1"


def test_eight_functions_that_hang_leave_speech_untouched():
    class Stuck(Agent):
        @function_tool(timeout_s=0.2)
        def hang(self) -> str:
            time.sleep(2)
            return "x"

    async def run() -> None:
        calls = tuple(ToolCall(f"c{n}", "hang", "{}") for n in range(8))
        session = AgentSession(llm=FakeLLM(ModelTurn(calls), "Sorry."))
        await session.start(agent=Stuck())
        result = await session.run(user_input="go")
        assert result.text == "Sorry."
        outputs = [event for event in result.events if isinstance(event, FunctionCallOutput)]
        assert [output.is_error for output in outputs] == [True] * 8
        began = time.monotonic()
        for _ in range(16):
            await ThreadOffload()(lambda: None, modelled_ms=0)
            await asyncio.to_thread(lambda: None)
        assert time.monotonic() - began < 0.5
        await session.aclose()

    asyncio.run(run())


PROGRAM = """
import asyncio, time
from agent.tool_threads import ToolThreads

async def main():
    try:
        async with asyncio.timeout(0.1):
            await ToolThreads().share()(lambda: time.sleep(60), modelled_ms=0)
    except TimeoutError:
        print("given up")

asyncio.run(main())
"""


def test_a_function_that_hangs_does_not_keep_the_process():
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "given up\n"
    assert time.monotonic() - began < 20


def test_on_virtual_time_tools_are_offloaded_as_all_else():
    offload = FakeOffload()
    assert offload_for_tools(offload) is offload
