"""A program is asked about a call before it is answered: what it says holds, and one that hangs holds up nobody."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from gateway_process import RunningGateway, until
from standardwebhooks import Webhook

from telephony.phone import Phone

PERSONAS = """
import sys

from agent import Agent

class Plain(Agent):
    greeting = "Hello."

class Vip(Agent):
    greeting = "Hello."

    async def on_enter(self, ctx) -> None:
        await super().on_enter(ctx)
        print("variables:", dict(ctx.call.info.variables), file=sys.stderr)
"""
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class _Crm(BaseHTTPRequestHandler):
    asked: list[dict[str, Any]]
    go_on: threading.Event

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append(Webhook(SECRET).verify(text, dict(self.headers.items())))
        if self.path == "/hangs":
            self.go_on.wait(10)
        body = json.dumps({"persona": "p.Vip", "variables": {"name": "Ada"}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Not to standard error."""


@contextmanager
def crm() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Its URL, and what it was asked."""
    asked: list[dict[str, Any]] = []
    go_on = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Crm,), {"asked": asked, "go_on": go_on}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()


def plan(folder: Path, url: str) -> dict[str, Any]:
    (folder / "secret").write_text(SECRET)
    (folder / "p.py").write_text(PERSONAS)
    hook = f'personas: [p.Vip], allow_private: true, secret: {{file: "{folder}/secret"}}'
    (folder / "plan.yaml").write_text(
        f'numbers:\n  "+15550100": {{persona: p.Plain, before_call: {{url: "{url}/says", {hook}}}}}\n'
        f'  "+15550101": {{persona: p.Plain, before_call: {{url: "{url}/hangs", {hook}}}}}\n'
        '  "+15550102": p.Plain\n'
    )
    return {"dialplans": [str(folder / "plan.yaml")]}


async def closed(gateway: RunningGateway, called: str) -> dict[str, Any]:
    async def found() -> dict[str, Any] | None:
        calls = await asyncio.to_thread(gateway.calls, called=called)
        return calls[0] if calls and calls[0]["outcome"] else None

    record = await until(found, what=f"the record of a call to {called}")
    assert record is not None
    return await asyncio.to_thread(gateway.get, f"/v1/calls/{record['call_id']}")


def asking(record: dict[str, Any]) -> dict[str, Any]:
    (event,) = [event for event in record["events"] if event["type"] == "asked_before_call"]
    return event


async def test_who_answers_and_with_what(start_gateway: Callable[..., RunningGateway], tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    with crm() as (url, asked):
        gateway = start_gateway(**plan(tmp_path, url))
        async with Phone() as phone:
            call = await phone.call(gateway.uri("+15550100"), caller="+15557001")
            await until(lambda: "variables: {'name': 'Ada'}" in gateway.log_text(), 5, what="the persona's variables")
            await call.hang_up()
            record = await closed(gateway, "+15550100")
            assert (record["persona"], asking(record)["persona"]) == ("p.Vip", "p.Vip")
            assert (asking(record)["error"], asking(record)["variables"]) == ("", ["name"])
            (question,) = asked
            assert question["call"]["call_id"] == record["call_id"]
            assert (question["call"]["caller"], question["call"]["called"]) == ("+15557001", "+15550100")

            began = loop.time()
            slow = asyncio.create_task(phone.call(gateway.uri("+15550101"), caller="+15557002"))
            await until(lambda: len(asked) == 2, 5, what="the question that hangs")
            async with Phone() as other:
                quick = await other.call(gateway.uri("+15550102"), caller="+15557003")
                assert not slow.done()
                await quick.hang_up()
            await (await slow).hang_up()
            assert 0.7 < loop.time() - began < 2.5
            record = await closed(gateway, "+15550101")
            assert (record["persona"], asking(record)["error"]) == ("p.Plain", "no answer within 800 ms")
        assert gateway.complaints("plain") == []
