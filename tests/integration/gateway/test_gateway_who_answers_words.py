"""Who answers a call that we place, where it takes words to tell: with the offline recogniser, over real SIP. The calls
run side by side, once; the tests look at what became of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from answering_callees import BEEP, GREETING_HZ, MESSAGE_HZ, MESSAGE_S, Answered, called_at_once, ended, spoken

from agent.clock import ThreadOffload
from agent.providers.registry import ProviderSettings, build_tts
from telephony.media.tones import silence

VOICEMAIL = "You have reached the voicemail of Ada Brown. Please leave a message after the tone."


FULL = "The mailbox is full and cannot accept any messages at this time. Goodbye."
SCREENER = "Hi, if you record your name and reason for calling, I'll see if this person is available."
MENU = "Thank you for calling. For sales, press one. For support, press two. To hear this again, press nine."
ADA, WHO, HELLO = "Hello? This is Ada.", "Hello? Hello, who is this?", "Hello."
_said: dict[str, bytes] = {}  # made before anything rings


async def _speak() -> None:
    voice = build_tts("hibari", ProviderSettings(), ThreadOffload())
    for text in (VOICEMAIL, FULL, SCREENER, MENU, ADA, WHO, HELLO):
        _said[text] = await spoken(text, voice, "en")


def said(text: str) -> bytes:
    return _said[text]


async def _mailbox_full(call: Answered) -> None:
    await asyncio.sleep(0.3)
    await call.plays(said(FULL))
    await asyncio.wait({call.phone.ended}, timeout=6)


async def _screener(call: Answered) -> None:
    await asyncio.sleep(0.3)
    await call.plays(said(SCREENER), end="asked")
    await call.hears(GREETING_HZ)
    await asyncio.sleep(5.5)
    await call.plays(said(ADA), "person")
    await asyncio.sleep(2.5)


async def _menu(call: Answered) -> None:
    await asyncio.sleep(0.3)
    await call.plays(said(MENU))
    await asyncio.wait({call.phone.ended}, timeout=6)


async def _picks_up(call: Answered) -> None:
    await asyncio.sleep(0.3)
    await call.plays(said(VOICEMAIL) + silence(400) + BEEP)
    await call.hears(MESSAGE_HZ)
    await asyncio.sleep(0.5)
    await call.plays(said(WHO) + silence(1500) + said(WHO), "word")  # as people do whom nobody answers
    await asyncio.wait({call.phone.ended}, timeout=6)


async def _corrected(call: Answered) -> None:
    """It says hello like a person; then it turns out to be a greeting."""
    await asyncio.sleep(0.3)
    await call.plays(said(HELLO) + silence(1000) + said(VOICEMAIL) + silence(900))
    await call.plays(BEEP, end="beep")
    await asyncio.wait({call.phone.ended}, timeout=8)


SCRIPTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "mailbox_full": (_mailbox_full, {}),
    "screener": (_screener, {"answering": {"screener": "Sunrise Clinic, about an appointment."}}),
    "menu": (_menu, {"answering": {"actions": {"ivr": "hang_up"}}}),
    "picks_up": (_picks_up, {"answering": {"message": "A longer message."}}),
    "corrected": (_corrected, {}),
}
Calls = Mapping[str, Answered]


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Calls:
    speech = {"vad": "silero", "stt": ["moonshine"], "llm": ["instant"], "tts": ["instant"]}
    asyncio.run(_speak())
    return asyncio.run(called_at_once(tmp_path_factory.mktemp("who_answers"), SCRIPTS, speech=speech))


def verdicts(call: Answered) -> list[tuple[str, str]]:
    """Who, and what was said before."""
    return [(each["answered_by"], each["corrects"]) for each in call.events if each["type"] == "who_answered_told"]


def test_a_full_mailbox_gets_no_message(calls: Calls) -> None:
    call = calls["mailbox_full"]
    assert ended(call) == ("answered", "agent", "mailbox_full")
    assert (call.record["answered_by"], call.record["message"]) == ("mailbox_full", None)
    assert call.first(MESSAGE_HZ) is None


def test_a_screener_is_told_who_calls_and_the_person_behind_it_is_greeted(calls: Calls) -> None:
    call = calls["screener"]
    assert verdicts(call)[0] == ("screener", "")
    told = [event for event in call.record["events"] if event["type"] == "agent_message"]
    assert "about an appointment" in told[0]["full_text"]
    assert any(begin > call.marks["person"] for begin, _ in call.spans(GREETING_HZ))


def test_a_menu_is_hung_up_on_if_the_order_says_so(calls: Calls) -> None:
    assert (calls["menu"].record["answered_by"], ended(calls["menu"])) == ("ivr", ("answered", "agent", "ivr"))


def test_a_person_who_picks_up_in_the_middle_is_talked_to(calls: Calls) -> None:
    call = calls["picks_up"]
    (said,) = call.spans(MESSAGE_HZ)
    assert said[1] - said[0] < 2 * MESSAGE_S
    assert any(begin > said[1] for begin, _ in call.spans(GREETING_HZ))
    assert verdicts(call) == [("voicemail", ""), ("human", "voicemail")]
    assert call.record["answered_by"] == "human"
    assert [each["answered_by"] for each in call.record["answering"]["corrected"]] == ["voicemail"]
    assert (call.record["message"]["delivered"], call.record["message"]["why"]) == (False, "picked_up")


def test_a_late_correction_stops_the_agent_and_is_put_right(calls: Calls) -> None:
    call = calls["corrected"]
    assert verdicts(call) == [("human", ""), ("voicemail", "human")]
    assert call.record["answered_by"] == "voicemail"
    assert [each["answered_by"] for each in call.record["answering"]["corrected"]] == ["human"]
    said = call.spans(MESSAGE_HZ)[-1]
    assert said[0] > call.marks["beep"] and said[1] - said[0] == pytest.approx(MESSAGE_S, abs=0.1)
    assert all(end < call.marks["beep"] for _, end in call.spans(GREETING_HZ))
