"""Spoken text in a call: what is spoken, what the context keeps, how soon it begins and where it ends."""

from phone import Phone, call

from agent import Agent
from agent.events import AgentMessage, TurnLatency
from agent.pipeline.canned import MADE_AHEAD
from agent.providers.base import ProviderUnavailable
from agent.providers.fakes import FakeLLM, FakeTTS, ModelTurn


class Quiet(Agent):
    """Says nothing first."""


def answer(llm, tts=None, wait_ms=25_000, **options) -> Phone:
    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, wait_ms)

    return call(script, Quiet(), llm=llm, tts=tts, **options)


def test_markup_is_not_spoken_but_stays_in_the_context():
    text = "**Great news!** We have two:\n\n- *Window* at 7:30\n- Bar for $8.50 😊"
    tts = FakeTTS()
    phone = answer(FakeLLM(text), tts, away_ms=None)
    assert tts.spoken[len(MADE_AHEAD) :] == [
        "Great news!",
        "We have two:",
        "Window at 7 30",
        "Bar for 8 dollars and 50 cents",
    ]
    assert phone.one(AgentMessage).text == phone.one(AgentMessage).full_text == text


def test_reasoning_is_neither_spoken_nor_kept():
    tts = FakeTTS()
    phone = answer(
        FakeLLM(ModelTurn(("<thi", "nk>Ask for the", " day.</think>", "\n\nFor which day?"))), tts, away_ms=None
    )
    assert tts.spoken[-1] == "For which day?"
    assert phone.one(AgentMessage).full_text == "For which day?"


def test_a_reply_of_nothing_that_can_be_said_is_no_silence():
    phone = answer(FakeLLM("<think>What shall I say?", "👍"), wait_ms=6000)
    assert [message.kind for message in phone.of(AgentMessage)] == ["canned"]


def test_chinese_is_heard_sentence_by_sentence_and_a_cut_keeps_what_was_heard():
    parts = tuple("您好,这里是餐厅。今天晚上八点有位子。")
    llm = FakeLLM(ModelTurn(parts, between_ms=100), "好。")

    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600)
        await phone.until(TurnLatency)
        await phone.wait(1500)
        await phone.speak(1200, 4000)

    phone = call(script, Quiet(), llm=llm, tts=FakeTTS(word_ms=3000), preemptive=False)
    latency = phone.of(TurnLatency)[0]
    assert latency.first_packet_at - latency.first_token_at < 1.6
    cut = phone.of(AgentMessage)[0]
    assert cut.interrupted and cut.full_text.startswith(cut.text)
    assert 2 <= len(cut.text) < len("您好,这里是餐厅。")
    assert llm.requests[-1].messages[-2].text == cut.text


def test_a_reply_that_breaks_off_is_marked_as_cut():
    broken = ModelTurn(("Your table is at ", "eight on "), error=ProviderUnavailable("x", "HTTP 500"))
    phone = answer(FakeLLM(broken), wait_ms=9000)
    first = phone.of(AgentMessage)[0]
    assert (first.text, first.interrupted) == ("Your table is at eight on", True)
    assert phone.session.history[1].interrupted


def test_a_reply_without_end_is_cut_off():
    llm = FakeLLM(ModelTurn(("and then " * 200,) * 50))
    phone = answer(llm, wait_ms=200_000, max_reply_characters=500, away_ms=None)
    said = phone.of(AgentMessage)[0]
    assert said.interrupted and 480 <= len(said.text) <= 500
    assert llm.cancelled == 1


def test_a_megabyte_to_say_is_cut_too():
    async def script(phone: Phone) -> None:
        handle = phone.session.say("word " * 200_000)
        await phone.wait(2000)
        handle.interrupt()
        await handle

    phone = call(script, Quiet(), max_reply_characters=1000)
    assert len(phone.one(AgentMessage).full_text) <= 1000
