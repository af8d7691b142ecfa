"""Gateways for tests of the whole system. Tests that only need calls share one for the whole session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from gateway_process import RunningGateway

from agent.clock import ThreadOffload
from agent.providers.espeak import EspeakTTS
from telephony.media.g711 import decode_ulaw, encode_ulaw


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """24 slots; every test leaves it idle and healthy."""
    running = RunningGateway(tmp_path_factory.mktemp("gateway"), workers=6).start()
    yield running
    running.stop()


@pytest.fixture
def gateways() -> list[RunningGateway]:
    """Those that this test has started."""
    return []


@pytest.fixture
def start_gateway(tmp_path: Path, gateways: list[RunningGateway]) -> Iterator[Callable[..., RunningGateway]]:
    """Gateways for a single test, which may do anything to them."""
    started = gateways

    def start(**changes: Any) -> RunningGateway:
        running = RunningGateway(tmp_path / f"gateway{len(started)}", **changes)
        started.append(running)
        return running.start()

    yield start
    for running in started:
        running.stop()


@pytest.fixture(scope="session")
def speech() -> bytes:
    """About a second of speech through mu-law, as a telephone gives it; 8 kHz 16-bit."""

    async def speak() -> bytes:
        tts = EspeakTTS(ThreadOffload())
        pieces = [a.pcm async for a in tts.synthesize("I would like an appointment", voice="en-us", language="en")]
        return b"".join(pieces)

    return decode_ulaw(encode_ulaw(asyncio.run(speak())))


@pytest.fixture
async def nothing_left(
    start_gateway: Callable[..., RunningGateway], gateways: list[RunningGateway]
) -> AsyncIterator[None]:
    """After the test, what it has started is as idle as before."""
    yield
    for gateway in gateways:
        if gateway.process.poll() is None:
            await gateway.leaves_nothing()


_callers = count(1)


@pytest.fixture
def caller() -> str:
    """A number that no other test calls from."""
    return f"+1555200{next(_callers):04}"
