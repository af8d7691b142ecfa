"""Which digits in texts are hidden, and which are not."""

from __future__ import annotations

import pytest

from agent.events import AgentMessage, FunctionCall, FunctionCallOutput, SessionClosed, UserMessage
from agent.masking import digit_runs, mask_json, mask_text, mask_value
from agent.privacy import Privacy, hide_secrets
from agent.turns.digits import DigitEntry

CARD = "4929123456781234"
PIN = "4711"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (CARD, "•" * 16),
        ("it is 4929 1234 5678 1234, thanks", "it is •••• •••• •••• ••••, thanks"),
        ("4929-1234-5678-1234", "••••-••••-••••-••••"),
        ("4, 9, 2, 9, 1, 2, 3, 4, 5, 6, 7, 8", "•, •, •, •, •, •, •, •, •, •, •, •"),
        ("four nine two nine one two three four five six seven oh", "• • • • • • • • • • • •"),
        ("card=" + CARD + ".", "card=" + "•" * 16 + "."),
        (("x" * 5000) + " " + CARD, ("x" * 5000) + " " + "•" * 16),  # however long the text
    ],
)
def test_what_may_be_a_card_number(text: str, wanted: str) -> None:
    assert mask_text(text, (), cards=True) == wanted
    assert mask_text(text, (), cards=False) == text


@pytest.mark.parametrize(
    "text",
    [
        "call me at +441632960123", "9:30, 10:15, 11:40, 12:00 or 12:30", "9 10 11 12 14 15 16 are free",
        "555 123 4567", "on 2026-11-27 at 12", "order a123456789012b", "call_123456789012", "49291234567",
    ],
)  # fmt: skip
def test_what_is_none(text: str) -> None:
    assert mask_text(text, (), cards=True) == text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("your PIN 4711 is set", "your PIN •••• is set"),
        ("4 7 1 1, four seven one one", "• • • •, • • • •"),
        ("I have 4929 1234 5", "I have •••• •••• •"),  # read back, and interrupted
        ("ending in 81234", "ending in •••••"),
        ("table for 4 at 7:11", "table for 4 at 7:11"),
        ("4712", "4712"),
    ],
)
def test_secrets_are_found_however_they_are_said(text: str, wanted: str) -> None:
    assert mask_text(text, (CARD, PIN), cards=False) == wanted


def test_values_and_json_keep_their_form() -> None:
    told = {"card": int(CARD), "pin": "4711", "n": 3, "ok": True, "none": None, "list": ["4711", 1.5]}
    hidden = {"card": "•" * 16, "pin": "••••", "n": 3, "ok": True, "none": None, "list": ["••••", 1.5]}
    assert mask_value(told, (CARD, PIN), cards=False) == hidden
    assert mask_json('{"card": 4929123456781234}', (CARD,), cards=False) == '{"card": "••••••••••••••••"}'
    assert mask_json("pin 4711", (PIN,), cards=False) == "pin ••••"
    assert mask_json('{"n":  1}', (PIN,), cards=False) == '{"n":  1}'
    assert digit_runs("pin four seven 1 1 or 22") == ["4711", "22"]


def keyed(privacy: Privacy, text: str, entry: DigitEntry | None, *, gap_s: float = 0.2) -> str:
    return "".join(privacy.key(digit, entry, n * gap_s) for n, digit in enumerate(text))


def message(text: str, source: str = "dtmf") -> UserMessage:
    return UserMessage(1.0, text, 0.5, 1.0, source)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("level", "entry", "text", "keys", "said"),
    [
        ("cards", DigitEntry(length=4, secret=True), PIN, "••••", "••••"),
        ("secret", DigitEntry(length=4, secret=True), PIN, "••••", "••••"),
        ("cards", DigitEntry(length=16), CARD, "•" * 16, "•" * 16),
        ("cards", DigitEntry(), CARD, "4929" + "•" * 12, "•" * 16),
        ("cards", DigitEntry(), "4929123", "4929•••", "4929123"),  # no card after all: the message says it
        ("cards", DigitEntry(length=5), "48115", "48115", "48115"),
        ("secret", DigitEntry(length=16), CARD, CARD, CARD),
        ("all", DigitEntry(length=1), "1", "•", "•"),
        ("all", DigitEntry(length=5), "48*15", "•••••", "•••••"),
    ],
)
def test_keys_and_the_message_they_become(level: str, entry: DigitEntry, text: str, keys: str, said: str) -> None:
    privacy = Privacy(level)  # type: ignore[arg-type]
    assert keyed(privacy, text, entry) == keys
    privacy.entered(text, entry)
    assert privacy.masked(message(text)) == message(said)
    privacy.close()


def test_keys_that_no_entry_collects_may_be_a_card_number() -> None:
    privacy = Privacy("cards")
    assert keyed(privacy, CARD, None) == "4929" + "•" * 12
    assert privacy.value(f"got {CARD[:12]}") == "got " + "•" * 12
    assert privacy.key("1", None, 1000.0) == "1"  # much later: a menu
    privacy.close()


def test_what_follows_in_a_call_is_masked_too() -> None:
    privacy = Privacy("secret")
    entry = DigitEntry(length=4, secret=True)
    assert privacy.masked(message("my pin is 4711", "speech")) == message("my pin is 4711", "speech")
    privacy.entered(PIN, entry)
    told = [
        FunctionCall(1.0, "call_4711", "check_pin", {"pin": "4711"}),
        FunctionCallOutput(1.0, "call_4711", "check_pin", "4711 is wrong", True, 3.0),
        AgentMessage(1.0, "Is it 4 7 1 1?", "Is it 4 7 1 1, really?", True, 0.5, "reply"),
        SessionClosed(2.0, "error", "ValueError: 4711", {"pin": 4711}),
    ]
    shown = [privacy.masked(event).to_dict() for event in told]
    assert "4711" not in str(shown).replace("call_4711", "") and "4 7 1 1" not in str(shown)
    assert shown[0]["call_id"] == "call_4711"  # what calls and outputs are joined by
    privacy.close()


def test_a_pin_that_is_said_instead_of_keyed() -> None:
    privacy = Privacy("cards")
    privacy.said("it is four seven one one", DigitEntry(length=4, secret=True))
    assert privacy.masked(message("it is four seven one one", "speech")) == message("• • • • • •", "speech")
    privacy.said("make it 2222", DigitEntry(length=4))
    assert privacy.value("2222") == "2222"
    privacy.close()


def test_logs_hide_secrets_while_the_call_lasts() -> None:
    first, second = Privacy(), Privacy()
    for privacy in (first, second):
        privacy.entered(PIN, DigitEntry(secret=True))
    assert hide_secrets("failed for 4711") == "failed for ••••"
    first.close()
    assert hide_secrets("failed for 4711") == "failed for ••••"
    second.close()
    second.close()
    assert hide_secrets("failed for 4711") == "failed for 4711"
