"""A call is followed by webhook and by the event stream; a gateway killed during a call reports its end at the next
start."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import aiohttp
from gateway_process import RunningGateway, until
from standardwebhooks import Webhook
from test_gateway_further_legs import trunks
from test_gateway_outbound import TO, ask, plan

from telephony.phone import Phone

PERSONA = """
from agent import Agent

class Short(Agent):
    greeting = "Hello."
"""


class _Receiver(BaseHTTPRequestHandler):
    came: list[dict[str, Any]]
    statuses: list[int]
    secret: str
    go_on: threading.Event

    def do_POST(self) -> None:
        if self.path == "/hangs":
            self.came.append({"type": "hangs"})
            self.go_on.wait(20)
        if self.path == "/redirects":
            self.came.append({"type": "redirects"})
            self.send_response(307)
            self.send_header("Location", "/hook")
            self.end_headers()
            return
        text = self.rfile.read(int(self.headers["Content-Length"]))
        body = json.loads(text)
        if self.secret:
            Webhook(self.secret).verify(text, dict(self.headers.items()))
        status = self.statuses.pop(0) if self.statuses else 204
        if status < 300:
            self.came.append(body)
        self.send_response(status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Not to standard error."""


@contextmanager
def receiving(*statuses: int, secret: str = "") -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A webhook's URL, and what it took; the first requests are answered with `statuses`. `secret`: requests that it
    does not sign are not taken."""
    came: list[dict[str, Any]] = []
    go_on = threading.Event()
    handler = type(
        "Handler", (_Receiver,), {"came": came, "statuses": list(statuses), "secret": secret, "go_on": go_on}
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", came
    finally:
        go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()


def with_webhook(folder: Path, url: str) -> dict[str, Any]:
    (folder / "short.py").write_text(PERSONA)
    (folder / "plan.yaml").write_text('numbers: {"+15550100": short.Short}\n')
    return {"dialplans": [str(folder / "plan.yaml")], "webhooks": [{"url": url, "allow_private": True}]}


async def test_a_call_is_told_by_webhook_and_by_the_stream(
    start_gateway: Callable[..., RunningGateway], tmp_path: Path, caller: str
) -> None:
    with receiving(500) as (url, came):
        gateway = start_gateway(**with_webhook(tmp_path, url))
        heard = bytearray()

        async def listen() -> None:
            async with aiohttp.ClientSession() as http, http.get(f"{gateway.http}/v1/events") as response:
                async for line in response.content:
                    heard.extend(line)

        listening = asyncio.create_task(listen())
        await until(lambda: b"retry" in heard, 5, what="the stream")
        async with Phone() as phone:
            call = await phone.call(gateway.uri("+15550100"), caller=caller)
            await until(lambda: b"call.answered" in heard, 5, what="the answer in the stream")
            await until(lambda: len(call.received.at) > 50, 5, what="a second of the greeting")
            await call.hang_up()
        await until(lambda: b"recording.ready" in heard, 5, what="the recording in the stream")
        await until(lambda: len(came) >= 5, 10, what="the events by webhook")
        listening.cancel()
        assert gateway.complaints() == []
    types = {event["type"] for event in came}
    assert types == {"call.ringing", "call.answered", "call.turn", "call.ended", "recording.ready"}
    (ended,) = [event["data"] for event in came if event["type"] == "call.ended"]
    assert (ended["outcome"], ended["ended_by"]) == ("answered", "caller")
    assert heard.decode().count("event: call.ended") == 1
    assert {event["id"] for event in came} == {
        line.removeprefix("id: ") for line in heard.decode().splitlines() if line.startswith("id: ")
    }


async def test_a_gateway_that_is_killed_tells_at_the_next_start(
    start_gateway: Callable[..., RunningGateway], tmp_path: Path, caller: str
) -> None:
    with receiving() as (url, came):
        gateway = start_gateway(**with_webhook(tmp_path, url))
        async with Phone() as phone:
            await phone.call(gateway.uri("+15550100"), caller=caller)
            await until(lambda: any(event["type"] == "call.answered" for event in came), 5, what="the answer")
            await until(lambda: any(call["answered_at"] for call in gateway.calls()), 5, what="the answer on record")
            gateway.kill()
            gateway.start()
            await until(lambda: any(event["type"] == "call.ended" for event in came), 10, what="the end")
    (ended,) = [event["data"] for event in came if event["type"] == "call.ended"]
    assert ended["outcome"] == "gateway_lost"


SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


async def test_a_call_brings_its_own_webhook_and_a_kill_amid_it_loses_none(
    start_gateway: Callable[..., RunningGateway], tmp_path: Path
) -> None:
    with receiving(500, secret=SECRET) as (url, came):
        async with Phone() as phone:
            gateway = start_gateway(sip=trunks(phone), call_webhooks={"allow_private": True}, **plan(tmp_path))
            webhook = {"url": url, "secret": SECRET}
            order = {"to": TO, "persona": "reminder.Reminder", "webhook": webhook}
            status, placed, _ = await ask(gateway, "POST", "/v1/calls", order)
            assert status == 202
            assert SECRET not in json.dumps(placed)
            call = await phone.incoming()
            await call.answer()
            await until(lambda: any(event["type"] == "call.answered" for event in came), 5, what="the answer")
            await until(lambda: any(call["answered_at"] for call in gateway.calls()), 5, what="the answer on record")
            gateway.kill()
            gateway.start()
            await until(lambda: any(event["type"] == "call.ended" for event in came), 10, what="the end")
            await until(lambda: any(event["type"] == "call.queued" for event in came), 10, what="the one refused first")
            shown = gateway.get("/v1/webhooks")
        assert SECRET not in gateway.log_text() + json.dumps(shown)
    assert {event["data"]["call_id"] for event in came} == {placed["call_id"]}
    (ended,) = [event["data"] for event in came if event["type"] == "call.ended"]
    assert ended["outcome"] == "gateway_lost"
    (host,) = shown["webhooks"]
    assert (host["of_calls"], url.startswith(host["url"])) == (True, True)


async def test_a_webhook_inside_a_private_network_is_refused_before_anything_is_dialled(
    start_gateway: Callable[..., RunningGateway], tmp_path: Path
) -> None:
    async with Phone() as phone:
        gateway = start_gateway(sip=trunks(phone), **plan(tmp_path))
        order = {"to": TO, "persona": "reminder.Reminder", "webhook": "http://127.0.0.1:1/x"}
        status, problem, _ = await ask(gateway, "POST", "/v1/calls", order)
        assert (status, problem["type"]) == (422, "urn:trunkline:problem:closed_webhook")
        assert gateway.calls() == []


async def test_webhooks_that_hang_fail_or_redirect_hold_up_nobody_and_are_shown(
    start_gateway: Callable[..., RunningGateway], tmp_path: Path, caller: str
) -> None:
    with receiving() as (good, came), receiving(*[500] * 50) as (fails, _), receiving() as (other, at_others):
        hangs, redirects = other.replace("/hook", "/hangs"), other.replace("/hook", "/redirects")
        settings = with_webhook(tmp_path, good)
        settings["webhooks"] += [
            {"url": url, "allow_private": True, "timeout_s": 2.0} for url in (fails, hangs, redirects)
        ]
        gateway = start_gateway(**settings)
        async with Phone() as phone:
            call = await phone.call(gateway.uri("+15550100"), caller=caller)
            await until(lambda: len(call.received.at) > 50, 5, what="a second of the greeting")
            await call.hang_up()
        await until(lambda: any(event["type"] == "call.ended" for event in came), 5, what="the end by the good one")

        async def all_have_failed() -> bool:
            shown = await asyncio.to_thread(gateway.get, "/v1/webhooks")
            failing = {hook["url"]: hook for hook in shown["webhooks"] if hook["failures"]}
            return set(failing) == {fails, hangs, redirects} and all(hook["waiting"] for hook in failing.values())

        await until(all_have_failed, 10, what="failures of three")
        errors = {hook["url"]: hook["error"] for hook in gateway.get("/v1/webhooks")["webhooks"]}
        assert errors == {
            good: "",
            fails: "500 Internal Server Error",
            hangs: "no answer within 2 s",
            redirects: "307 Temporary Redirect",
        }
        assert {event["type"] for event in at_others} == {"hangs", "redirects"}
        assert gateway.complaints() == []


async def test_while_the_store_is_locked_calls_go_on_and_their_events_come_after_it(
    start_gateway: Callable[..., RunningGateway], tmp_path: Path, caller: str
) -> None:
    with receiving() as (url, came):
        gateway = start_gateway(**with_webhook(tmp_path, url))
        locking = sqlite3.connect(gateway.folder / "trunkline.db", isolation_level=None)
        locking.execute("BEGIN EXCLUSIVE")
        async with Phone() as phone:
            call = await phone.call(gateway.uri("+15550100"), caller=caller)
            await until(lambda: len(call.received.at) > 50, 5, what="a second of the greeting")
            await call.hang_up()
        await until(lambda: "webhooks_wait_for_store" in gateway.log_text(), 15, what="that the store is missed")
        assert came == []
        locking.execute("COMMIT")
        locking.close()
        types = ["call.ringing", "call.answered", "call.turn", "call.ended", "recording.ready"]
        await until(lambda: sorted(event["type"] for event in came) == sorted(types), 20, what="each event once")
