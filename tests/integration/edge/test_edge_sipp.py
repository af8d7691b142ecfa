"""sipp calls through the edge to a sipp that plays the worker."""

from __future__ import annotations

import asyncio

import pytest
from edge_sipp import SCENARIOS, Running, running_edge, sipp, until, worker

from telephony.edge import DialogState, Refuse

TRANSPORTS = {"udp": "u1", "tcp": "t1"}


def caller(running: Running, transport: str, *arguments: str) -> tuple[str, ...]:
    port = running.port(transport)
    return (*arguments, "-t", TRANSPORTS[transport], "-timeout", "15s", f"127.0.0.1:{port}")


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_twenty_calls(transport: str) -> None:
    async with running_edge() as running, worker(running):
        arguments = caller(running, transport, "-sn", "uac", "-m", "20", "-r", "20", "-d", "300")
        async with sipp(*arguments) as process:
            assert await process.wait() == 0
        await until(lambda: len(running.ended) == 20)
        counters = running.edge.counters
        assert sorted(running.ended) == sorted(f"c{n}" for n in range(1, 21))
        assert running.edge.dialogs == ()
        assert (counters["forwarded_in.INVITE"], counters["forwarded_in.BYE"]) == (20, 20)
        assert counters["internal_errors"] == 0
        assert {invite.source.transport for invite in running.admitter.invites} == {transport}


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_cancel(transport: str) -> None:
    async with running_edge() as running, worker(running, "-sf", str(SCENARIOS / "uas_cancel.xml"), "-m", "3") as uas:
        arguments = caller(running, transport, "-sf", str(SCENARIOS / "uac_cancel.xml"), "-m", "3", "-r", "10")
        async with sipp(*arguments) as process:
            assert await process.wait() == 0
        assert await uas.wait() == 0  # the ACK of the 487 came through too
        assert sorted(running.cancelled) == sorted(running.ended) == ["c1", "c2", "c3"]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_callers_of_a_dead_worker_get_a_bye_within_two_seconds(transport: str) -> None:
    async with running_edge() as running, worker(running) as uas:
        arguments = caller(running, transport, "-sf", str(SCENARIOS / "uac_waits_for_bye.xml"), "-m", "5", "-r", "20")
        async with sipp(*arguments) as process:
            await until(lambda: running.edge.counters["forwarded_in.ACK"] == 5)
            assert [dialog.state for dialog in running.edge.dialogs] == [DialogState.CONFIRMED] * 5
            uas.kill()
            await uas.wait()
            async with asyncio.timeout(2.0):
                assert sorted(running.edge.end_worker_legs("w1")) == ["c1", "c2", "c3", "c4", "c5"]
                assert await process.wait() == 0
        running.edge.remove_worker("w1")
        assert sorted(running.ended) == ["c1", "c2", "c3", "c4", "c5"]


async def test_a_refused_call_fails_with_its_status_and_is_told_once() -> None:
    async with running_edge() as running:
        running.admitter.decide = Refuse(404, "No such number", cause_text="no rule for 'service'")
        async with sipp(*caller(running, "udp", "-sn", "uac", "-m", "1")) as process:
            assert await process.wait() == 1
        assert [(refused.status, refused.info.called) for refused in running.refused] == [(404, "service")]
