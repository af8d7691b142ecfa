"""A call is followed by webhook and by the event stream; a gateway that is killed amid it tells of its end at the next
start."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import aiohttp
from gateway_process import RunningGateway, until

from telephony.phone import Phone

PERSONA = """
from agent import Agent

class Short(Agent):
    greeting = "Hello."
"""


class _Receiver(BaseHTTPRequestHandler):
    came: list[dict[str, Any]]
    statuses: list[int]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status = self.statuses.pop(0) if self.statuses else 204
        if status < 300:
            self.came.append(body)
        self.send_response(status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Not to standard error."""


@contextmanager
def receiving(*statuses: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A webhook's URL, and what it took; the first requests are answered with `statuses`."""
    came: list[dict[str, Any]] = []
    handler = type("Handler", (_Receiver,), {"came": came, "statuses": list(statuses)})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", came
    finally:
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
