"""A third-party SIP stack: sipp's own caller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from pjsua_bench import Bench, Taken


async def answer_all(bench: Bench, taken: list[Taken]) -> None:
    while True:
        one = await bench.leg()
        taken.append(one)
        await one.leg.ring()
        await one.leg.answer(one.audio)


@pytest.fixture
async def answering(bench: Bench) -> AsyncIterator[list[Taken]]:
    taken: list[Taken] = []
    task = asyncio.create_task(answer_all(bench, taken))
    yield taken
    task.cancel()


async def test_calls_from_sipp(bench: Bench, answering: list[Taken], tmp_path):
    sipp = await asyncio.create_subprocess_exec(
        "sipp", f"127.0.0.1:{bench.endpoint.sip_port}", "-sn", "uac", "-i", "127.0.0.1", "-m", "9", "-l", "3",
        "-r", "20", "-d", "150", "-timeout", "20s", "-nostdin",
        cwd=tmp_path, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert await sipp.wait() == 0
    ended = [await one.ended() for one in answering]
    assert [(one.by_peer, one.sip_status) for one in ended] == [(True, 200)] * 9
    assert all(len(one.audio.pulled) >= 5 for one in answering)
