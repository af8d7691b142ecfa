"""Clients that never finish a request, or are too many, do not affect the others."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from gateway.api import ApiDeps, ApiServer, FakeCalls, HealthReport
from gateway.api.connections import ConnectionLimits
from gateway.live_calls import LiveCalls
from gateway.metrics import Metrics

LIMITS = ConnectionLimits(connections=6, connections_per_address=5, head_s=0.3, body_s=0.3, unread_s=0.5)


@pytest_asyncio.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    deps = ApiDeps(
        calls=FakeCalls(), health=lambda: HealthReport(state="ready"), metrics=Metrics(LiveCalls()), recordings=tmp_path
    )
    server = ApiServer(deps, host="127.0.0.1", port=0, limits=LIMITS)
    await server.start()
    yield int(server.url.rpartition(":")[2])
    await server.close()


async def answer_to(port: int, *sent: bytes, pause_s: float = 0.0) -> bytes:
    """Everything received until the other side closes, or nothing if it cuts the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in sent:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause_s)
        async with asyncio.timeout(5):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


HEALTH = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"


async def test_half_a_head_is_closed_even_when_it_trickles(port: int) -> None:
    assert await answer_to(port) == b""
    assert await answer_to(port, HEALTH) == b""
    assert await answer_to(port, HEALTH, *[b"X-a: b\r\n"] * 20, pause_s=0.05) == b""


async def test_half_of_a_second_request_is_closed_too(port: int) -> None:
    answer = await answer_to(port, HEALTH + b"\r\n", HEALTH, pause_s=0.1)
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.count(b"HTTP/1.1") == 1


async def test_a_body_that_never_comes_is_answered_and_closed(port: int) -> None:
    head = b"POST /v1/calls/c1/token HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n{"
    get = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n"
    for request in (head, get):
        answer = await answer_to(port, request)
        assert answer.startswith((b"HTTP/1.1 408", b"HTTP/1.1 404")), answer


async def test_a_body_over_64_kib_is_refused(port: int) -> None:
    head = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\nConnection: close\r\n\r\n"
    assert (await answer_to(port, head, b"x" * 100_000)).startswith(b"HTTP/1.1 413")


async def test_a_connection_may_idle_between_requests(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(2):
        writer.write(HEALTH + b"\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
        await asyncio.sleep(0.6)
    writer.close()


async def test_connections_are_counted_and_given_back(port: int) -> None:
    held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(LIMITS.connections_per_address)]
    idle, idle_writer = held[0]
    idle_writer.write(HEALTH + b"\r\n")  # had its answer, and stays
    assert (await idle.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    await asyncio.sleep(0.05)
    for _ in range(6):  # one that says something takes the place of one that doesn't
        assert (await answer_to(port, HEALTH + b"Connection: close\r\n\r\n")).startswith(b"HTTP/1.1 200")
    idle_writer.close()
    for reader, _ in held[1:]:  # none of them says anything
        async with asyncio.timeout(3):
            with contextlib.suppress(ConnectionError):
                await reader.read()
    assert (await answer_to(port, HEALTH + b"Connection: close\r\n\r\n")).startswith(b"HTTP/1.1 200")
    for _, writer in held:
        writer.close()


async def test_nothing_is_kept_of_connections_that_are_over(port: int) -> None:
    for sent in ((HEALTH,), (HEALTH + b"Connection: close\r\n\r\n",), ()):
        await answer_to(port, *sent)
    await asyncio.sleep(0)
    gc.collect()
    assert [each for each in gc.get_objects() if type(each).__name__ == "_Connection"] == []
