"""The event stream over a real socket, and the list of webhooks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from gateway.api import ApiDeps, ApiServer, FakeCalls, HealthReport
from gateway.config.webhooks import CallWebhookSettings, WebhookSettings
from gateway.events.catalogue import EventType
from gateway.events.endpoints import Endpoints
from gateway.events.hub import EventHub
from gateway.events.posting import FakePoster
from gateway.events.reference import example
from gateway.events.webhooks import Webhooks
from gateway.live_calls import LiveCalls
from gateway.metrics import Metrics
from gateway.store.call_hooks import FakeHooks
from gateway.store.deliveries import FakeDeliveries
from tests.unit.api.asking import Asker, body


class Api:
    def __init__(self, hub: EventHub, server: ApiServer) -> None:
        self.hub, self.server = hub, server

    def tell(self, call_id: str, kind: EventType = EventType.CALL_ENDED) -> None:
        self.hub.tell(example(kind, call_id=call_id))


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    hub = EventHub()
    deps = ApiDeps(
        calls=FakeCalls(),
        health=lambda: HealthReport(state="ready"),
        metrics=Metrics(LiveCalls()),
        recordings=tmp_path,
        events=hub.stream,
    )
    server = ApiServer(deps, host="127.0.0.1", port=0)
    await server.start()
    yield Api(hub, server)
    await server.close()


async def next_event(response: aiohttp.ClientResponse) -> dict[str, str]:
    """The fields of the next event; comments and `retry` are skipped."""
    fields: dict[str, str] = {}
    async for line in response.content:
        text = line.decode().rstrip("\n")
        if not text and "data" in fields:
            return fields
        name, _, value = text.partition(": ")
        if name:
            fields[name] = value
    raise AssertionError("the stream has ended")


async def test_events_come_as_they_happen_and_go_on_where_they_were(api: Api) -> None:
    url = f"{api.server.url}/v1/events"
    async with aiohttp.ClientSession() as http, http.get(url, params={"types": "call.*"}) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        api.tell("c0", EventType.TRANSFER_STARTED)
        api.tell("c1")
        first = await next_event(response)
    assert (first["event"], json.loads(first["data"])["data"]["call_id"]) == ("call.ended", "c1")
    api.tell("c2")
    async with aiohttp.ClientSession() as http, http.get(url, headers={"Last-Event-ID": first["id"]}) as response:
        second = await next_event(response)
    assert json.loads(second["data"])["data"]["call_id"] == "c2"


async def test_who_comes_back_too_late_is_told(api: Api) -> None:
    headers = {"Last-Event-ID": "000000000001-00001-aaaaaaaa"}
    async with aiohttp.ClientSession(headers=headers) as http, http.get(f"{api.server.url}/v1/events") as response:
        assert (await next_event(response))["event"] == "missed"


async def test_a_gateway_that_stops_ends_the_stream(api: Api) -> None:
    async with aiohttp.ClientSession() as http, http.get(f"{api.server.url}/v1/events") as response:
        api.hub.stream.close()
        assert (await response.read()).startswith(b"retry: 2000")
    assert len(api.hub.stream) == 0


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/events?types=", {}),
        ("/v1/events?types=call.ended;x", {}),
        ("/v1/events?call_id=..%2F", {}),
        ("/v1/events", {"Last_Event_ID": "one\u00e9"}),
    ],
)
async def test_what_cannot_be_asked(tmp_path: Path, path: str, headers: dict[str, str]) -> None:
    asker = Asker(tmp_path, events=EventHub().stream)
    assert (await asker.get(path, **headers)).status == 400


async def test_how_webhooks_do(tmp_path: Path) -> None:
    endpoints = Endpoints([WebhookSettings(url="https://a.test/x?token=t")], CallWebhookSettings())
    hooks = Webhooks(endpoints, FakeDeliveries(), FakeHooks(), FakePoster())
    answer = body(await Asker(tmp_path, webhooks=hooks).get("/v1/webhooks"))
    (shown,) = answer["webhooks"]
    assert (shown["url"], shown["parked"], shown["waiting"]) == ("https://a.test/x", False, 0)
    assert body(await Asker(tmp_path).get("/v1/webhooks")) == {"webhooks": []}
