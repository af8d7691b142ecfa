"""Signals that end a program, on a real loop."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from agent.stopping import on_stop_signals


@pytest.fixture
def hangup() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_each_of_them_is_told(number: signal.Signals, hangup: None) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

    async def run() -> list[str]:
        told: list[str] = []
        came = asyncio.Event()
        loop = asyncio.get_running_loop()

        def note(how: str) -> None:
            told.append(how)
            came.set()

        handled = on_stop_signals(loop, lambda: note("stop"), lambda: note("once"))
        os.kill(os.getpid(), number)
        async with asyncio.timeout(5):
            await came.wait()
        for each in handled:
            loop.remove_signal_handler(each)
        return told

    assert asyncio.run(run()) == ["once" if number == signal.SIGHUP else "stop"]


def test_under_nohup_a_closed_terminal_is_nothing(hangup: None) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        handled = on_stop_signals(loop, lambda: None, lambda: None)
        assert signal.SIGHUP not in handled
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        for each in handled:
            loop.remove_signal_handler(each)

    asyncio.run(run())
