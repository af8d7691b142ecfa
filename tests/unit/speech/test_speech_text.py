"""What reaches the synthesis, and what the context keeps, for any text in any pieces."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.speech.stage import SpeechText, SpokenPiece, spoken_piece

PARTS = (
    *(
        "**",
        "*",
        "_",
        "`",
        "```\n",
        "```py\n",
        "# ",
        "- ",
        "1. ",
        "|",
        "<",
        ">",
        "<b>",
        "</",
        "&",
        "&amp;",
        "[",
        "](",
        ")",
    ),
    *("<think>", "</think>", "<thi", "http://a.example/x", "www.", "h", "!", ". ", "... ", "\n", "\r", "Dr. ", "a.m. "),
    *(
        "[TOOL_CALLS]",
        "<|im_end|>",
        "<|",
        "【",
        "†】",
        "😊",
        "\u200d",
        "\ufe0f",
        "。",
        "，",
        "好",
        "ไ",
        "กำ",
        "ज़",
        "।",
        "؟",
    ),
    *(
        "\ud83d",
        "\ude0a",
        "$4.50",
        "555 123 4567",
        "7:30",
        " ",
        "word ",
        "x" * 50,
        "好" * 30,
        "---\n",
        "| a | b |\n",
        "No. ",
    ),
)
MARKED = st.lists(
    st.one_of(st.text(max_size=6), st.characters(exclude_categories=()), st.sampled_from(PARTS)), max_size=30
).map("".join)
WORDS = st.lists(st.from_regex(r"[a-zA-Zäößéñ]{1,12}[.,!?]?", fullmatch=True), min_size=1, max_size=60)


def pieces(text: str, sizes: tuple[int, ...] = (10_000,), language: str = "en") -> tuple[list[SpokenPiece], str]:
    stage = SpeechText(language)
    found: list[SpokenPiece] = []
    at = turn = 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        found += stage.push(text[at : at + size])
        at += size
        turn += 1
    return [*found, *stage.flush()], stage.text


def spoken(text: str, language: str = "en") -> list[str]:
    return [piece.spoken for piece in pieces(text, language=language)[0]]


@given(MARKED, st.lists(st.integers(1, 9), min_size=1, max_size=5))
@settings(max_examples=300, deadline=None)
def test_any_split_of_any_text_gives_the_same(text, sizes):
    whole, shown = pieces(text)
    split, shown_split = pieces(text, tuple(sizes))
    assert shown_split == shown
    assert [(p.spoken, p.places) for p in split] == [(p.spoken, p.places) for p in whole]
    shown.encode()  # no half of a surrogate pair
    for found in (whole, split):
        assert shown.startswith("".join(piece.source for piece in found))
    for piece in whole:
        assert piece.spoken.strip() and len(piece.places) == len(piece.spoken)
        assert all(0 <= place < len(piece.source) for place in piece.places)
        for end in range(len(piece.spoken) + 1):
            assert piece.source.startswith(piece.source_before(end))


@given(WORDS)
@settings(max_examples=200, deadline=None)
def test_no_word_is_lost(words):
    text = " ".join(words)
    said = " ".join(piece.spoken for piece in pieces(text, (3, 7), "de")[0])
    assert re.findall(r"\w+", said) == re.findall(r"\w+", text)


@given(st.text(st.one_of(st.characters(categories=["L", "M", "Nd"]), st.sampled_from(" .,!?。、\n")), max_size=200))
@settings(max_examples=300, deadline=None)
def test_no_letter_of_any_script_is_lost(text):
    said = "".join(piece.spoken for piece in pieces(text, (5, 11), "xx")[0])
    assert [c for c in said if c.isalnum()] == [c for c in text if c.isalnum()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("**Great news!** We have *two* tables.", ["Great news!", "We have two tables."]),
        ("## Which one?\n\n- *Window* there\n* Bar\n+ Terrace", ["Which one?", "Window there", "Bar", "Terrace"]),
        ("> Quoted\n1. Window\n2. Bar", ["Quoted", "1. Window", "2. Bar"]),
        ("- [x] Done\n- [ ] Open", ["Done", "Open"]),
        ("Booked! 😊🎉 See you then 👍🏽", ["Booked!", "See you then"]),
        ("It's 👨‍👩‍👧 friendly ❤️ here 🇩🇪.", ["It's friendly here."]),
        ("See our [menu](https://bistro.example/menu?x=1) please.", ["See our menu please."]),
        ("![a plate](http://x/y.png) Nice.", ["a plate Nice."]),
        ("Go to https://www.bistro.example/menu?x=1. Then call.", ["Go to bistro dot example.", "Then call."]),
        ("At <https://bistro.example/a> or <a href='x'>here</a>.", ["At bistro dot example or here."]),
        ("It is <b>bold</b> &amp; 5 < 6.<br>Next", ["It is bold and 5 less than 6.", "Next"]),
        ("```python\nprint('x')\n```\nDone.", ["Done."]),
        ("```\nHello there.\n```", ["Hello there."]),
        ("Use `make run` now.", ["Use make run now."]),
        ("| Size | Price |\n|:---|---:|\n| Small | $5 |", ["Size, Price", "Small, 5 dollars"]),
        ("One\n---\nTwo\n***\nThree", ["One", "Two", "Three"]),
        ("<think>I must ask</think>For which day?", ["For which day?"]),
        ("<THINK>\nI must\n</think>\n\nYes.<think>more", ["Yes."]),
        ("[THINK]hm[/THINK]Yes. ◁think▷no◁/think▷Sure.", ["Yes.", "Sure."]),
        (
            "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Yes.<|return|>",
            ["Yes."],
        ),
        ('Let me see. <tool_call>{"name": "x"}</tool_call>', ["Let me see."]),
        ("Seats are free [1], see【4†source】there.", ["Seats are free, seethere."]),
        ("Press * or #, then *1.", ["Press star or pound,", "then star 1."]),
        ("Two\u200b words\x00 here\ufeff.", ["Two words here."]),
        ("snake_case and __init__ stay.", ["snake case and init stay."]),
        ("Sure. ... Let me see.", ["Sure.", "... Let me see."]),
        (
            "See [the menu][1], or not[^2].\n\n[1]: https://x.example/a\n[^2]: Ask us.",
            ["See the menu, or not.", "Ask us."],
        ),
        ("Term\n: Its meaning\n· a dot", ["Term", "Its meaning", "a dot"]),
        (
            "ftp://x.example/a, mailto:joe@x.example or tel:+15551234567",
            ["x dot example, joe at x dot example or plus 1, 5 5 5, 1 2 3, 4 5 6 7"],
        ),
        ('<function=look>{"a": 1}</function>Done.', ["Done."]),
        ('Yes.<|python_tag|>{"name": "look"}<|eom_id|>', ["Yes."]),
        ("<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>look<｜tool▁call▁end｜><｜tool▁calls▁end｜>Done.", ["Done."]),
        ("I must ask</think>For which day?", ["I must ask", "For which day?"]),
        ("Type *123# if x<5.", ["Type star 123 pound if x less than 5."]),
        ("\U0001f600", []),
        ("** ** --- ```", []),
    ],
)
def test_markup_is_not_spoken(text, expected):
    assert spoken(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Call 555 123 4567 now.", "Call 5 5 5, 1 2 3, 4 5 6 7 now."),
        ("Call +1 (555) 123-4567.", "Call plus 1, 5 5 5, 1 2 3, 4 5 6 7."),
        ("Order 29340 or 1234567.", "Order 29340 or 1 2 3, 4 5 6 7."),
        ("About 1,200,000 people.", "About 1,200,000 people."),
        ("It is $45.50 or $1.", "It is 45 dollars and 50 cents or 1 dollar."),
        ("It's £0.99, €1,200 or $1.5 million.", "It's 99 pence, 1200 euros or 1.5 million dollars."),
        ("From $5-10, 12 EUR.", "From 5 to 10 dollars, 12 euros."),
        ("-$3 is a loss.", "minus 3 dollars is a loss."),
        ("20-30% of 5kg, 1 lb, 3.5 km/h.", "20 to 30 percent of 5 kilograms, 1 pound, 3.5 kilometres an hour."),
        ("Open Mon-Fri 9:00-17:30.", "Open Monday to Friday 9 o'clock to 17 30."),
        ("At 7:05 pm, 7pm or 7:30.", "At 7 oh 5 p.m, 7 p.m or 7 30."),
        ("On 2026-03-05, Mar. 2 or 3/21/2026.", "On March 5th, 2026, March 2nd or March 21st, 2026."),
        ("Table No. 5, #7 and ~20 min.", "Table number 5, number 7 and about 20 minutes."),
        ("It's -5 °C, 2½ hrs.", "It's minus 5 degrees Celsius, 2 and a half hours."),
        ("2*3=6, e.g. Smith & Sons.", "2 times 3 equals 6, for example Smith and Sons."),
        ("Open 24/7 for $5/month and/or €2/person.", "Open 24 7 for 5 dollars per month and or 2 euros per person."),
        ("Write to info@bistro.example.", "Write to info at bistro dot example."),
        (
            "₹1,500, CHF 20, 50 USD, US$40, C$2.50, 5¢",
            "1500 rupees, 20 Swiss francs, 50 US dollars, 40 US dollars, 2 Canadian dollars and 50 cents, 5 cents",
        ),
        ("It is $10–$20. Or $1.50-$2.50.", "It is 10 to 20 dollars. Or 1.50 to 2.50 dollars."),
        ("1/2 or 1 1/2 cups, ½ cup on 1/2.", "one half or 1 and a half cups, one half cup on 1/2."),
        ("Sat & Sun 10-2, Mon-Fri 9-5.", "Saturday and Sunday 10 to 2, Monday to Friday 9 to 5."),
        ("He is 6'2\", 3 m² @ 5 PM, .NET", "He is 6 feet 2, 3 square metres at 5 p.m, .NET"),
        ("A ± B, § 5, 5 ≥ 3", "A plus or minus B, section 5, 5 at least 3"),
        ("Version 1.2.3 of 10.0.0.1 is fine.", "Version 1.2.3 of 10.0.0.1 is fine."),
    ],
)
def test_english_as_it_is_said(text, expected):
    assert spoken_piece(text, "en-US").spoken == expected


def test_british_english_has_its_own_days_and_keys():
    assert spoken_piece("On 3/4/2026 press #.", "en-GB").spoken == "On April 3rd, 2026 press hash."


def test_other_languages_keep_what_their_synthesis_reads_and_spell_telephone_numbers():
    assert spoken_piece("Das kostet 45,50 € am 5. Mai. Tel. 030 1234567.", "de").spoken == (
        "Das kostet 45,50 € am 5. Mai. Tel. 0 3 0, 1 2 3 4 5 6 7."
    )


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("电话是13800138000。", "zh", "电话是1 3 8, 0 0 1, 3 8 0, 0 0。"),
        ("番号は03-1234-5678です。", "ja", "番号は0 3, 1 2 3 4, 5 6 7 8です。"),
        ("一共120000元。", "zh", "一共120000元。"),
        ("모두 120000원입니다.", "ko", "모두 120000원입니다."),
    ],
)
def test_a_telephone_number_amid_text_without_spaces(text, language, expected):
    assert spoken_piece(text, language).spoken == expected


def test_a_cut_keeps_the_text_of_what_was_said_whole():
    piece = spoken_piece("**It is $45.50** for two", "en")
    assert piece.spoken == "It is 45 dollars and 50 cents for two"
    kept = {
        "It": "**It",
        "It is": "**It is",
        "It is 45": "**It is",
        "It is 45 dollars and 50 cents for": "**It is $45.50** for",
    }
    assert {said: piece.source_before(len(said)) for said in kept} == kept
    assert piece.source_before(1000) == piece.source


UNITS = (
    *(
        "word ",
        "a",
        "*",
        ".",
        "\n",
        "<a",
        "<think",
        "[",
        "](",
        "|a",
        "&amp",
        "http://x",
        "h",
        "好",
        "สวัสดี",
        "e\u0301",
        " ",
    ),
    *("1 ", "😊", "1. ", "a.m. ", "-", "=", "`", "`\n", "</think", "<|a", "(", "1,", "$1 "),
)


@pytest.mark.parametrize("unit", UNITS)
def test_work_is_linear(unit):
    def seconds(count: int) -> float:
        stage = SpeechText("en")
        text = unit * (count // len(unit))
        began = time.process_time()
        for at in range(0, len(text), 512):
            stage.push(text[at : at + 512])
        stage.flush()
        return time.process_time() - began

    small, large = seconds(10_000), seconds(80_000)
    assert large < 0.3 + 20 * small
