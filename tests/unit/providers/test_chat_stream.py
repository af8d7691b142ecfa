"""The quirks of servers that almost follow the chat completions protocol."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.providers._chat_stream import ChatStream, EventLines, TooLong
from agent.providers.base import TextDelta, ToolCall, Usage
from agent.tool_arguments import arguments_of, as_object_text

NAMES = ("look", "book", "free_slots")


def piece(index: Any = 0, call_id: Any = None, name: Any = None, arguments: Any = None, **more: Any) -> dict[str, Any]:
    """One entry of `delta.tool_calls`; None leaves a field out, "null" makes it null."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    fields = {"index": index, "id": call_id, "function": function} | more
    return {key: None if value == "null" else value for key, value in fields.items() if value is not None}


def calls(*deltas: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    stream = ChatStream(NAMES)
    for delta in deltas:
        stream.feed({"choices": [{"index": 0, "delta": {"tool_calls": delta}}]})
    return [(call.call_id, call.name, call.arguments) for call in stream.calls()]


P = piece
QUIRKS = {
    "as it should be": (
        [[P(0, "a", "look", "")], [P(0, None, None, '{"x"')], [P(1, "b", "book", "")], [P(0, None, None, ": 1}")]],
        [("a", "look", '{"x": 1}'), ("b", "book", "{}")],
    ),
    "parallel calls all with index 0, whole": (
        [[P(0, "a", "look", '{"x": 1}'), P(0, "b", "look", '{"x": 2}')], [P(0, "c", "book", "{}")]],
        [("a", "look", '{"x": 1}'), ("b", "look", '{"x": 2}'), ("c", "book", "{}")],
    ),
    "parallel calls all with index 0, in pieces": (
        [
            [P(0, "a", "look", "")],
            [P(0, None, None, '{"x": 1}')],
            [P(0, "b", "book", "")],
            [P(0, None, None, '{"y": 2}')],
        ],
        [("a", "look", '{"x": 1}'), ("b", "book", '{"y": 2}')],
    ),
    "index 0 and no ids": (
        [[P(0, None, "look", "{}")], [P(0, None, "book", "{}")]],
        [("call00000", "look", "{}"), ("call00001", "book", "{}")],
    ),
    "index 0, no ids, no arguments": (
        [[P(0, None, "look"), P(0, None, "book")]],
        [("call00000", "look", "{}"), ("call00001", "book", "{}")],
    ),
    "no index": (
        [[P(None, "a", "look", "{}"), P(None, "b", "book", "{}")]],
        [("a", "look", "{}"), ("b", "book", "{}")],
    ),
    "no index, in pieces": (
        [[P(None, "a", "look", '{"x"')], [P(None, None, None, ": 1}")]],
        [("a", "look", '{"x": 1}')],
    ),
    "a new id with each piece": (
        [[P(0, "a", "look", "")], [P(0, "z", None, '{"x"')], [P(0, "y", None, ": 1}")]],
        [("a", "look", '{"x": 1}')],
    ),
    "id and name again with each piece": (
        [[P(0, "a", "look", "")], [P(0, "a", "look", '{"x"')], [P(0, "a", "look", ": 1}")]],
        [("a", "look", '{"x": 1}')],
    ),
    "ids that repeat": (
        [[P(0, "a", "look", "{}"), P(1, "a", "book", "{}")]],
        [("a", "look", "{}"), ("call00001", "book", "{}")],
    ),
    "ids that are null or numbers": (
        [[P(0, "null", "look", "{}"), P(1, 7, "book", "{}")]],
        [("call00000", "look", "{}"), ("call00001", "book", "{}")],
    ),
    "a name in pieces": (
        [[P(0, "a", "free_", "")], [P(0, None, "slots", "")], [P(0, None, None, "{}")]],
        [("a", "free_slots", "{}")],
    ),
    "arguments null": (
        [[{"index": 0, "id": "a", "function": {"name": "look", "arguments": None}}]],
        [("a", "look", "{}")],
    ),
    "arguments the word null": ([[P(0, "a", "look", "null")]], [("a", "look", "null")]),
    "arguments absent": ([[P(0, "a", "look")]], [("a", "look", "{}")]),
    "arguments an object": ([[P(0, "a", "look", {"x": 1})]], [("a", "look", '{"x": 1}')]),
    "the whole call twice": (
        [[P(0, "a", "look", '{"x": 1}')], [P(0, "a", "look", '{"x": 1}')]],
        [("a", "look", '{"x": 1}')],
    ),
    "pieces and then the whole": (
        [[P(0, "a", "look", '{"x"')], [P(0, None, None, ": 1}")], [P(0, "a", "look", '{"x": 1}')]],
        [("a", "look", '{"x": 1}')],
    ),
    "function null": ([[{"index": 0, "id": "a", "function": None}]], []),
    "no name": ([[P(0, "a", None, "{}")]], []),
    "an odd index": (
        [[P("0", "a", "look", "")], [P("0", None, None, "{}")], [P([1], "b", "book", "{}")]],
        [("a", "look", "{}"), ("b", "book", "{}")],
    ),
    "not a list": ([{"index": 0}], []),
}


@pytest.mark.parametrize("quirk", QUIRKS)
def test_tool_calls(quirk):
    deltas, expected = QUIRKS[quirk]
    assert calls(*deltas) == expected


@pytest.mark.parametrize(
    ("chunk", "expected"),
    [
        ({"choices": [{"index": 0, "delta": {"role": "assistant", "content": None}}]}, []),
        ({"choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hi"}}]}, [TextDelta("Hi")]),
        ({"choices": [{"index": 0, "delta": {"reasoning_content": "Hm", "reasoning": "Hm", "content": ""}}]}, []),
        (
            {"choices": [{"message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]},
            [TextDelta("Hi")],
        ),
        (
            {"choices": [{"delta": {"content": [{"type": "thinking", "text": "x"}, {"type": "text", "text": "Hi"}]}}]},
            [TextDelta("Hi")],
        ),
        ({"choices": [{"delta": {"refusal": "No."}}]}, [TextDelta("No.")]),
        ({"choices": [{"index": 1, "delta": {"content": "other"}}]}, []),
        ({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": None}}, [Usage(3, 0)]),
        ({"choices": None, "usage": None}, []),
        ({"choices": [{"delta": None, "finish_reason": None}, None, 3]}, []),
        ({}, []),
    ],
)
def test_chunks(chunk, expected):
    assert ChatStream().feed(chunk) == expected


def test_calls_of_the_old_protocol():
    stream = ChatStream()
    stream.feed({"choices": [{"delta": {"function_call": {"name": "look", "arguments": '{"x"'}}}]})
    stream.feed({"choices": [{"delta": {"function_call": {"arguments": ": 1}"}}, "finish_reason": "function_call"}]})
    assert stream.calls() == [ToolCall("call00000", "look", '{"x": 1}')]


def test_calls_and_arguments_without_end_are_bounded():
    stream = ChatStream()
    for number in range(1000):
        stream.feed({"choices": [{"delta": {"tool_calls": [piece(number, f"c{number}", "look", "x" * 1000)]}}]})
    for _ in range(1000):
        stream.feed({"choices": [{"delta": {"tool_calls": [piece(0, None, None, "x" * 1000)]}}]})
    found = stream.calls()
    assert len(found) == 128 and max(len(call.arguments) for call in found) < 70_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, {}) for text in ("", " ", "null", "[]", '""', "{}", '"null"', '"{}"', "```json\n{}\n```")),
        ('{"x": 1}', {"x": 1}),
        ('{"x": "a\\ud83db\\ud83d\\ude0a"}', {"x": "ab😊"}),
        ('"{\\"x\\": 1}"', {"x": 1}),
        ('```json\n{"x": 1}\n```', {"x": 1}),
    ],
)
def test_arguments(text, expected):
    assert arguments_of(text) == expected


