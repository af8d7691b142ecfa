"""Records of calls that we place: the outcomes that sipp gave, a gateway that is killed, a database that goes away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_process import RunningGateway, until
from test_gateway_further_legs import trunks
from test_gateway_outbound import ask, closed_record, plan

from bench.outbound_outcomes import Run, table
from telephony.phone import Phone
from tests.integration.store.postgres_server import PASSWORD, PostgresServer

StartGateway = Callable[..., RunningGateway]
ORDER = {"persona": "reminder.Reminder"}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/calls.db"
    return on(request.getfixturevalue("server"), tmp_path)


def on(server: PostgresServer, folder: Path) -> dict[str, Any]:
    (folder / "password").write_text(PASSWORD)
    return {
        "url": server.url(server.database()), "password": {"file": str(folder / "password")}, "gateway_id": "one",
        "waiting": str(folder / "records"),
    }  # fmt: skip


async def test_each_record_has_the_outcome_that_sipp_gave(store: Any, tmp_path: Path) -> None:
    """`python -m bench.outbound_outcomes` does the same with 1,000 calls."""
    figures = await Run(tmp_path, store, 44).run()
    assert not figures.failed, table(figures)
    assert figures.right.total() == 44 and all(figures.right[digits] for digits in figures.placed)


async def test_a_gateway_that_is_killed_amid_ten_calls_leaves_ten_outcomes_and_dials_none_twice(
    start_gateway: StartGateway, store: Any, tmp_path: Path
) -> None:
    async with Phone() as phone:
        changes = {"sip": trunks(phone), "store": store, "recordings": str(tmp_path / "recordings"), **plan(tmp_path)}
        gateway = start_gateway(workers=3, **changes)
        numbers = [f"+1555700{n:04}" for n in range(10)]
        posted = [await ask(gateway, "POST", "/v1/calls", {**ORDER, "to": to}, f"key-{to[1:]}") for to in numbers]
        assert [status for status, _, _ in posted] == [202] * 10
        called = [await phone.incoming() for _ in numbers]
        for call in called[:5]:
            await call.answer()
        for call in called[5:8]:
            await call.ring()
        await until(lambda: all(len(call.received.at) > 5 for call in called[:5]), what="five greetings")
        await until(lambda: len(gateway.calls()) == 10, what="ten records")
        await asyncio.sleep(2.5)  # so that the workers know how to end their calls
        gateway.process.kill()
        gateway.process.wait()
        await until(lambda: all(call.ended.done() for call in called[:8]), what="the end of those that rang or talked")
        again = start_gateway(workers=3, **changes)
        records = again.calls()
        assert sorted(record["called"] for record in records) == numbers
        assert {record["outcome"] for record in records} == {"gateway_lost"}
        assert sum(record["answered_at"] is not None for record in records) == 5
        repeated = [await ask(again, "POST", "/v1/calls", {**ORDER, "to": to}, f"key-{to[1:]}") for to in numbers]
        assert [body["call_id"] for _, body, _ in repeated] == [body["call_id"] for _, body, _ in posted]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await phone.incoming()
        assert len(again.calls()) == 10


async def test_calls_are_placed_while_postgresql_is_away_and_their_records_come_later(
    start_gateway: StartGateway, server: PostgresServer, tmp_path: Path
) -> None:
    async with Phone() as phone:
        changes = {"sip": trunks(phone), "store": on(server, tmp_path), **plan(tmp_path)}
        gateway = start_gateway(workers=2, **changes)
        _, first, _ = await ask(gateway, "POST", "/v1/calls", {**ORDER, "to": "+15557000001"})
        call = await phone.incoming()
        await call.answer()
        server.stop()
        try:
            placed = [first["call_id"]]
            for number in range(2, 6):
                status, body, _ = await ask(gateway, "POST", "/v1/calls", {**ORDER, "to": f"+155570000{number:02}"})
                assert status == 202
                placed.append(body["call_id"])
                await (await phone.incoming()).reject(486)
            await until(lambda: len(call.received.at) > 30, what="the greeting")
            await call.hang_up()
            await until(lambda: gateway.health()[1]["warnings"], what="a warning")
        finally:
            server.start()
        records = [await closed_record(gateway, call_id, 20) for call_id in placed]
        assert [record["outcome"] for record in records] == ["answered", *["busy"] * 4]
        assert [len(record["legs"]) for record in records] == [1] * 5
        assert all([e["status"] for e in record["events"] if e["type"] == "dial_attempt"] for record in records)
        await gateway.idle()
