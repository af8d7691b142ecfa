"""Segments, scripts and histories: text in, text out."""

import pytest

from agent.history import History
from agent.pipeline.script import Script
from agent.providers.base import ChatMessage, ToolCall, WordMark
from agent.speech.sentences import Segmenter
from agent.speech.stage import SpokenPiece


def pieces(text: str, size: int = 3) -> list[str]:
    segmenter = Segmenter()
    found: list[str] = []
    for start in range(0, len(text), size):
        found += segmenter.push(text[start : start + size])
    return [*found, *segmenter.flush()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello there. How are you? Fine!", ["Hello there.", "How are you?", "Fine!"]),
        ("That is $3.50 in all. Anything else?", ["That is $3.50 in all.", "Anything else?"]),
        ("Dr. Lee is in at 9 a.m. on Monday. See you.", ["Dr. Lee is in at 9 a.m. on Monday.", "See you."]),
        ("We open at 9 a.m. Please come early.", ["We open at 9 a.m.", "Please come early."]),
        ("Call 555-0100. Ask for J. Smith. Bye.", ["Call 555-0100.", "Ask for J. Smith.", "Bye."]),
        ("Let me have a look, one moment. It is free.", ["Let me have a look,", "one moment.", "It is free."]),
        ("Well, yes. I can do that, of course, today.", ["Well, yes.", "I can do that, of course, today."]),
        ('He said "no." Then he left.', ['He said "no."', "Then he left."]),
        ("First line\nSecond line", ["First line", "Second line"]),
        ("No end at all", ["No end at all"]),
        ("   ", []),
        ("Wait... what?", ["Wait...", "what?"]),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_segments(text, expected, size):
    assert pieces(text, size) == expected


def test_text_without_any_end_is_cut_at_a_space():
    found = pieces("word " * 200)
    assert all(len(piece) <= 300 for piece in found)
    assert " ".join(found) == ("word " * 200).strip()


def test_heard_words_by_marks():
    script = Script()
    number = script.begin(SpokenPiece.plain("one two three"))
    script.add(number, 600, (WordMark(0, 0), WordMark(4, 100), WordMark(8, 500)))
    script.complete(number)
    assert script.heard(0) == ""
    assert script.heard(99) == ""
    assert script.heard(100) == "one"
    assert script.heard(499) == "one"
    assert script.heard(500) == "one two"
    assert script.heard(600) == "one two three"


def test_heard_words_without_marks_are_spread_evenly_and_pieces_follow_each_other():
    script = Script()
    for text in ("aaaa bbbb", " cccc dddd"):
        number = script.begin(SpokenPiece.plain(text))
        script.add(number, 500, ())
        script.add(number, 400, ())
        script.complete(number)
    assert script.heard(450) == "aaaa"
    assert script.heard(900) == "aaaa bbbb"
    assert script.heard(900 + 500) == "aaaa bbbb cccc"
    assert script.heard(1800) == "aaaa bbbb cccc dddd"


def test_a_piece_that_is_still_being_made_does_not_count_as_heard_to_its_end():
    script = Script()
    number = script.begin(SpokenPiece.plain("one two three four five six"))
    script.add(number, 300, ())
    assert script.heard(300) == "one"


def test_questions_count_from_their_middle_on():
    script = Script()
    for text in ("All right.", " Is Monday good?"):
        number = script.begin(SpokenPiece.plain(text))
        script.add(number, 1000, ())
        script.complete(number)
    assert not script.asks(900)
    assert not script.asks(1200)
    assert script.asks(1600)
    assert script.sentence_end_ms(1200) == 2000


def test_history_leaves_out_what_was_not_heard_and_keeps_tool_outputs_right_behind_their_calls():
    history = History()
    asked = history.add(ChatMessage("assistant", "Let me see.", (ToolCall("c1", "look", "{}"),)))
    history.add(ChatMessage("assistant", "One moment."))
    unheard = history.add(ChatMessage("assistant", "never heard"))
    unheard.update(text="", interrupted=True)
    history.add_after(asked, [ChatMessage("tool", "42", tool_call_id="c1")])
    assert [len(message.tool_calls) for message in history.messages()] == [0, 0, 1, 0]
    assert [message.text for message in history.messages()] == ["Let me see.", "One moment.", "", "42"]
