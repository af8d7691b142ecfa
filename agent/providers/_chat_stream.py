"""Reads a chat completion's stream as events, from servers that follow the protocol more or less. Pure.

Known deviations: all parallel calls have index 0, or none; IDs are missing, repeat, or change with each piece; names
come in pieces, or again with each piece; arguments are null, an object instead of text, or are sent whole a second
time; `message` instead of `delta`; content is a list of parts; the finish reason is missing or unknown; errors and
whole answers come with status 200.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.providers.base import LLMEvent, TextDelta, ToolCall, Usage
from agent.speech.characters import valid_text
from agent.tool_arguments import arguments_of, unused_call_id

__all__ = ["ChatStream", "EventLines", "TooLong"]

_EVENT_BYTES = 4_000_000
_CALLS = 128
_ARGUMENTS = 64_000  # characters; longer ones are cut off, and therefore rejected as arguments


class TooLong(ValueError):
    """An event of the stream is implausibly long."""


class EventLines:
    """Parses server-sent events (WHATWG HTML standard, 9.2) from bytes: the data of each event."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._searched = 0
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The events completed by these bytes. Raises TooLong."""
        self._rest += data
        events: list[bytes] = []
        at = 0
        while (end := self._rest.find(b"\n", max(at, self._searched))) >= 0:
            self._line(bytes(self._rest[at:end]).rstrip(b"\r"), events)
            at = end + 1
        del self._rest[:at]
        self._searched = len(self._rest)
        if len(self._rest) + self._size > _EVENT_BYTES:
            raise TooLong("an event of the stream is too long")
        return events

    def end(self) -> list[bytes]:
        """The stream is over: an unfinished event counts as well."""
        events: list[bytes] = []
        self._line(bytes(self._rest).rstrip(b"\r"), events)
        self._line(b"", events)
        self._rest.clear()
        return events

    def _line(self, line: bytes, events: list[bytes]) -> None:
        if not line:
            if self._data:
                events.append(b"\n".join(self._data))
            self._data, self._size = [], 0
        elif line.startswith((b"data:", b"\xef\xbb\xbfdata:")):
            data = line.partition(b":")[2].removeprefix(b" ")
            self._data.append(data)
            self._size += len(data)


@dataclass(slots=True)
class _Call:
    call_id: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list)
    size: int = 0

    def add(self, piece: str) -> None:
        if piece and self.size <= _ARGUMENTS:
            self.pieces.append(piece)
            self.size += len(piece)

    @property
    def whole(self) -> bool:
        return _is_json("".join(self.pieces))

    def arguments(self) -> str:
        text = "".join(self.pieces)[: _ARGUMENTS + 1]
        if len(self.pieces) > 1 and not _is_json(text) and _is_json(self.pieces[-1]):
            return self.pieces[-1]  # sent whole again
        return text or "{}"


class ChatStream:
    """`names`: of the functions that were offered."""

    def __init__(self, names: Collection[str] = ()) -> None:
        self._names = frozenset(names)
        self._calls: list[_Call] = []
        self._at: dict[object, _Call] = {}  # by index
        self.finish = ""  # why it ended, according to the server
        self.anything = False

    def feed(self, chunk: Mapping[str, Any]) -> list[LLMEvent]:
        """One chunk, or a whole answer."""
        events: list[LLMEvent] = []
        if isinstance(usage := chunk.get("usage"), Mapping):
            events.append(Usage(_count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))))
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, Mapping) and choice.get("index") in (0, None):
                self._choice(choice, events)
        return events

    def calls(self) -> list[ToolCall]:
        """The calls in order, each with its own id."""
        used: set[str] = set()
        finished: list[ToolCall] = []
        for call in self._calls:
            if not call.name.strip():
                continue
            call_id = call.call_id if call.call_id and call.call_id not in used else unused_call_id(used)
            used.add(call_id)
            finished.append(ToolCall(call_id, call.name.strip(), call.arguments()))
        return finished

    def _choice(self, choice: Mapping[str, Any], events: list[LLMEvent]) -> None:
        if isinstance(finish := choice.get("finish_reason"), str):
            self.finish = finish or self.finish
        delta = choice.get("delta") or choice.get("message")
        if not isinstance(delta, Mapping):
            return
        if text := _text(delta.get("content")) or _text(delta.get("refusal")):
            self.anything = True
            events.append(TextDelta(text))
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, Mapping):
                self._piece(call)
        if isinstance(legacy := delta.get("function_call"), Mapping):
            self._piece({"index": "function_call", "function": legacy})

    def _piece(self, delta: Mapping[str, Any]) -> None:
        raw = delta.get("function")
        function: Mapping[str, Any] = raw if isinstance(raw, Mapping) else {}
        name, call_id = _string(function.get("name")), _string(delta.get("id"))
        index = delta.get("index")
        if not isinstance(index, int | str):
            index = None
        call = self._at.get(index) if index is not None or not (name or call_id) else None
        if call is None or self._begins_another(call, name, call_id):
            if len(self._calls) >= _CALLS:
                return
            call = _Call()
            self._calls.append(call)
        self._at[index] = self._at[None] = call
        self.anything = True
        call.call_id = call.call_id or call_id
        call.name = self._joined(call.name, name)
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            call.add(arguments)
        elif arguments is not None:
            call.add(json.dumps(arguments))

    def _begins_another(self, call: _Call, name: str, call_id: str) -> bool:
        """Whether a piece for the same index is of another call."""
        if not name or not call.name:
            return False  # without a name it continues, whatever its ID
        if call_id and call.call_id and call_id != call.call_id:
            return name in self._names or not self._names or call.whole
        if call.pieces:
            return call.whole and (name != call.name or not call_id)
        return name != call.name and name in self._names and call.name in self._names

    def _joined(self, name: str, more: str) -> str:
        if not more or more == name or name in self._names:
            return name or more
        return name + more


def _is_json(text: str) -> bool:
    try:
        arguments_of(text)
    except (ValueError, TypeError):
        return False
    return bool(text.strip())


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):  # parts; reasoning is not spoken
        parts = (
            part.get("text") for part in content if isinstance(part, Mapping) and part.get("type", "text") == "text"
        )
        return "".join(part for part in parts if isinstance(part, str))
    return ""


def _string(value: object) -> str:
    return valid_text(value) if isinstance(value, str) else ""


def _count(value: object) -> int:
    return int(value) if isinstance(value, int | float) and value == value else 0
