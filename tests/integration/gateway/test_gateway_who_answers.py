"""Who answers a call that we place, over real SIP: each kind of callee, what it hears, and what the record says. The
calls run side by side, once; the tests look at what became of them. There is no recogniser: it is cadence and tones."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from answering_callees import BEEP, GREETING_HZ, MESSAGE_HZ, MESSAGE_S, Answered, called_at_once, ended, spoken

from telephony.media.tones import silence, tone

VOICEMAIL = (
    "You have reached the voice mailbox of Ada Brown. I cannot take your call right now. "
    "Please leave your name and your number after the tone, and I will call you back."
)


async def _human(call: Answered) -> None:
    await asyncio.sleep(0.4)
    await call.plays(await spoken("Hello?"), "word", "said")
    await call.hears(GREETING_HZ)
    await asyncio.sleep(0.5)


async def _voicemail(call: Answered) -> None:
    await asyncio.sleep(0.3)
    await call.plays(await spoken(VOICEMAIL) + silence(400))
    await call.plays(BEEP, end="beep")
    await asyncio.wait({call.phone.ended}, timeout=8)


async def _without_beep(call: Answered) -> None:
    await asyncio.sleep(0.3)
    await call.plays(await spoken(VOICEMAIL), end="greeting")
    await asyncio.wait({call.phone.ended}, timeout=14)


async def _goes_on(call: Answered) -> None:
    await asyncio.sleep(0.3)
    await call.plays(await spoken(VOICEMAIL))
    await call.hears(MESSAGE_HZ)
    await asyncio.sleep(0.4)
    await call.plays(await spoken("Or call my office in Boston, and ask for Mister Smith."))
    await call.plays(silence(300) + BEEP, end="beep")
    await asyncio.wait({call.phone.ended}, timeout=8)


async def _fax(call: Answered) -> None:
    await asyncio.sleep(0.5)
    await call.plays(tone(2100, 3000))
    await asyncio.wait({call.phone.ended}, timeout=5)


async def _fax_calling(call: Answered) -> None:
    await asyncio.sleep(0.5)
    await call.plays((tone(1100, 500) + silence(3000)) * 3)
    await asyncio.wait({call.phone.ended}, timeout=5)


async def _silence(call: Answered) -> None:
    await asyncio.wait({call.phone.ended}, timeout=14)


async def _gone_undecided(call: Answered) -> None:
    await asyncio.sleep(0.6)


async def _gone_in_greeting(call: Answered) -> None:
    handle = call.phone.play(await spoken(VOICEMAIL))
    await asyncio.sleep(9.2)
    handle.stop()


async def _gone_in_message(call: Answered) -> None:
    await asyncio.sleep(0.3)
    await call.plays(await spoken(VOICEMAIL) + silence(400) + BEEP)
    await call.hears(MESSAGE_HZ)
    await asyncio.sleep(1)


async def _gone_at_the_last_word(call: Answered) -> None:
    await asyncio.sleep(0.3)
    await call.plays(await spoken(VOICEMAIL) + silence(400) + BEEP)
    began = await call.hears(MESSAGE_HZ)
    await asyncio.sleep(began + MESSAGE_S - 0.2 - asyncio.get_running_loop().time())


async def _goes_on_at_the_last_word(call: Answered) -> None:
    await asyncio.sleep(0.3)
    await call.plays(await spoken(VOICEMAIL))
    more = await spoken("Or call my office in Boston, and ask for Mister Smith.")
    began = await call.hears(MESSAGE_HZ)
    await asyncio.sleep(began + MESSAGE_S - 0.3 - asyncio.get_running_loop().time())
    await call.plays(more + silence(300) + BEEP, end="beep")
    await asyncio.wait({call.phone.ended}, timeout=8)


async def _not_asked(call: Answered) -> None:
    await call.hears(GREETING_HZ)


SCRIPTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "human": (_human, {}),
    "voicemail": (_voicemail, {}),
    "without_beep": (_without_beep, {}),
    "goes_on": (_goes_on, {}),
    "fax": (_fax, {}),
    "fax_calling": (_fax_calling, {}),
    "silence": (_silence, {}),
    "hung_up": (_voicemail, {"answering": {"actions": {"voicemail": "hang_up"}}}),
    "no_message": (_voicemail, {"answering": {"message": ""}}),
    "gone_undecided": (_gone_undecided, {}),
    "gone_in_greeting": (_gone_in_greeting, {}),
    "gone_in_message": (_gone_in_message, {}),
    "gone_at_the_last_word": (_gone_at_the_last_word, {}),
    "goes_on_at_the_last_word": (_goes_on_at_the_last_word, {}),
    "not_asked": (_not_asked, {"answering": {"detect": False}}),
}
Calls = Mapping[str, Answered]


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Calls:
    return asyncio.run(called_at_once(tmp_path_factory.mktemp("who_answers"), SCRIPTS))


def test_a_person_is_greeted_soon_after_the_first_word(calls: Calls) -> None:
    call = calls["human"]
    greeted = call.first(GREETING_HZ)
    assert greeted is not None and call.first(MESSAGE_HZ) is None
    assert call.record["answered_by"] == "human"
    assert call.record["answering"]["corrected"] == []
    assert call.record["message"] is None
    waited_ms = (greeted - call.marks["word"]) * 1000
    print(f"first word -> greeting: {waited_ms:.0f} ms; said {(call.marks['said'] - call.marks['word']) * 1000:.0f} ms")
    assert waited_ms < 2000


def test_whoever_answers_is_talked_to_at_once_if_nobody_asks(calls: Calls) -> None:
    call = calls["not_asked"]
    assert call.record["answered_by"] is None
    greeted = call.first(GREETING_HZ)
    assert greeted is not None and greeted - call.answered_at < 1.5


def test_a_voicemail_gets_the_whole_message_after_its_beep(calls: Calls) -> None:
    call = calls["voicemail"]
    (said,) = call.spans(MESSAGE_HZ)
    waited_ms = (said[0] - call.marks["beep"]) * 1000
    print(f"beep's end -> message: {waited_ms:.0f} ms")
    assert 0 < waited_ms < 400
    assert said[1] - said[0] == pytest.approx(MESSAGE_S, abs=0.1)
    assert call.first(GREETING_HZ) is None
    assert call.record["answered_by"] == "voicemail"
    assert (call.record["message"]["delivered"], call.record["message"]["why"]) == (True, "beep")
    assert ended(call) == ("answered", "agent", "voicemail: message delivered")


def test_without_a_beep_it_comes_after_the_greetings_end(calls: Calls) -> None:
    call = calls["without_beep"]
    (said,) = call.spans(MESSAGE_HZ)
    assert 0.5 < said[0] - call.marks["greeting"] < 6.5
    assert said[1] - said[0] == pytest.approx(MESSAGE_S, abs=0.1)
    assert (call.record["message"]["delivered"], call.record["message"]["why"]) == (True, "greeting_end")


def test_the_message_starts_again_if_the_greeting_goes_on(calls: Calls) -> None:
    call = calls["goes_on"]
    first, last = call.spans(MESSAGE_HZ)[0], call.spans(MESSAGE_HZ)[-1]
    assert first[1] < call.marks["beep"] < last[0]
    assert last[1] - last[0] == pytest.approx(MESSAGE_S, abs=0.1)
    assert call.record["message"]["delivered"] is True
    assert ended(call) == ("answered", "agent", "voicemail: message delivered")


def test_a_greeting_that_goes_on_at_the_messages_last_word_gets_it_again(calls: Calls) -> None:
    call = calls["goes_on_at_the_last_word"]
    last = call.spans(MESSAGE_HZ)[-1]
    assert len(call.spans(MESSAGE_HZ)) == 2 and 0 < last[0] - call.marks["beep"] < 0.4
    assert last[1] - last[0] == pytest.approx(MESSAGE_S, abs=0.1)
    assert (call.record["message"]["delivered"], call.record["message"]["why"]) == (True, "beep")


@pytest.mark.parametrize("name", ["fax", "fax_calling"])
def test_a_fax_is_hung_up_on(calls: Calls, name: str) -> None:
    call = calls[name]
    assert call.record["answered_by"] == "fax"
    assert ended(call) == ("answered", "agent", "fax")
    assert call.spans(GREETING_HZ) == []


def test_calls_are_found_by_who_answered(calls: Calls) -> None:
    faxes = {call["call_id"] for call in calls["fax"].listed["calls"]}
    assert faxes == {calls["fax"].call_id, calls["fax_calling"].call_id}


def test_silence_is_an_outcome(calls: Calls) -> None:
    call = calls["silence"]
    assert (call.record["answered_by"], ended(call)) == ("silence", ("answered", "agent", "silence"))
    assert call.spans(GREETING_HZ) == []


@pytest.mark.parametrize("name", ["hung_up", "no_message"])
def test_what_the_order_says_is_done_instead(calls: Calls, name: str) -> None:
    call = calls[name]
    assert (call.record["answered_by"], call.record["ended_by"]) == ("voicemail", "agent")
    assert call.first(MESSAGE_HZ) is None


@pytest.mark.parametrize(
    ("name", "answered_by", "message"),
    [
        ("gone_undecided", None, None),
        ("gone_in_greeting", "voicemail", False),
        ("gone_in_message", "voicemail", False),
        ("gone_at_the_last_word", "voicemail", False),
    ],
)
def test_the_callee_may_hang_up_at_any_time(
    calls: Calls, name: str, answered_by: str | None, message: bool | None
) -> None:
    call = calls[name]
    assert (call.record["answered_by"], call.record["ended_by"]) == (answered_by, "caller")
    found = call.record["message"]
    assert (found and found["delivered"]) == message
    assert found is None or found["why"] == "hung_up"
