"""A summary is posted after the call, and delays neither its end nor its record."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from gateway_process import RunningGateway, until

from telephony.phone import Phone

PERSONAS = """
import asyncio
from agent import Agent, RunContext

class Slow(Agent):
    greeting = "Hello."

    async def on_call_summary(self, ctx: RunContext) -> str:
        await asyncio.sleep(2)
        return f"{type(ctx.session.history).__name__} of nothing."
"""


class Receiver(BaseHTTPRequestHandler):
    came: list[dict]

    def do_POST(self) -> None:
        self.came.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Not to standard error."""


@pytest.mark.parametrize("where", ["settings", "dialplan"])
async def test_a_persona_s_summary_comes_after_the_record(
    start_gateway: Callable[..., RunningGateway], tmp_path: Path, caller: str, where: str
) -> None:
    came: list[dict] = []
    server = HTTPServer(("127.0.0.1", 0), type("Handler", (Receiver,), {"came": came}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    (tmp_path / "slow.py").write_text(PERSONAS)
    url = f"http://127.0.0.1:{server.server_port}/calls"
    plan = 'numbers: {"+15550100": slow.Slow}\n'
    if where == "dialplan":
        plan += f'after_call: {{url: "{url}"}}\n'
    (tmp_path / "plan.yaml").write_text(plan)
    summary = {"summary": {"url": url}} if where == "settings" else {}
    try:
        gateway = start_gateway(dialplans=[str(tmp_path / "plan.yaml")], **summary)
        async with Phone() as phone:
            call = await phone.call(gateway.uri("+15550100"), caller=caller)
            await until(lambda: len(call.received.at) > 50, 5, what="a second of the call")
            await call.hang_up()
            hung_up = time.monotonic()
            await gateway.record(call.call_id)
            await gateway.idle()
            assert time.monotonic() - hung_up < 1.5  # the summary takes 2 s
            await until(lambda: came, 8, what="the summary")
        assert gateway.complaints() == []
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    (posted,) = came
    assert posted["summary"] == {"text": "list of nothing.", "by": "persona"}
    assert posted["call"]["outcome"] == "answered"
    assert [turn["text"] for turn in posted["call"]["turns"] if turn["speaker"] == "agent"]
