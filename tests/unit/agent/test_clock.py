"""Virtual time, attempts and offloading."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from agent.clock import ThreadOffload, has_real_time
from agent.pipeline.attempts import AttemptLimits, attempts
from agent.providers.base import ProviderError, ProviderTimeout, ProviderUnavailable
from agent.testing.virtual_clock import VirtualOffload, WouldBlockForever, run_virtual

LIMITS = AttemptLimits(first_ms=1000, stall_ms=500, retries=2, backoff_ms=100)


def test_an_hour_takes_no_time_and_timers_fire_at_their_times():
    async def run() -> list[float]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        fired: list[float] = []
        for delay in (3600.0, 0.55, 7.0):
            loop.call_at(began + delay, lambda: fired.append(round(loop.time() - began, 9)))
        await asyncio.sleep(3601)
        return fired

    before = time.monotonic()
    assert run_virtual(run()) == [0.55, 7.0, 3600.0]
    assert time.monotonic() - before < 0.5


def test_waiting_for_what_can_never_come_is_an_error():
    async def run() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(WouldBlockForever, match="Task"):
        run_virtual(run())


def test_an_error_in_a_callback_is_not_lost():
    async def run() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(1)

    with pytest.raises(RuntimeError, match="unhandled"):
        run_virtual(run())


def test_offloaded_work_takes_its_modelled_time():
    async def run() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await VirtualOffload()(lambda: 42, modelled_ms=80) == 42
        return loop.time() - began

    assert run_virtual(run()) == pytest.approx(0.08)


async def test_live_work_runs_in_a_thread():
    import threading

    assert await ThreadOffload()(threading.get_ident, modelled_ms=0) != threading.get_ident()


class Source:
    """Each opening plays the next script: numbers are yielded, `None` never ends, exceptions are raised."""

    def __init__(self, *scripts: list[object]) -> None:
        self.scripts = list(scripts)
        self.opened_at: list[float] = []
        self.closed = 0

    async def open(self) -> AsyncIterator[int]:
        self.opened_at.append(asyncio.get_running_loop().time())
        try:
            for item in self.scripts.pop(0):
                if isinstance(item, Exception):
                    raise item
                if item is None:
                    await asyncio.get_running_loop().create_future()
                yield item
        finally:
            self.closed += 1


def consume(*scripts: list[object], pause_s: float = 0.0) -> tuple[list[int], list[str], object, Source]:
    source, reports, items = Source(*scripts), [], []
    raised: list[ProviderError] = []

    async def run() -> None:
        try:
            async for item in attempts("p", source.open, LIMITS, lambda e, action: reports.append(action)):
                items.append(item)
                await asyncio.sleep(pause_s)
        except ProviderError as error:
            raised.append(error)

    run_virtual(run())
    assert source.closed == len(source.opened_at)
    return items, reports, raised[0] if raised else None, source


def test_attempts_back_off_and_give_up():
    down = [ProviderUnavailable("p", "503")]
    items, reports, error, source = consume(down, down, down)
    assert (items, reports) == ([], ["retry", "retry", "canned"])
    assert isinstance(error, ProviderUnavailable)
    assert source.opened_at == pytest.approx([1000.0, 1000.1, 1000.3])


def test_attempts_time_out_before_and_between_items():
    items, reports, error, source = consume([None], [1, None])
    assert (items, reports) == ([1], ["retry", "canned"])
    assert isinstance(error, ProviderTimeout)
    assert "stalled for 500 ms" in str(error)
    assert source.opened_at == pytest.approx([1000.0, 1001.1])


def test_a_slow_consumer_is_not_a_stall():
    assert consume([1, 2, 3], pause_s=5.0)[:3] == ([1, 2, 3], [], None)


def test_what_an_adapter_lets_through_is_wrapped():
    _, reports, error, _ = consume([KeyError("x")])
    assert reports == ["canned"]
    assert type(error) is ProviderError
    assert "KeyError" in str(error)


def test_a_loop_that_jumps_is_known_from_one_that_does_not():
    async def real() -> bool:
        return has_real_time(asyncio.get_running_loop())

    assert asyncio.run(real())
    assert not run_virtual(real())
