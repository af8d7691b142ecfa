"""Where text is cut into pieces that can be spoken."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.speech.characters import is_break
from agent.speech.sentences import Segmenter


def pieces(text: str, size: int = 3) -> list[str]:
    segmenter = Segmenter()
    found: list[str] = []
    for start in range(0, len(text), size):
        found += segmenter.push(text[start : start + size])
    return [*found, *segmenter.flush()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Sure. ... Let me see. ", ["Sure.", "... Let me see."]),
        ("Hmm! . . . Well. ", ["Hmm!", ". . . Well."]),
        ("Done! . Next. ", ["Done!", ". Next."]),
        ("We have 1. window, 2. bar. Which one?", ["We have 1. window,", "2. bar.", "Which one?"]),
        ("Options: 1. Window 2. Bar 3. Hall. Which?", ["Options: 1. Window 2. Bar 3. Hall.", "Which?"]),
        ("The table is at 8. See you.", ["The table is at 8.", "See you."]),
        ("She has a Ph.D. in law. Yes.", ["She has a Ph.D. in law.", "Yes."]),
        ("He has a Ph.D. Anything else?", ["He has a Ph.D.", "Anything else?"]),
        ("Take No. 5 or Nos. 6 and 7. No. I can't.", ["Take No. 5 or Nos. 6 and 7.", "No.", "I can't."]),
        ("Come at 9 a.m. or 5 p.m. We close at six.", ["Come at 9 a.m. or 5 p.m.", "We close at six."]),
        ("Bring fruit, e.g. apples. Or etc. and so on.", ["Bring fruit, e.g. apples.", "Or etc. and so on."]),
        ("Ask J. R. Smith. He said “no.” Then he left!", ["Ask J. R. Smith.", "He said “no.”", "Then he left!"]),
        ("Am 5. Mai geht es. Gut.", ["Am 5. Mai geht es.", "Gut."]),
        ("Am 3.10. ist frei. Gut.", ["Am 3.10. ist frei.", "Gut."]),
        ("En EE. UU. es así. Sí.", ["En EE. UU. es así.", "Sí."]),
        ("Это ул. Ленина. Да.", ["Это ул. Ленина.", "Да."]),
        ("네. 여덟 시에 자리가 있습니다.", ["네.", "여덟 시에 자리가 있습니다."]),
        ("您好,这里是餐厅。今天晚上八点有位子。", ["您好,这里是餐厅。", "今天晚上八点有位子。"]),
        ("好的。八点有位。请问贵姓？", ["好的。", "八点有位。", "请问贵姓？"]),
        ("「はい。」八時に席があります！どうぞ", ["「はい。", "八時に席があります！", "どうぞ"]),
        ("ज़रूर। आठ बजे टेबल है। ठीक?", ["ज़रूर।", "आठ बजे टेबल है।", "ठीक?"]),
        ("هل تريد طاولة؟ نعم، بالتأكيد.", ["هل تريد طاولة؟", "نعم، بالتأكيد."]),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_sentences(text, expected, size):
    assert pieces(text, size) == expected


@pytest.mark.parametrize(
    "text",
    ["今天晚上八点有位子可以为您安排靠窗的座位请问您贵姓", "วันนี้มีโต๊ะว่างตอนสองทุ่มสำหรับสี่ท่านค่ะ", "ថ្ងៃនេះមានតុទំនេរនៅម៉ោងប្រាំបី"],
)
def test_text_without_spaces_gives_a_first_piece_within_fourteen_characters(text):
    segmenter = Segmenter()
    found = [piece for character in text[:14] for piece in segmenter.push(character)]
    assert found
    assert "".join([*found, *segmenter.push(text[14:]), *segmenter.flush()]) == text


@given(st.text(st.sampled_from("กำเแไาะ่้ाि्कषज़ぁが好\u0301\u200d👨👩🏽한국ᄒ각a "), max_size=400), st.integers(1, 7))
@settings(max_examples=200, deadline=None)
def test_no_cut_within_what_is_read_as_one(text, size):
    segmenter = Segmenter()
    lengths = [n for at in range(0, len(text), size) for n in segmenter.cuts(text[at : at + size])]
    lengths += segmenter.cuts("", last=True)
    assert sum(lengths) == len(text)
    at = 0
    for length in lengths[:-1]:
        before = text[:at]
        at += length
        whole = all(not is_break(text[n - 1], text[n]) for n in range(len(before) + 1, at))
        assert whole or unicodedata.category(text[at])[0] != "M"
        assert whole or is_break(text[at - 1], text[at]) or text[at].isspace()


def test_text_without_a_stop_is_cut_at_spaces_the_first_time_early():
    found = pieces("word " * 200, 7)
    assert len(found[0]) <= 120 and all(len(piece) <= 300 for piece in found)
    assert " ".join(found) == ("word " * 200).strip()


def test_long_text_is_rather_cut_behind_a_comma():
    text = ("Hello. " + "so " * 60 + "far, " + "and " * 100).strip()
    assert pieces(text)[1].endswith("far,")
