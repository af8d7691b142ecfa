"""A server for the OpenAI chat protocol that behaves well or badly, depending on the model's name. In its own
thread."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> bytes:
    body: dict[str, Any] = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    body["choices"] = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return f"data: {json.dumps(body | more)}\n\n".encode()


_ARGUMENTS = {"order_status": '{"order": "48115"}', "free_slots": '{"day": "tomorrow", "part": "morning"}'}


class ModelServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[dict[str, Any]] = []
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def asked(self, model: str) -> list[dict[str, Any]]:
        return [request for request in self.requests if request["model"] == model]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is not a server error."""


@contextmanager
def model_server() -> Iterator[ModelServer]:
    server = ModelServer()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: ModelServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Not to standard error."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(body)
        model: str = body["model"]
        if model == "fails":
            self._plain(500, {"error": {"message": "on fire"}})
        elif model == "refuses":
            self._plain(401, {"error": {"message": "no such key"}})
        elif model == "no-json":
            self._events([b"data: {not json\n\n", b"data: [DONE]\n\n"])
        elif model == "stalls":
            self.server.over.wait(20)
        elif model == "says-nothing":
            self._events([chunk({"role": "assistant", "content": ""}), chunk({}, "stop"), b"data: [DONE]\n\n"])
        elif model == "cuts":
            self._events([chunk({"content": "I was about to say that "})], cut=True)
        elif model == "stalls-midway":
            self._events([chunk({"content": "One moment please. And then "})], stall=True)
        elif model == "once":  # the first request fails, the second works
            if len(self.server.asked("once")) == 1:
                self._plain(500, {"error": {"message": "try again"}})
            else:
                self._say("It works now.")
        else:
            self._converse(model, body)

    def _converse(self, model: str, body: dict[str, Any]) -> None:
        """A tool by the model's name (`tool-NAME`), then words about its result."""
        results = [message for message in body["messages"] if message["role"] == "tool"]
        if results:
            self._say(f"I found this: {results[-1]['content']}.")
            return
        name = model.removeprefix("tool-")
        arguments = _ARGUMENTS.get(name, "{}")
        call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": ""}}
        pieces = [chunk({"role": "assistant", "tool_calls": [call]})]
        for start in range(0, len(arguments), 6):
            piece = {"index": 0, "function": {"arguments": arguments[start : start + 6]}}
            pieces.append(chunk({"tool_calls": [piece]}))
        self._events([*pieces, chunk({}, "tool_calls"), _usage(), b"data: [DONE]\n\n"])

    def _say(self, text: str) -> None:
        pieces = [chunk({"content": word + " "}) for word in text.split()]
        self._events([*pieces, chunk({}, "stop"), _usage(), b"data: [DONE]\n\n"])

    def _plain(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _events(self, pieces: list[bytes], *, cut: bool = False, stall: bool = False) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        for piece in pieces:
            self.wfile.write(piece)
            self.wfile.flush()
            time.sleep(0.01)
        if stall:
            self.server.over.wait(20)
        if cut:
            self.connection.close()


def _usage() -> bytes:
    return chunk(usage={"prompt_tokens": 21, "completion_tokens": 9, "total_tokens": 30})