def test_arguments_go_back_as_they_came_unless_no_server_takes_them():
    assert as_object_text('{ "x": "caf\\u00e9" }') == '{ "x": "caf\\u00e9" }'
    assert as_object_text('{"x": "a\\uD83D"}') == '{"x": "a"}'
    assert [as_object_text(text) for text in ("null", "", "{bad", '"{\\"x\\": 1}"')] == ["{}", "{}", "{}", '{"x": 1}']


@pytest.mark.parametrize("text", ["{bad", "[1]", "3", '"text"', "NaN", "[" * 100_000])
def test_what_is_no_arguments(text):
    with pytest.raises((ValueError, TypeError)):
        arguments_of(text)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-2, 2), st.floats(allow_nan=True), st.text(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "delta",
                    "message",
                    "tool_calls",
                    "function",
                    "name",
                    "arguments",
                    "index",
                    "id",
                    "content",
                    "usage",
                ]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=20,
)


@given(st.lists(st.dictionaries(st.sampled_from(["choices", "usage", "error"]), JSON), max_size=5))
@settings(max_examples=300, deadline=None)
def test_any_json_is_survived(chunks):
    stream = ChatStream(NAMES)
    for chunk in chunks:
        stream.feed(chunk)
    assert all(call.name and isinstance(call.arguments, str) for call in stream.calls())


@given(
    st.lists(st.sampled_from([b"data: {}", b"data:x", b": ping", b"event: e", b"id: 1", b""]), max_size=12),
    st.integers(1, 9),
    st.booleans(),
)
@settings(deadline=None)
def test_events_do_not_depend_on_how_the_bytes_came(lines, size, crlf):
    data = (b"\r\n" if crlf else b"\n").join(lines)
    whole, split = EventLines(), EventLines()
    expected = [*whole.feed(data), *whole.end()]
    assert [
        *(event for at in range(0, len(data), size) for event in split.feed(data[at : at + size])),
        *split.end(),
    ] == expected


def test_an_event_without_end_is_refused():
    lines = EventLines()
    with pytest.raises(TooLong):
        for _ in range(100):
            lines.feed(b"data: " + b"x" * 100_000)


def test_events():
    lines = EventLines()
    assert lines.feed(b"\xef\xbb\xbfdata: {}\n: ping\n\ndata:[DONE]\r\n\r\ndata: a\ndata: b\n\n") == [
        b"{}",
        b"[DONE]",
        b"a\nb",
    ]
    assert json.loads(EventLines().feed(b'data: {"a": 1}\n\n')[0]) == {"a": 1}
