"""Gateways with records in PostgreSQL: the server disappears during calls, and two gateways share it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_process import RunningGateway, until

from telephony.phone import Phone
from tests.integration.store.postgres_server import PASSWORD, PostgresServer

StartGateway = Callable[..., RunningGateway]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def store(server: PostgresServer, tmp_path: Path) -> Callable[[str], dict[str, Any]]:
    """The `store` settings of the gateway of that name; all of a test share one database."""
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    url = server.url(server.database())

    def settings(gateway_id: str) -> dict[str, Any]:
        return {
            "url": url, "password": {"file": str(tmp_path / "password")}, "gateway_id": gateway_id,
            "waiting": str(tmp_path / f"{gateway_id}-records"),
        }  # fmt: skip

    return settings


async def test_calls_go_on_while_postgresql_is_away(
    start_gateway: StartGateway, server: PostgresServer, store: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    gateway = start_gateway(workers=1, store=store("one"))
    async with Phone() as phone:
        first = await phone.call(gateway.uri("+15550101"), caller="+15552108001")
        await until(lambda: gateway.attempts(first.call_id))
        server.stop()
        second = await phone.call(gateway.uri("+15550101"), caller="+15552108002")
        await until(lambda: len(second.received) > 50)
        await until(lambda: gateway.health()[1]["warnings"], what="a warning")
        status, health = gateway.health()
        assert status == 200 and health["state"] == "ready"  # calls are still taken
        await asyncio.gather(first.hang_up(), second.hang_up())
        await until(lambda: (tmp_path / "one-records.waiting.jsonl").exists(), what="records that wait")
        server.start()
        for call in (first, second):
            record = await gateway.record(call.call_id, 15)
            assert (record["outcome"], record["ended_by"], record["gateway_id"]) == ("answered", "caller", "one")
            assert [leg["outcome"] for leg in record["legs"]] == ["answered"]
        await until(lambda: not gateway.health()[1]["warnings"], what="the end of the warning")
    assert gateway.stop() == 0
    assert PASSWORD not in gateway.log_text()


async def test_a_gateway_that_was_killed_ends_its_own_calls_and_no_others(
    start_gateway: StartGateway, store: Callable[[str], dict[str, Any]]
) -> None:
    one, two = start_gateway(workers=1, store=store("one")), start_gateway(workers=1, store=store("two"))
    async with Phone() as phone:
        mine = await phone.call(one.uri("+15550101"), caller="+15552108101")
        others = await phone.call(two.uri("+15550101"), caller="+15552108102")
        await until(lambda: two.attempts(mine.call_id) and two.attempts(others.call_id))
        one.process.kill()
        one.process.wait()
        again = start_gateway(workers=1, store=store("one"))
        lost = await again.record(mine.call_id)
        assert (lost["outcome"], lost["gateway_id"]) == ("gateway_lost", "one")
        assert [leg["outcome"] for leg in lost["legs"]] == ["gateway_lost"]
        assert again.attempts(others.call_id)[0]["outcome"] is None
        await others.hang_up()
        record = await again.record(others.call_id)
        assert (record["outcome"], record["gateway_id"]) == ("answered", "two")


def test_what_is_in_the_way_is_said_at_the_start(
    start_gateway: StartGateway, server: PostgresServer, store: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    start_gateway(workers=1, store=store("one"))
    for settings, said in (
        (store("one"), "is in use by another gateway"),
        (store("one") | {"waiting": str(tmp_path / "elsewhere")}, "another gateway with the id 'one'"),
        (store("two") | {"url": "postgresql://trunkline@127.0.0.1:1/trunkline"}, "Connection refused"),
        (store("two") | {"url": server.url("nowhere")}, 'database "nowhere" does not exist'),
    ):
        with pytest.raises(RuntimeError, match="did not start") as caught:
            start_gateway(workers=1, store=settings)
        assert said in str(caught.value)
    (tmp_path / "password").write_text("another one")
    with pytest.raises(RuntimeError, match="password authentication failed") as caught:
        start_gateway(workers=1, store=store("two"))
    assert "another one" not in str(caught.value)
