"""Calls in which the application ends the caller's turns."""

from __future__ import annotations

from typing import Any

from flux_calls import Talker
from phone import Phone, call

from agent.events import (
    AgentMessage,
    AgentPaused,
    AgentStoppedSpeaking,
    UserMessage,
    UserTurnEnded,
)
from agent.providers.fakes import FakeLLM, FakeSTT, Heard, ModelTurn


def test_by_hand_nothing_is_decided_before_the_commit():
    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await phone.speak(800, 1500)
        await phone.speak(600, 4000)
        assert phone.of(UserTurnEnded) == phone.of(UserMessage) == []
        assert await phone.session.commit_user_turn() == "a table for two"
        await phone.wait(2000)

    phone = call(
        script, stt=FakeSTT("a table", "for two"), llm=FakeLLM("Gladly."), turn_detection="manual", away_ms=None
    )
    ended = phone.one(UserTurnEnded)
    assert (ended.reason, ended.why) == ("committed", "committed by the application")
    assert phone.one(UserMessage).text == "a table for two"
    assert phone.one(AgentMessage).text == "Gladly."


def test_push_to_talk_without_a_vad():
    async def script(phone: Phone) -> None:
        session = phone.session
        session.input.set_audio_enabled(False)
        await phone.speak(1000, 500)  # nobody listens
        session.interrupt()
        session.clear_user_turn()
        session.input.set_audio_enabled(True)
        assert session.input.audio_enabled
        await phone.speak(1200, 100)
        session.input.set_audio_enabled(False)
        assert await session.commit_user_turn() == "a table for two"
        await phone.wait(2000)

    stt = FakeSTT("", "a table for two")
    phone = call(script, Talker(), stt=stt, has_vad=False, llm=FakeLLM("Gladly."), turn_detection="manual")
    assert phone.one(UserMessage).text == "a table for two"
    assert [message.text for message in phone.of(AgentMessage)][-1] == "Gladly."


def test_by_hand_speech_does_not_interrupt_but_a_commit_does():
    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await phone.speak(700, 300)
        assert phone.of(AgentStoppedSpeaking) == phone.of(AgentPaused) == []
        await phone.session.commit_user_turn()
        await phone.wait(2000)

    phone = call(script, Talker(), stt=FakeSTT("okay"), llm=FakeLLM("Gladly."), turn_detection="manual")
    greeting, reply = phone.of(AgentMessage)
    assert greeting.interrupted
    assert reply.text == "Gladly."
    assert phone.one(UserMessage).text == "okay"  # who commits "okay" means it


def test_a_cleared_turn_is_none():
    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await phone.speak(700, 300)
        phone.session.clear_user_turn()
        assert await phone.session.commit_user_turn() == ""
        await phone.speak(500, 300)
        assert await phone.session.commit_user_turn() == "for two"
        await phone.wait(1000)

    phone = call(script, stt=FakeSTT("a table", "for two"), turn_detection="manual")
    assert phone.one(UserMessage).text == "for two"


def test_a_commit_need_not_be_answered():
    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await phone.speak(700, 300)
        assert await phone.session.commit_user_turn(skip_reply=True) == "a table"
        await phone.wait(2000)

    llm = FakeLLM("Gladly.")
    phone = call(script, stt=FakeSTT("a table"), llm=llm, turn_detection="manual")
    assert phone.one(UserMessage).text == "a table"
    assert phone.of(AgentMessage) == llm.requests == []
    assert [message.text for message in phone.session.history] == ["a table"]


def test_a_commit_decides_in_every_mode_and_while_the_caller_speaks():
    async def script(phone: Phone) -> None:
        await phone.wait(500)
        phone._speech += phone_speech(2000)
        await phone.wait(1000)
        assert await phone.session.commit_user_turn() == "a table"
        await phone.wait(3000)

    phone = call(script, stt=FakeSTT("a table", "for two"), llm=FakeLLM(ModelTurn(hang=True)), turn_detection="vad")
    assert [message.text for message in phone.of(UserMessage)] == ["a table", "for two"]
    assert [ended.reason for ended in phone.of(UserTurnEnded)] == ["committed", "silence"]


def phone_speech(ms: float) -> bytes:
    from agent.providers.fakes import loud

    return loud(ms)


def test_a_commit_whose_text_never_comes_is_over_with_the_call():
    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await phone.speak(700, 300)
        waiting.append(phone.session.commit_user_turn())
        await phone.session.aclose()
        assert await waiting[0] == ""

    waiting: list[Any] = []
    call(script, stt=FakeSTT(Heard(never=True)), turn_detection="manual")


def test_by_hand_a_caller_who_never_stops_fills_no_memory():
    async def script(phone: Phone) -> None:
        for _ in range(10):
            await phone.speak(1000)
        await phone.wait(100)
        assert await phone.session.commit_user_turn() == "one two three four"

    stt = FakeSTT("one", "two", "three", "four", "five")
    call(script, stt=stt, has_vad=False, turn_detection="manual", max_turn_ms=3000, away_ms=None)
    assert len(stt.flushed_at) == 4
