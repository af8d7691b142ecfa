"""Language models behind the OpenAI chat completions protocol: OpenAI itself, and any server that speaks it.

The SDK is imported at first use, since it takes half a second; `warm_import` does it early in a parent that forks.
The SDK's retries are off: the session decides about retries and about the persona's canned answer.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from agent.providers._chat_stream import ChatStream, EventLines, TooLong
from agent.providers.base import (
    ChatMessage,
    LLMEvent,
    ProviderBadRequest,
    ProviderError,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
    ToolCall,
    ToolSpec,
)

if TYPE_CHECKING:
    from openai import AsyncOpenAI

__all__ = ["OpenAIChat", "OpenAISettings", "request_messages", "warm_import"]

_DRAIN_S = 0.1
_RINGING = "(The phone rings.)"
_ANYTHING: Mapping[str, Any] = {"type": "object", "properties": {}}
_DETAIL_CHARACTERS = 200  # of a provider's error text included in ours


@dataclass(frozen=True, slots=True)
class OpenAISettings:
    """How to reach a model. `repr` never shows the key.

    `base_url`: empty means OpenAI's own. `first_event_s`: the longest wait for the first piece of a reply;
    `next_event_s`: between two pieces; `connect_s`: for the connection. `max_tokens`: 0 leaves it to the server.
    `temperature`: None leaves it to the server. `extra`: further fields of the request body.
    """

    model: str
    api_key: str = field(default="", repr=False)
    base_url: str = ""
    temperature: float | None = None
    max_tokens: int = 0
    connect_s: float = 2.0
    first_event_s: float = 5.0
    next_event_s: float = 5.0
    extra: Mapping[str, Any] = field(default_factory=dict)


def warm_import() -> ModuleType:
    """Import the SDK with the parts that it would load at the first request."""
    import openai
    import openai.resources.chat.completions

    return openai


def request_messages(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """Our context in the protocol's form. A tool call without output, or an output without its call, is left out: a
    conversation interrupted between the two would otherwise be refused from then on. If the agent speaks first, as
    usual on the phone, the ringing precedes it: some servers refuse a conversation started by the assistant."""
    answered = {message.tool_call_id for message in messages if message.role == "tool"}
    called: set[str] = set()
    out: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "tool":
            if message.tool_call_id in called:
                text = f"Error: {message.text}" if message.is_error else message.text
                out.append({"role": "tool", "tool_call_id": message.tool_call_id, "content": text})
        elif message.role == "assistant":
            calls = [call for call in message.tool_calls if call.call_id in answered]
            called.update(call.call_id for call in calls)
            # The dash tells the model that it was cut off, in a form that is not read out if the model imitates it.
            text = message.text + " —" if message.interrupted and message.text else message.text
            if text or calls:
                if not out or out[-1]["role"] == "system":
                    out.append({"role": "user", "content": _RINGING})
                out.append({"role": "assistant", "content": text or None} | _calls_field(calls))
        elif message.text:
            out.append({"role": message.role, "content": message.text})
    return out


def _called(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """The functions that these messages call, each once."""
    calls = (call for message in messages for call in message.get("tool_calls", ()))
    return list(dict.fromkeys(call["function"]["name"] for call in calls))


def _definition(tool: ToolSpec) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}


def _calls_field(calls: Sequence[ToolCall]) -> dict[str, Any]:
    if not calls:
        return {}
    return {
        "tool_calls": [
            {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in calls
        ]
    }


class OpenAIChat:
    """One model. Connections are kept and shared by the calls of a process and its loop."""

    def __init__(self, settings: OpenAISettings) -> None:
        self.name = f"openai/{settings.model}"
        self._settings = settings
        self._client: AsyncOpenAI | None = None

    def _connected(self) -> AsyncOpenAI:
        if self._client is None:
            openai = warm_import()
            settings = self._settings
            longest = max(settings.first_event_s, settings.next_event_s)
            self._client = openai.AsyncOpenAI(
                api_key=settings.api_key
                or "none",  # for servers without keys: the SDK needs one, or takes the environment's
                base_url=settings.base_url or "https://api.openai.com/v1",
                timeout=openai.Timeout(longest, connect=settings.connect_s),
                max_retries=0,
            )
        return self._client

    async def warm(self) -> None:
        self._connected()

    async def aclose(self) -> None:
        """Close the connections. For the end of a process, or of a test."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def chat(self, messages: Sequence[ChatMessage], tools: Sequence[ToolSpec]) -> AsyncIterator[LLMEvent]:
        reply = ChatStream([tool.name for tool in tools])
        done = False
        async with aclosing(self._chunks(self._request(messages, tools))) as chunks:
            async for chunk in chunks:
                done = chunk is None
                for event in reply.feed(chunk or {}):
                    yield event
        if reply.finish == "content_filter":
            raise ProviderRejected(self.name, "the reply was stopped by the provider's content filter")
        if reply.finish == "error":
            raise ProviderUnavailable(self.name, "the reply ended with an error")
        if not reply.finish and not (done and reply.anything):
            raise ProviderUnavailable(self.name, "the stream ended before the reply was finished")
        for call in reply.calls():
            yield call

    def _request(self, messages: Sequence[ChatMessage], tools: Sequence[ToolSpec]) -> dict[str, Any]:
        settings = self._settings
        request: dict[str, Any] = {
            "model": settings.model,
            "messages": request_messages(messages),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if tools:
            request["tools"] = [_definition(tool) for tool in tools]
        elif called := _called(request["messages"]):
            # Some proxies refuse calls in the context of a request that defines no tools.
            request["tools"] = [_definition(ToolSpec(name, "", _ANYTHING)) for name in called]
            request["tool_choice"] = "none"
        if settings.temperature is not None:
            request["temperature"] = settings.temperature
        if settings.max_tokens:
            request["max_completion_tokens"] = settings.max_tokens
        if settings.extra:
            request["extra_body"] = dict(settings.extra)
        return request

    async def _chunks(self, request: Mapping[str, Any]) -> AsyncGenerator[Mapping[str, Any] | None, None]:
        """The stream's chunks and its end (None) if it is announced, with our own deadlines: the SDK's read timeout
        restarts with every byte, so a server that sends keep-alive comments would never time out."""
        settings = self._settings
        stream: Any = None
        try:
            async with asyncio.timeout(settings.first_event_s):
                stream = await self._connected().chat.completions.create(**request)
                events = self._events(stream.response)
                event = await anext(events, None)
            while event is not None:
                if event.startswith(b"[DONE]"):
                    yield None
                    await self._drain(events)
                    return
                yield self._chunk(event)
                async with asyncio.timeout(settings.next_event_s):
                    event = await anext(events, None)
        except Exception as error:  # noqa: BLE001 - translated, or raised again as it is
            self._translate(error)
        finally:
            if stream is not None:
                await stream.close()

    @staticmethod
    async def _drain(events: AsyncIterator[bytes]) -> None:
        """Read the end of the body: only then can the connection serve the next request."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                async for _ in events:
                    pass

    @staticmethod
    async def _events(response: Any) -> AsyncGenerator[bytes, None]:
        """The data of each event; if a server does not stream, its whole answer."""
        if "json" in response.headers.get("content-type", ""):
            yield await response.aread()
            yield b"[DONE]"
            return
        lines = EventLines()
        async for data in response.aiter_bytes():
            for event in lines.feed(data):
                yield event
        for event in lines.end():
            yield event

    def _chunk(self, event: bytes) -> Mapping[str, Any]:
        """Raises ProviderError for an error sent as an event."""
        chunk = json.loads(event)
        if not isinstance(chunk, dict):
            raise ProviderUnavailable(self.name, "the stream contained an invalid chunk")
        error = chunk.get("error") or (chunk if chunk.get("object") == "error" else None)
        if error:
            raise self._for_event(error if isinstance(error, dict) else {"message": str(error)})
        return chunk

    def _translate(self, error: Exception) -> NoReturn:
        """Raise the `ProviderError` for an error of the SDK; re-raises anything else."""
        if isinstance(error, ProviderError):
            raise error
        if isinstance(error, TimeoutError):
            raise ProviderTimeout(self.name, "no answer in time") from error
        # A JSON or Unicode error means an invalid stream.
        if isinstance(error, (json.JSONDecodeError, UnicodeDecodeError, RecursionError, TooLong)):
            raise ProviderUnavailable(self.name, "the stream contained invalid JSON") from error
        openai = warm_import()
        if isinstance(error, openai.APITimeoutError):
            raise ProviderTimeout(self.name, "no answer in time") from error
        if isinstance(error, openai.APIStatusError):
            # The SDK's text holds the server's, which may quote the key: ours is cleaned, so drop the chain.
            raise self._for_status(error.status_code, error.message) from None
        if isinstance(error, openai.APIConnectionError):
            raise ProviderUnavailable(self.name, "the connection failed or was cut") from error
        if type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "httpcore"):  # while the stream was read
            slow = "Timeout" in type(error).__name__
            raise (ProviderTimeout if slow else ProviderUnavailable)(self.name, "the connection was cut") from error
        if isinstance(error, openai.OpenAIError):
            raise ProviderBadRequest(self.name, self._shown(str(error))) from None
        raise error

    def _for_status(self, status: int, message: str) -> ProviderError:
        text = f"HTTP {status}: {self._shown(message)}"
        if status in (408, 504):
            return ProviderTimeout(self.name, text)
        if status == 429 or status >= 500:
            exhausted = status == 429 and "quota" in message.lower()
            return ProviderRejected(self.name, text) if exhausted else ProviderUnavailable(self.name, text)
        if status in (401, 402, 403):
            return ProviderRejected(self.name, text)
        return ProviderBadRequest(self.name, text)

    def _for_event(self, error: Mapping[str, Any]) -> ProviderError:
        """For an error within a stream, or in an answer with status 200."""
        code = f"{error.get('code') or ''} {error.get('type') or ''}".lower()
        text = f"error in the stream: {self._shown(str(error.get('message') or ''))}"
        if "invalid_request" in code or "context_length" in code or "badrequest" in code or code.startswith("400"):
            return ProviderBadRequest(self.name, text)
        if "auth" in code or "permission" in code or "quota" in code:
            return ProviderRejected(self.name, text)
        return ProviderUnavailable(self.name, text)

    def _shown(self, message: str) -> str:
        """A provider's message without the key: some servers quote part of a key that they refuse."""
        key = self._settings.api_key
        if key:
            message = message.replace(key, "***")
        message = re.sub(r"\b(sk|pk|key)[-_][\w*-]{6,}", "***", message)
        return " ".join(message.split())[:_DETAIL_CHARACTERS]
