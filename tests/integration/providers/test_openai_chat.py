"""The OpenAI-compatible client against a local server that speaks the published streaming protocol, and its faults."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from agent.providers.base import (
    ChatMessage,
    LLMEvent,
    ProviderBadRequest,
    ProviderError,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
    TextDelta,
    ToolCall,
    ToolSpec,
    Usage,
)
from agent.providers.openai_chat import OpenAIChat, OpenAISettings, request_messages

KEY = "sk-test-0123456789abcdef"
HELLO = [ChatMessage("user", "Hello?")]
Handler = Callable[[web.Request, web.StreamResponse], Awaitable[None]]


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> bytes:
    body: dict[str, Any] = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    body["choices"] = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return f"data: {json.dumps(body | more)}\n\n".encode()


def tool_piece(index: int, arguments: str = "", **more: Any) -> dict[str, Any]:
    name = more.pop("name", None)
    function = {"arguments": arguments} | ({"name": name} if name else {})
    return {"tool_calls": [{"index": index, "function": function, "type": "function", **more}]}


class Server:
    def __init__(self) -> None:
        self.url = ""
        self.requests: list[dict[str, Any]] = []
        self.authorization: list[str] = []
        self.disconnected = asyncio.Event()
        self.peers: list[object] = []
        self.refusal: web.Response | None = None
        self.pieces: list[bytes | float | str] = []  # bytes are sent, floats waited, "cut" drops the connection

    async def completions(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(await request.json())
        self.peers.append(request.transport and request.transport.get_extra_info("peername"))
        self.authorization.append(request.headers.get("Authorization", ""))
        if self.refusal is not None:
            return web.Response(status=self.refusal.status, body=self.refusal.body, content_type="application/json")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            for piece in self.pieces:
                if isinstance(piece, bytes):
                    await response.write(piece)
                elif isinstance(piece, float):
                    await asyncio.sleep(piece)
                else:
                    assert request.transport is not None
                    request.transport.abort()
                    return response
        except (ConnectionError, asyncio.CancelledError):
            self.disconnected.set()
            raise
        return response


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.completions)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield server
    await runner.cleanup()


@pytest.fixture
async def llm(server: Server) -> AsyncIterator[OpenAIChat]:
    settings = OpenAISettings(
        "gpt-test",
        api_key=KEY,
        base_url=server.url,
        first_event_s=0.3,
        next_event_s=0.3,
        temperature=0.2,
        max_tokens=99,
    )
    llm = OpenAIChat(settings)
    await llm.warm()
    yield llm
    await llm.aclose()


async def ask(llm: OpenAIChat, messages: list[ChatMessage] = HELLO, tools: tuple[ToolSpec, ...] = ()) -> list[LLMEvent]:
    return [event async for event in llm.chat(messages, tools)]


async def test_text_usage_and_the_request(server: Server, llm: OpenAIChat) -> None:
    server.pieces = [
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "Hel"}),
        chunk({"content": "lo — naïve"})[:60],
        0.01,
        chunk({"content": "lo — naïve"})[60:],  # a piece cut in the middle of a chunk
        b": keep-alive\n\n",
        chunk({}, "stop"),
        chunk(usage={"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}),
        b"data: [DONE]\n\n",
    ]
    tool = ToolSpec("lookup", "Look it up.", {"type": "object", "properties": {}})
    assert await ask(llm, tools=(tool,)) == [TextDelta("Hel"), TextDelta("lo — naïve"), Usage(12, 3)]
    (request,) = server.requests
    assert request["stream_options"] == {"include_usage": True}
    assert (request["model"], request["stream"], request["temperature"]) == ("gpt-test", True, 0.2)
    assert request["max_completion_tokens"] == 99
    assert request["tools"][0]["function"]["name"] == "lookup"
    assert server.authorization == [f"Bearer {KEY}"]


async def test_without_tools_a_context_that_has_calls_defines_what_it_calls(server: Server, llm: OpenAIChat) -> None:
    server.pieces = [chunk({"content": "At eight."}), b"data: [DONE]\n\n"]
    calls = (ToolCall("a", "lookup", "{}"), ToolCall("b", "lookup", "{}"), ToolCall("c", "never_answered", "{}"))
    context = [
        ChatMessage("user", "A table?"),
        ChatMessage("assistant", "", calls),
        ChatMessage("tool", "eight", tool_call_id="a"),
        ChatMessage("tool", "nine", tool_call_id="b"),
    ]
    await ask(llm, context)
    await ask(llm, HELLO)
    (request, plain) = server.requests
    assert [tool["function"]["name"] for tool in request["tools"]] == ["lookup"]
    assert request["tool_choice"] == "none"
    assert "tools" not in plain and "tool_choice" not in plain


async def test_parallel_tool_calls_in_pieces(server: Server, llm: OpenAIChat) -> None:
    server.pieces = [
        chunk({"role": "assistant", "content": None}),
        chunk(tool_piece(0, id="a", name="slots")),
        chunk(tool_piece(0, '{"day": "mo')),
        chunk(tool_piece(1, id="b", name="hours")),
        chunk(tool_piece(0, 'nday"}')),
        chunk({}, "tool_calls"),
        b"data: [DONE]\n\n",
    ]
    assert await ask(llm) == [ToolCall("a", "slots", '{"day": "monday"}'), ToolCall("b", "hours", "{}")]


async def test_tool_calls_without_index_or_id(server: Server, llm: OpenAIChat) -> None:
    whole = {"type": "function", "function": {"name": "hours", "arguments": "{}"}}
    server.pieces = [chunk({"tool_calls": [whole, whole]}), chunk({}, "tool_calls"), b"data: [DONE]\n\n"]
    assert await ask(llm) == [ToolCall("call00000", "hours", "{}"), ToolCall("call00001", "hours", "{}")]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, ProviderBadRequest),
        (404, ProviderBadRequest),
        (422, ProviderBadRequest),
        (401, ProviderRejected),
        (403, ProviderRejected),
        (408, ProviderTimeout),
        (429, ProviderUnavailable),
        (500, ProviderUnavailable),
        (503, ProviderUnavailable),
    ],
)
async def test_refusals_once_each_without_the_key(
    server: Server, llm: OpenAIChat, status: int, error: type[ProviderError], caplog: pytest.LogCaptureFixture
) -> None:
    body = {"error": {"message": f"Not with {KEY} (sk-test-***cdef), no.", "type": "t", "code": None}}
    server.refusal = web.Response(status=status, text=json.dumps(body))
    with caplog.at_level(logging.DEBUG), pytest.raises(error) as raised:
        await ask(llm)
    assert raised.type is error
    assert str(status) in str(raised.value)
    assert len(server.requests) == 1  # the SDK does not retry
    shown = f"{raised.value!r} {raised.value.__cause__!r} {caplog.text} {llm._settings!r}"
    assert KEY not in shown
    assert "cdef" not in str(raised.value)


async def test_an_exhausted_quota_is_not_retried(server: Server, llm: OpenAIChat) -> None:
    server.refusal = web.Response(status=429, text='{"error": {"message": "You exceeded your current quota."}}')
    with pytest.raises(ProviderRejected):
        await ask(llm)


DELTA = chunk({"content": "Hi "})


@pytest.mark.parametrize(
    ("pieces", "error", "before"),
    [
        ([5.0], ProviderTimeout, 0),
        ([DELTA, 5.0], ProviderTimeout, 1),
        ([DELTA, *[b": keep-alive\n\n", 0.1] * 20], ProviderTimeout, 1),
        ([DELTA, "cut"], ProviderUnavailable, 1),
        (["cut"], ProviderUnavailable, 0),
        ([], ProviderUnavailable, 0),
        ([b"data: [DONE]\n\n"], ProviderUnavailable, 0),
        ([DELTA], ProviderUnavailable, 1),
        ([DELTA, b"data: {not json\n\n", 5.0], ProviderUnavailable, 1),
        ([b"data: \xff\xfe\n\n"], ProviderUnavailable, 0),
        ([DELTA, b'data: {"error": {"message": "overloaded", "type": "server_error"}}\n\n'], ProviderUnavailable, 1),
        ([b'data: {"error": {"message": "x", "type": "invalid_request_error"}}\n\n'], ProviderBadRequest, 0),
        ([b'data: {"error": {"message": "x", "code": "insufficient_quota"}}\n\n'], ProviderRejected, 0),
        ([DELTA, chunk({}, "content_filter"), b"data: [DONE]\n\n"], ProviderRejected, 1),
    ],
)
async def test_faults_in_the_stream(
    server: Server, llm: OpenAIChat, pieces: list[bytes | float | str], error: type[ProviderError], before: int
) -> None:
    server.pieces = pieces
    events = []
    with pytest.raises(error) as raised:
        async for event in llm.chat(HELLO, []):
            events.append(event)
    assert raised.type is error
    assert events == [TextDelta("Hi ")] * before
    assert str(raised.value).startswith("openai/gpt-test: ")
    # and the client is as good as new
    server.pieces = [DELTA, chunk({}, "stop"), b"data: [DONE]\n\n"]
    assert await ask(llm) == [TextDelta("Hi ")]


PARALLEL = {
    "tool_calls": [
        {"index": 0, "id": "a", "type": "function", "function": {"name": "slots", "arguments": '{"day": 1}'}},
        {"index": 0, "id": "b", "type": "function", "function": {"name": "hours", "arguments": None}},
    ]
}
DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([DELTA, DONE], [TextDelta("Hi ")]),  # no reason of the end
        ([chunk({"content": "Hi "}, "eos"), DONE], [TextDelta("Hi ")]),
        ([chunk({"content": "Hi "}, "stop")], [TextDelta("Hi ")]),  # no [DONE]
        (
            [chunk({"role": "assistant"}), chunk({"role": "assistant", "reasoning_content": "Hm."}), DELTA, DONE],
            [TextDelta("Hi ")],
        ),
        (
            [chunk(PARALLEL), chunk({}, "stop"), DONE],
            [ToolCall("a", "slots", '{"day": 1}'), ToolCall("b", "hours", "{}")],
        ),
        ([b"event: message\r\ndata: " + DELTA[6:-2] + b"\r\n\r\n", DONE], [TextDelta("Hi ")]),
        ([chunk({"content": "Hi "}, "stop").rstrip()], [TextDelta("Hi ")]),  # the last event is not ended
    ],
)
async def test_quirks_of_compatible_servers(
    server: Server, llm: OpenAIChat, pieces: list[bytes | float | str], expected: list[LLMEvent]
) -> None:
    server.pieces = pieces
    assert await ask(llm) == expected


async def test_requests_share_a_connection(server: Server, llm: OpenAIChat) -> None:
    server.pieces = [DELTA, chunk({}, "stop"), DONE, 0.01]
    for _ in range(3):
        assert await ask(llm) == [TextDelta("Hi ")]
    assert len(set(server.peers)) == 1


async def test_a_server_that_does_not_stream(server: Server, llm: OpenAIChat) -> None:
    message = {
        "role": "assistant",
        "content": "Hello.",
        "tool_calls": [tool_piece(0, "{}", name="hours")["tool_calls"][0]],
    }
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}], "usage": {"prompt_tokens": 3}}
    server.refusal = web.Response(status=200, text=json.dumps(body))
    assert await ask(llm) == [Usage(3, 0), TextDelta("Hello."), ToolCall("call00000", "hours", "{}")]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"error": {"message": "overloaded", "code": 503}}, ProviderUnavailable),
        ({"error": "no model"}, ProviderUnavailable),
        ({"object": "error", "message": "too long", "type": "BadRequestError", "code": 400}, ProviderBadRequest),
    ],
)
async def test_errors_with_status_200(
    server: Server, llm: OpenAIChat, body: dict[str, Any], error: type[ProviderError]
) -> None:
    for refusal in (web.Response(status=200, text=json.dumps(body)), None):
        server.refusal, server.pieces = refusal, [b"event: error\ndata: " + json.dumps(body).encode() + b"\n\n"]
        with pytest.raises(error) as raised:
            await ask(llm)
        assert raised.type is error


def test_where_the_agent_speaks_first_somebody_has_rung() -> None:
    out = request_messages([ChatMessage("system"), ChatMessage("assistant", "Hello!"), ChatMessage("user", "Hi.")])
    assert [m["role"] for m in out] == ["user", "assistant", "user"]


async def test_nobody_there() -> None:
    llm = OpenAIChat(OpenAISettings("m", base_url="http://127.0.0.1:1/v1", connect_s=0.5))
    with pytest.raises(ProviderUnavailable):
        await ask(llm)
    await llm.aclose()


async def test_closing_the_reply_drops_the_request(server: Server, llm: OpenAIChat) -> None:
    server.pieces = [DELTA, *[DELTA, 0.05] * 100]
    reply = llm.chat(HELLO, [])
    assert await anext(reply) == TextDelta("Hi ")
    await reply.aclose()  # type: ignore[attr-defined]
    await asyncio.wait_for(server.disconnected.wait(), 2)


async def test_cancelling_the_reader_drops_the_request(server: Server, llm: OpenAIChat) -> None:
    server.pieces = [DELTA, *[DELTA, 0.05] * 100]
    task = asyncio.create_task(ask(llm))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(server.disconnected.wait(), 2)


def test_messages_as_the_protocol_wants_them() -> None:
    calls = (ToolCall("a", "slots", "{}"), ToolCall("b", "hours", "{}"), ToolCall("lost", "x", "{}"))
    out = request_messages(
        [
            ChatMessage("system", "Be kind."),
            ChatMessage("user", "When?"),
            ChatMessage("assistant", "Let me", tool_calls=calls),
            ChatMessage("tool", "nine", tool_call_id="a", name="slots"),
            ChatMessage("tool", "no hours", tool_call_id="b", name="hours", is_error=True),
            ChatMessage("tool", "orphan", tool_call_id="z"),
            ChatMessage("assistant", "We open at", interrupted=True),
            ChatMessage("assistant", "", interrupted=True),
            ChatMessage("user", "Stop."),
        ]
    )
    assert [m["role"] for m in out] == ["system", "user", "assistant", "tool", "tool", "assistant", "user"]
    assert [call["id"] for call in out[2]["tool_calls"]] == ["a", "b"]
    assert out[2]["content"] == "Let me"
    assert out[4] == {"role": "tool", "tool_call_id": "b", "content": "Error: no hours"}
    assert out[5] == {"role": "assistant", "content": "We open at —"}
