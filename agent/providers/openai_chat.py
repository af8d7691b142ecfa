"""Language models behind the OpenAI chat completions protocol: OpenAI itself, and any server that speaks it.

The SDK is imported at first use, since it takes half a second; `warm_import` does it early in a parent that forks.
The SDK's retries are off: the session decides what is tried again, and when the persona's canned answer comes instead.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

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

if TYPE_CHECKING:
    from openai import AsyncOpenAI

__all__ = ["OpenAIChat", "OpenAISettings", "request_messages", "warm_import"]

_DETAIL_CHARACTERS = 200  # of a provider's own error text that goes into ours


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
    """Our context as the protocol's. A tool call without output, or an output without its call, is left out: a
    conversation that was interrupted between the two would otherwise be refused from then on."""
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
            # The dash tells the model that it was cut off, in a way that it does not read out when it imitates it.
            text = message.text + " —" if message.interrupted and message.text else message.text
            if text or calls:
                out.append({"role": "assistant", "content": text or None} | _calls_field(calls))
        else:
            out.append({"role": message.role, "content": message.text})
    return out


def _calls_field(calls: Sequence[ToolCall]) -> dict[str, Any]:
    if not calls:
        return {}
    return {
        "tool_calls": [
            {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in calls
        ]
    }


class _ToolCalls:
    """Tool calls put together from their pieces."""

    def __init__(self) -> None:
        self._parts: dict[int, tuple[str, str, str]] = {}

    def add(self, delta: Any) -> None:
        index = delta.index
        if index is None:  # servers that send each call whole leave the index out
            index = len(self._parts)
        call_id, name, arguments = self._parts.get(index, ("", "", ""))
        function = delta.function
        if function is not None:
            name = name or function.name or ""  # some servers repeat it in each piece
            arguments += function.arguments or ""
        self._parts[index] = (call_id or delta.id or "", name, arguments)

    def finished(self) -> list[ToolCall]:
        return [
            ToolCall(call_id or f"call_{index}", name, arguments or "{}")
            for index, (call_id, name, arguments) in sorted(self._parts.items())
            if name
        ]


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
                or "none",  # servers without keys; the SDK wants one, or takes the environment's
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
        calls = _ToolCalls()
        finish = ""
        async with aclosing(self._chunks(self._request(messages, tools))) as chunks:
            async for chunk in chunks:
                if chunk.usage is not None:
                    yield Usage(chunk.usage.prompt_tokens or 0, chunk.usage.completion_tokens or 0)
                for choice in chunk.choices or ():
                    finish = choice.finish_reason or finish
                    if choice.delta is None:
                        continue
                    if choice.delta.content:
                        yield TextDelta(choice.delta.content)
                    for delta in choice.delta.tool_calls or ():
                        calls.add(delta)
        if not finish:
            raise ProviderUnavailable(self.name, "the stream ended before the reply was finished")
        if finish == "content_filter":
            raise ProviderRejected(self.name, "the reply was stopped by the provider's content filter")
        for call in calls.finished():
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
            request["tools"] = [
                {
                    "type": "function",
                    "function": {
                        "name": tool.name,
                        "description": tool.description,
                        "parameters": dict(tool.parameters),
                    },
                }
                for tool in tools
            ]
        if settings.temperature is not None:
            request["temperature"] = settings.temperature
        if settings.max_tokens:
            request["max_completion_tokens"] = settings.max_tokens
        if settings.extra:
            request["extra_body"] = dict(settings.extra)
        return request

    async def _chunks(self, request: Mapping[str, Any]) -> AsyncGenerator[Any, None]:
        """The stream's chunks, under our own deadlines: the SDK's read timeout starts anew with every byte, which a
        server that sends keep-alive comments never lets run out."""
        settings = self._settings
        stream: Any = None
        try:
            async with asyncio.timeout(settings.first_event_s):
                stream = await self._connected().chat.completions.create(**request)
                chunk = await anext(stream, None)
            while chunk is not None:
                yield chunk
                async with asyncio.timeout(settings.next_event_s):
                    chunk = await anext(stream, None)
        except Exception as error:  # noqa: BLE001 - translated, or raised again as it is
            self._translate(error)
        finally:
            if stream is not None:
                await stream.close()

    def _translate(self, error: Exception) -> NoReturn:
        """Raise the `ProviderError` for an error of the SDK; anything else goes on as it is."""
        if isinstance(error, ProviderError):
            raise error
        if isinstance(error, TimeoutError):
            raise ProviderTimeout(self.name, "no answer in time") from error
        # A JSON or Unicode error is a stream of which the bytes make no sense.
        if isinstance(error, (json.JSONDecodeError, UnicodeDecodeError)):
            raise ProviderUnavailable(self.name, "the stream held something that is not JSON") from error
        openai = warm_import()
        if isinstance(error, openai.APITimeoutError):
            raise ProviderTimeout(self.name, "no answer in time") from error
        if isinstance(error, openai.APIStatusError):
            # The SDK's text holds the server's, which may quote the key: ours is cleaned, so it stands alone.
            raise self._for_status(error.status_code, error.message) from None
        if isinstance(error, openai.APIConnectionError):
            raise ProviderUnavailable(self.name, "the connection failed or was cut") from error
        if isinstance(error, openai.APIError):  # an error event inside the stream
            raise self._for_event(error) from None
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

    def _for_event(self, error: Any) -> ProviderError:
        code = f"{error.code or ''} {error.type or ''}"
        text = f"error in the stream: {self._shown(error.message)}"
        if "invalid_request" in code or "context_length" in code:
            return ProviderBadRequest(self.name, text)
        if "auth" in code or "permission" in code or "quota" in code:
            return ProviderRejected(self.name, text)
        return ProviderUnavailable(self.name, text)

    def _shown(self, message: str) -> str:
        """A provider's message without the key: some servers quote a part of it when they refuse it."""
        key = self._settings.api_key
        if key:
            message = message.replace(key, "***")
        message = re.sub(r"\b(sk|pk|key)[-_][\w*-]{6,}", "***", message)
        return " ".join(message.split())[:_DETAIL_CHARACTERS]
