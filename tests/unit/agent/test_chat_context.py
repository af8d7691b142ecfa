"""The context builder: valid for strict servers, whatever the history."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.chat_context import CUE, ContextLimits, build_context
from agent.providers.base import ChatMessage, ToolCall
from agent.providers.openai_chat import request_messages

TEXT = st.one_of(
    st.just(""),
    st.just("  "),
    st.text(st.characters(exclude_categories=()), max_size=8),
    st.sampled_from(["hi", "\ud83d"]),
)
IDS = st.sampled_from(["a", "b", "c", "", "\ud800"])
CALLS = st.lists(
    st.builds(
        ToolCall,
        IDS,
        st.sampled_from(["look", "book", ""]),
        st.sampled_from(["{}", "", "null", "{bad", '"{}"', '{"a": 1}']),
    ),
    max_size=3,
)
MESSAGES = st.lists(
    st.one_of(
        st.builds(ChatMessage, st.just("user"), TEXT),
        st.builds(ChatMessage, st.just("assistant"), TEXT, CALLS.map(tuple), interrupted=st.booleans()),
        st.builds(ChatMessage, st.just("tool"), TEXT, tool_call_id=IDS),
        st.builds(ChatMessage, st.just("system"), TEXT),
    ),
    max_size=14,
)
LIMITS = st.one_of(st.none(), st.builds(ContextLimits, st.integers(1, 12), st.integers(1, 60), st.integers(1, 40)))


def check(messages: list[ChatMessage]) -> None:
    assert messages[0].role == "system"
    assert messages[-1].role in ("user", "tool")
    used: set[str] = set()
    for place, message in enumerate(messages):
        json.dumps([message.text, message.tool_call_id, [call.arguments for call in message.tool_calls]]).encode()
        f"{message.text}{message.tool_call_id}".encode()  # no half of a surrogate pair
        if place == 0:
            continue
        before = messages[place - 1]
        assert message.role != "system"
        if message.role != "tool":
            assert message.text.strip() or message.tool_calls
        if message.role == "user":
            assert before.role != "user"
        if message.role == "assistant":
            assert before.role != "assistant"
            outputs = [output.tool_call_id for output in messages[place + 1 : place + 1 + len(message.tool_calls)]]
            assert outputs == [call.call_id for call in message.tool_calls]
            for call in message.tool_calls:
                assert call.call_id and call.call_id not in used and call.name
                assert isinstance(json.loads(call.arguments), dict)
                used.add(call.call_id)
        if message.role == "tool":
            assert message.tool_call_id in used and before.role in ("tool", "assistant")
    assert sum(len(message.tool_calls) for message in messages) == sum(m.role == "tool" for m in messages)


@given(MESSAGES, TEXT, st.one_of(st.none(), TEXT.map(lambda text: ChatMessage("user", text))), TEXT, LIMITS)
@settings(max_examples=500, deadline=None)
def test_any_history_makes_a_context_that_strict_servers_take(history, prompt, user, instructions, limits):
    context = build_context(history, prompt=prompt, user=user, instructions=instructions, limits=limits)
    check(context)
    assert build_context(context[1:], prompt=context[0].text, limits=None)[1:] == context[1:], "it is a normal form"
    wire = request_messages(context)
    rest = [message for message in wire if message["role"] != "system"]
    assert rest[0]["role"] == "user" and all(
        message["content"] or message.get("tool_calls") or message["role"] == "tool" for message in wire
    )


def said(*messages: ChatMessage, **more) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in build_context(messages, **more)]


USER, HI = ChatMessage("user", "Book it."), ChatMessage("assistant", "Hello!")
CALL = ChatMessage("assistant", "Let me see.", (ToolCall("a", "look", "{}"),))
OUTPUT = ChatMessage("tool", "at eight", tool_call_id="a")


def test_what_was_said_while_a_tool_ran_comes_before_its_call():
    filler = ChatMessage("assistant", "One moment, please.")
    assert said(USER, CALL, filler, OUTPUT)[1:] == [
        ("user", "Book it."),
        ("assistant", "Let me see. One moment, please."),
        ("tool", "at eight"),
    ]


def test_an_answer_that_was_cut_is_marked_where_another_follows_it():
    cut = ChatMessage("assistant", "Your table is", interrupted=True)
    context = build_context([USER, cut, ChatMessage("assistant", "Sorry, again.")], user=ChatMessage("user", "Yes?"))
    assert context[2].text == "Your table is — Sorry, again." and not context[2].interrupted
    assert build_context([USER, cut], user=USER)[2].interrupted


def test_where_nobody_has_spoken_the_instructions_are_the_cue():
    context = build_context([HI], prompt="Be kind.", instructions="Ask for the name.")
    assert [(m.role, m.text, m.name) for m in context[2:]] == [("user", "Ask for the name.", CUE)]
    assert context[0].text == "Be kind."
    assert build_context([HI, USER], prompt="Be kind.", instructions="Be brief.")[0].text == "Be kind.\n\nBe brief."
    assert said(HI)[-1][0] == "user"


def test_calls_without_output_and_outputs_without_call_are_gone():
    lost = ChatMessage("assistant", "", (ToolCall("x", "look", "{}"),))
    assert said(USER, lost, ChatMessage("tool", "orphan", tool_call_id="y"), HI, USER)[1:] == [
        ("user", "Book it."),
        ("assistant", "Hello!"),
        ("user", "Book it."),
    ]


def test_an_id_that_comes_again_is_another_call():
    first, second = build_context([USER, CALL, OUTPUT, HI, USER, CALL, OUTPUT])[2::4]
    assert (first.tool_calls[0].call_id, second.tool_calls[0].call_id) == ("a", "call00001")


def test_old_turns_are_left_out_whole():
    turn = (USER, CALL, OUTPUT, ChatMessage("assistant", "It is at eight."))
    context = build_context([HI, *turn * 50, USER], limits=ContextLimits(messages=10))
    assert [m.role for m in context[1:]] == ["user", "assistant", "tool", "assistant"] * 2 + ["user"]
    assert "left out" in context[0].text
    assert len(build_context([HI, *turn * 50, USER], limits=None)) > 200
    long = build_context(
        [USER, CALL, ChatMessage("tool", "x" * 5000, tool_call_id="a")], limits=ContextLimits(10, 100, 1000)
    )
    assert [m.role for m in long[1:]] == ["user", "assistant", "tool"], "the last turn is there however long it is"
    assert len(long[-1].text) < 1100 and "5,000 characters in all" in long[-1].text


@pytest.mark.parametrize(
    ("text", "valid"), [("a\ud83d\ude0ab", "a😊b"), ("a\ud83db", "ab"), ("a\x00\x1bb\r\nc", "ab\nc")]
)
def test_text_becomes_valid(text, valid):
    assert said(ChatMessage("user", text))[-1] == ("user", valid)
