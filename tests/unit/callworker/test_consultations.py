"""Warm transfers on virtual time: a human who asks the agent before they take the caller, the caller's own words, and
notes of what the two say; and that nobody hears what is not meant for them."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from typing import Any

import pytest
from call_world import CallWorld, call
from fake_dialler import FakeDialler
from test_transfers import frame, heard, said, told
from test_warm_transfers import TEXT, answered, begun, hears, nothing_is_left, order, to_human

from agent.providers.base import ProviderUnavailable, ToolCall
from agent.providers.fakes import FakeLLM, FakeSTT, FakeTTS, ModelTurn, loud
from agent.providers.rules import RulesLLM
from gateway.calls.ends import CallState
from gateway.record import TransferBegan
from gateway.transcript import build_turns, transcript_text
from telephony.call import AfterTransfer, LegEnded, SummaryBy, Warm
from telephony.fakes import FakeLeg, statistics
from telephony.media.frames import SILENCE
from telephony.rooms.protocol import LegAudio

ASKS = replace(TEXT, consult=True, consult_s=60)
QUESTION = "Do you have any questions? Press 1 or say: put them through. Press 2 to decline."


async def speaks(world: CallWorld, leg: LegAudio, ms: int = 800) -> None:
    """A human, in real frames; then silence until the turn is decided."""
    for _ in range(ms // 20):
        leg.push(loud(20), world.loop.time())
        await asyncio.sleep(0.02)
    for _ in range(60):
        leg.push(SILENCE, world.loop.time())
        await asyncio.sleep(0.02)


def talked(world: CallWorld) -> list[tuple[str, str, str]]:
    return [(e["speaker"], e["name"], e["text"]) for e in world.events if e["type"] == "talk_message"]


SENDING: list[asyncio.Task[None]] = []  # keeps them


async def sends(leg: FakeLeg) -> None:
    """Its packets arrive."""
    for count in itertools.count(1):
        leg.figures = statistics(packets_received=count)
        await asyncio.sleep(0.5)


async def consulting(world: CallWorld, dialler: FakeDialler, warm: Warm = ASKS, **how: Any) -> FakeLeg:
    """The caller has said something, the human has heard summary and question."""
    await asyncio.sleep(5)
    world.speak(800)
    await asyncio.sleep(4)
    await world.owner.steered.transfer(order(warm, afterwards=AfterTransfer.AGENT, **how))
    await asyncio.sleep(0.1)
    leg = await answered(dialler)
    SENDING.append(asyncio.create_task(sends(leg), name="packets"))
    await asyncio.sleep(8)
    assert world.owner.state is CallState.DIALLING
    return leg


def test_a_human_asks_and_the_agent_answers_from_the_conversation() -> None:
    dialler = FakeDialler()
    model = FakeLLM("Let me see.", "Her invoice is 4711.")

    async def script(world: CallWorld) -> None:
        await consulting(world, dialler)
        await speaks(world, dialler.audio[0])
        await asyncio.sleep(2)
        assert world.owner.state is CallState.DIALLING
        world.speak(800)  # the caller, meanwhile
        await asyncio.sleep(2)
        await speaks(world, dialler.audio[0])
        assert world.owner.state is CallState.JOINED
        assert frame(100) in hears(world, dialler)
        world.leg.end()

    stt = FakeSTT("My invoice is wrong", "Which invoice is it", "put her through, please")
    world = call(script, dialler=dialler, llm=model, stt=stt)
    assert to_human(world) == ["Ada asks about her invoice.", QUESTION, "Her invoice is 4711."]
    assert [text for _, _, text in talked(world)] == ["Which invoice is it", "put her through, please"]
    heard_by_model = [message.text for request in model.requests for message in request.messages]
    assert "hello" not in heard_by_model, "nothing of the caller's reached the model while they waited"
    asked = model.requests[1].messages
    assert "Caller: My invoice is wrong" in asked[0].text
    assert "Agent: Let me see." in asked[0].text
    assert "Ada asks about her invoice." in asked[0].text
    assert asked[-1].text == "Which invoice is it"
    assert set(model.requests[1].tools) == {"put_through", "decline"}
    assert told(world)[-1] == "transferred"
    assert said(world) == ["Hello and welcome to the house.", "Let me see."], "the caller heard nothing of it"
    lines = transcript_text(build_turns(world.events))
    assert "human [sip:a@h]: Which invoice is it" in lines
    assert "agent [to the human]: Her invoice is 4711." in lines
    nothing_is_left(world, dialler)


@pytest.mark.parametrize(
    ("words", "key", "outcome"),
    [
        ("put them through", "", "transferred"),
        ("", "1", "transferred"),
        ("no, I can't right now", "", "declined"),
        ("", "2", "declined"),
    ],
)
def test_the_human_decides_by_words_or_key(words: str, key: str, outcome: str) -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        leg = await consulting(world, dialler)
        if key:
            leg.press(key)
            await asyncio.sleep(0.02)
        else:
            await speaks(world, dialler.audio[0])
        assert world.owner.state is (CallState.JOINED if outcome == "transferred" else CallState.WITH_AGENT)
        assert (leg.ended is None) is (outcome == "transferred")
        await asyncio.sleep(4)
        world.leg.end()

    world = call(script, dialler=dialler, stt=FakeSTT("hello", words or "unused"), llm=FakeLLM("Hello."))
    assert told(world)[-1] == outcome
    if outcome == "declined":
        assert said(world)[-1] == "I'm sorry, nobody could take your call just now."
    nothing_is_left(world, dialler)


@pytest.mark.parametrize(("tool", "outcome"), [("put_through", "transferred"), ("decline", "declined")])
def test_the_model_understands_other_words(tool: str, outcome: str) -> None:
    dialler = FakeDialler()
    model = FakeLLM("Hello.", ModelTurn((ToolCall("c1", tool, "{}"),)))

    async def script(world: CallWorld) -> None:
        await consulting(world, dialler)
        await speaks(world, dialler.audio[0])
        await asyncio.sleep(1)
        assert world.owner.state is (CallState.JOINED if outcome == "transferred" else CallState.WITH_AGENT)
        await asyncio.sleep(4)
        world.leg.end()

    world = call(script, dialler=dialler, stt=FakeSTT("hello", "all right then"), llm=model)
    assert told(world)[-1] == outcome
    nothing_is_left(world, dialler)


def test_a_human_who_does_not_decide_is_joined_after_a_while() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        await consulting(world, dialler)
        await asyncio.sleep(48)
        assert world.owner.state is CallState.DIALLING
        await asyncio.sleep(8)
        assert world.owner.state is CallState.JOINED
        world.leg.end()

    world = call(script, dialler=dialler, llm=FakeLLM("Hello."))
    assert to_human(world) == ["Ada asks about her invoice.", QUESTION], "and nobody asks whether they are there"
    nothing_is_left(world, dialler)


def test_a_model_that_fails_in_a_consultation_leads_to_the_caller() -> None:
    dialler = FakeDialler()
    model = FakeLLM("Hello.", *[ModelTurn(error=ProviderUnavailable("llm", "down"))] * 30)

    async def script(world: CallWorld) -> None:
        await consulting(world, dialler)
        for _ in range(3):
            await speaks(world, dialler.audio[0])
            await asyncio.sleep(8)
        assert world.owner.state is CallState.JOINED
        world.leg.end()

    world = call(script, dialler=dialler, llm=model)
    assert told(world)[-1] == "transferred"
    nothing_is_left(world, dialler)


def test_a_model_by_rules_says_again_what_is_known() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        leg = await consulting(world, dialler)
        await speaks(world, dialler.audio[0])
        await asyncio.sleep(3)
        leg.press("1")
        await asyncio.sleep(0.1)
        assert world.owner.state is CallState.JOINED
        world.leg.end()

    world = call(script, dialler=dialler, llm=RulesLLM(), stt=FakeSTT("hello", "what is it about"))
    assert to_human(world) == ["Ada asks about her invoice.", QUESTION, "Ada asks about her invoice."]
    nothing_is_left(world, dialler)


def test_the_consultation_speaks_with_the_personas_own_voice() -> None:
    dialler = FakeDialler()
    voice = FakeTTS()

    async def script(world: CallWorld) -> None:
        leg = await consulting(world, dialler)
        leg.press("1")
        await asyncio.sleep(1)
        world.leg.end()

    world = call(script, "Whispers", dialler=dialler, tts=voice, llm=FakeLLM("Hello."))
    assert f"(softly) {QUESTION.partition('?')[0]}?" in voice.spoken
    nothing_is_left(world, dialler)


def test_without_a_model_there_are_no_questions() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        await begun(world, order(ASKS))
        await answered(dialler)
        await asyncio.sleep(3)
        assert world.owner.state is CallState.JOINED
        world.leg.end()

    world = call(script, dialler=dialler, llm=None)
    assert to_human(world) == ["Ada asks about her invoice."]
    nothing_is_left(world, dialler)


@pytest.mark.parametrize("who", ["caller", "human", "lost", "ended"])
def test_whoever_leaves_a_consultation(who: str) -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        leg = await consulting(world, dialler)
        if who == "caller":
            world.leg.end()
        elif who == "ended":
            world.owner.hang_up("by the desk", goodbye=False)
        else:
            leg.inject(LegEnded(world.loop.time(), who == "human", 0, "gone", None, lost=who == "lost"))
        await asyncio.sleep(0.1)
        assert leg.ended is not None
        if who in ("human", "lost"):
            assert world.owner.state is CallState.WITH_AGENT
            await asyncio.sleep(4)
            world.leg.end()

    world = call(script, dialler=dialler, llm=FakeLLM("Hello."))
    assert told(world)[-1] == {"human": "declined", "lost": "failed"}.get(who, "cancelled")
    nothing_is_left(world, dialler)


def test_the_introduction_comes_after_a_consultation() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        leg = await consulting(world, dialler, replace(ASKS, introduction="You are connected now."))
        leg.press("1")
        await asyncio.sleep(3)
        assert world.owner.state is CallState.JOINED
        world.leg.end()

    world = call(script, dialler=dialler, llm=FakeLLM("Hello."))
    assert to_human(world)[-1] == "You are connected now."
    nothing_is_left(world, dialler)


# --- the caller's own words -------------------------------------------------------------------------------------------

OWN = Warm(detect=False, summary=SummaryBy.CALLER)


def test_the_human_hears_what_the_caller_has_said_it_is_about() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        await begun(world, order(OWN))
        await asyncio.sleep(2)
        assert not dialler.legs, "they are asked before anybody is called"
        assert said(world) == ["Hello and welcome to the house."]
        await asyncio.sleep(2)
        world.speak(1000)
        await asyncio.sleep(2.5)
        await answered(dialler)
        spoken = set()
        for _ in range(40):
            await asyncio.sleep(0.1)
            spoken |= hears(world, dialler)
        assert loud(20) in spoken, "the caller's own voice"
        assert world.owner.state is CallState.JOINED
        world.leg.end()

    world = call(script, dialler=dialler, stt=FakeSTT("my parcel is lost"))
    assert to_human(world) == ["A caller would like to speak with you. This is what they said: my parcel is lost"]
    waiting = [event["text"] for event in world.events if event["type"] == "told_waiting_caller"]
    assert waiting == ["Before I connect you: may I ask what it is about?"]
    assert talked(world) == [("caller", "", "my parcel is lost")]
    nothing_is_left(world, dialler)


def test_a_caller_who_says_nothing_is_spoken_for() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        await begun(world, order(replace(OWN, text="Somebody calls.")))
        await asyncio.sleep(9)
        await answered(dialler)
        await asyncio.sleep(3)
        assert world.owner.state is CallState.JOINED
        world.leg.end()

    world = call(script, dialler=dialler, llm=FakeLLM(*[ModelTurn(error=ProviderUnavailable("llm", "down"))] * 5))
    assert to_human(world) == ["Somebody calls."]
    nothing_is_left(world, dialler)


def test_a_caller_who_hangs_up_while_they_are_asked() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        await begun(world, order(OWN))
        await asyncio.sleep(3)
        world.leg.end()

    world = call(script, dialler=dialler)
    assert told(world)[-1] == "cancelled"
    assert not dialler.legs
    assert world.outcome == ("answered", "caller", "hung up")
    nothing_is_left(world, dialler)


# --- notes ------------------------------------------------------------------------------------------------------------


async def talk(world: CallWorld, dialler: FakeDialler, warm: Warm = TEXT) -> None:
    await begun(world, order(warm, afterwards=AfterTransfer.AGENT))
    leg = await answered(dialler)
    SENDING.append(asyncio.create_task(sends(leg), name="packets"))
    await asyncio.sleep(3)
    assert world.owner.state is CallState.JOINED
    await speaks(world, dialler.audio[0])
    world.speak(800)
    await asyncio.sleep(3)
    leg.end(reason="bye")
    await asyncio.sleep(4)
    assert world.owner.state is CallState.WITH_AGENT


def test_what_the_two_say_is_written_down_where_the_settings_allow_it() -> None:
    dialler = FakeDialler()
    model = FakeLLM("And now?")

    async def script(world: CallWorld) -> None:
        await talk(world, dialler)
        world.speak(800)
        await asyncio.sleep(4)
        world.leg.end()

    stt = FakeSTT("this is Bob", "hello Bob", "what did he say")
    world = call(script, dialler=dialler, stt=stt, llm=model, calls="transfer_notes: true, ")
    assert talked(world) == [("human", "sip:a@h", "this is Bob"), ("caller", "sip:a@h", "hello Bob")]
    noted = [message.text for message in model.requests[0].messages if message.name == "cue"]
    assert "talked with sip:a@h, without you:\nsip:a@h: this is Bob\ncaller: hello Bob]" in noted[0]
    speakers = [turn.speaker for turn in build_turns(world.events)]
    assert speakers.count("human") == 1
    assert speakers.count("caller") == 2
    nothing_is_left(world, dialler)


def test_card_numbers_are_masked_in_notes() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        await talk(world, dialler)
        world.leg.end()

    stt = FakeSTT("your card please", "4111 1111 1111 1111")
    world = call(script, dialler=dialler, stt=stt, calls="transfer_notes: true, ")
    assert next(text for _, _, text in talked(world)) == "your card please"
    assert "1111 1111" not in str(world.sent)


def test_nothing_is_written_down_while_the_recording_is_paused() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        await asyncio.sleep(1)
        world.providers.sessions[0].pause_recording()
        await talk(world, dialler)
        world.leg.end()

    world = call(script, dialler=dialler, calls="transfer_notes: true, ")
    assert talked(world) == []


def test_the_calls_summary_knows_what_the_two_have_said() -> None:
    dialler = FakeDialler()
    model = FakeLLM("Bob will call back.")
    summaries: list[tuple[str, str]] = []

    async def script(world: CallWorld) -> None:
        await begun(world, order())
        leg = await answered(dialler)
        SENDING.append(asyncio.create_task(sends(leg), name="packets"))
        await asyncio.sleep(3)
        await speaks(world, dialler.audio[0])
        world.leg.end()
        await asyncio.sleep(1)
        summaries.append(await world.owner.summary(by_model=True))

    call(script, dialler=dialler, stt=FakeSTT("I will call back"), llm=model, calls="transfer_notes: true, ")
    assert summaries == [("Bob will call back.", "model")]
    assert "sip:a@h: I will call back" in model.requests[-1].messages[-1].text


@pytest.mark.parametrize(("calls", "notes"), [("", True), ("transfer_notes: true, ", False)])
def test_otherwise_nothing_is_listened_to(calls: str, notes: bool) -> None:
    dialler = FakeDialler()
    stt = FakeSTT()

    async def script(world: CallWorld) -> None:
        await talk(world, dialler, replace(TEXT, notes=notes))
        world.leg.end()

    world = call(script, dialler=dialler, stt=stt, calls=calls)
    assert talked(world) == []
    assert stt.streams == 1
    nothing_is_left(world, dialler)


# --- data and music ---------------------------------------------------------------------------------------------------


def test_events_have_what_the_humans_screen_is_sent() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        await begun(world, order(replace(TEXT, headers={"X-Account": "4711"}, user_to_user="Ada")))
        world.leg.end()

    world = call(script, dialler=dialler)
    began = [message for message in world.sent if isinstance(message, TransferBegan)]
    assert {(each.headers["X-Account"], each.user_to_user) for each in began} == {("4711", "Ada")}


def test_the_music_fades_out_under_the_human() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        await begun(world, order(Warm(detect=False)))
        music = heard(world, 400)
        await answered(dialler)
        assert world.owner.state is CallState.JOINED
        dialler.audio[0].push(SILENCE, world.loop.time())
        fading = heard(world, 60) - {SILENCE}
        assert fading
        assert not fading & music, "softer than before"
        await asyncio.sleep(1.1)
        assert heard(world, 200) <= {SILENCE}
        world.leg.end()

    world = call(script, dialler=dialler, calls="hold_music: {fade_ms: 1000}, ")
    nothing_is_left(world, dialler)
