"""A persona's hooks between the stages, in calls on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phone import Phone, call

from agent import Agent, RunContext, StopResponse, UserTurn, function_tool
from agent.events import AgentHandoff, AgentMessage, FunctionCallOutput, SilencePrompted, UserMessage
from agent.providers.base import ChatMessage, LLMEvent, SpokenAudio, TextDelta, ToolCall, ToolSpec
from agent.providers.fakes import FakeLLM, FakeTTS, ModelTurn


def said(phone: Phone) -> list[str]:
    return [event.text for event in phone.of(AgentMessage)]


async def one_turn(phone: Phone) -> None:
    await phone.wait(1000)
    await phone.speak(600)
    await phone.until(AgentMessage)


# --- nodes --------------------------------------------------------------------------------------------------------


def test_llm_node_sees_what_is_asked_and_changes_what_comes_back() -> None:
    class Shouting(Agent):
        """You answer."""

        async def llm_node(
            self, ctx: RunContext, messages: Sequence[ChatMessage], tools: Sequence[ToolSpec]
        ) -> AsyncIterator[LLMEvent | str]:
            assert messages[0].text == "You answer."
            async for event in super().llm_node(ctx, [*messages, ChatMessage("user", "Shout.")], tools):
                yield event.text.upper() if isinstance(event, TextDelta) else event

    llm = FakeLLM("We are open.")
    phone = call(one_turn, Shouting(), llm=llm)
    assert said(phone) == ["WE ARE OPEN."]
    assert llm.requests[0].messages[-1].text == "Shout."


def test_an_llm_node_that_fails_is_a_failed_model() -> None:
    class Broken(Agent):
        async def llm_node(self, ctx: RunContext, messages: Any, tools: Any) -> AsyncIterator[str]:
            raise LookupError("no index")
            yield ""

    phone = call(one_turn, Broken())
    assert said(phone) == [Broken().say_canned("unavailable")]


def test_tts_node_speaks_instead() -> None:
    class Beeping(Agent):
        async def tts_node(self, ctx: RunContext, text: str) -> AsyncIterator[SpokenAudio | bytes]:
            yield b"\x01\x02" * 800
            async for audio in super().tts_node(ctx, text.replace("GmbH", "company")):
                yield audio

    tts = FakeTTS()
    phone = call(one_turn, Beeping(), llm=FakeLLM("Acme GmbH here."), tts=tts)
    assert said(phone) == ["Acme GmbH here."]
    assert "Acme company here." in tts.spoken


def test_transcription_node_corrects_what_was_recognised() -> None:
    class Corrects(Agent):
        def transcription_node(self, text: str) -> str:
            return text.replace("hello", "hallo")

    phone = call(one_turn, Corrects(), llm=FakeLLM("Yes."))
    assert phone.one(UserMessage).text == "hallo"


# --- turns --------------------------------------------------------------------------------------------------------


def test_on_user_turn_completed_edits_the_turn_and_the_history() -> None:
    class Looks(Agent):
        async def on_user_turn_completed(self, ctx: RunContext, turn: UserTurn) -> None:
            await asyncio.sleep(0.3)  # a look into an index
            ctx.session.update_history([ChatMessage("user", "Earlier."), *ctx.session.history])
            turn.text = f"{turn.text} [known: Ada]"
            self.update_instructions("Be brief.")

    llm = FakeLLM("Hello Ada.")
    phone = call(one_turn, Looks(), llm=llm)
    heard = phone.one(UserMessage).text
    (asked,) = llm.requests  # not ahead of the decision
    assert [message.text for message in asked.messages] == ["Be brief.", f"Earlier.\n{heard} [known: Ada]"]
    assert said(phone) == ["Hello Ada."]


def test_stop_response_leaves_a_turn_unanswered() -> None:
    class Quiet(Agent):
        async def on_user_turn_completed(self, ctx: RunContext, turn: UserTurn) -> None:
            raise StopResponse

    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await phone.speak(600, then_ms=3000)
        assert len(phone.session.history) == 1

    llm = FakeLLM("Never said.")
    phone = call(script, Quiet(), llm=llm)
    assert (said(phone), llm.requests) == ([], [])


def test_a_hook_that_fails_does_not_leave_the_caller_alone() -> None:
    class Broken(Agent):
        async def on_user_turn_completed(self, ctx: RunContext, turn: UserTurn) -> None:
            raise LookupError("no index")

    assert said(call(one_turn, Broken(), llm=FakeLLM("Yes."))) == ["Yes."]


# --- tools --------------------------------------------------------------------------------------------------------


class Notes(Agent):
    @function_tool(silent=True)
    async def note(self) -> str:
        return "noted"

    @function_tool
    async def note_by_exception(self) -> str:
        raise StopResponse("noted, too")

    @function_tool(silent=True)
    async def fails(self) -> str:
        raise LookupError("no paper")


@pytest.mark.parametrize(("tool", "output"), [("note", "noted"), ("note_by_exception", "noted, too")])
def test_a_silent_tool_is_not_spoken_of(tool: str, output: str) -> None:
    llm = FakeLLM(ModelTurn(("Noted.", ToolCall("c1", tool, "{}"))), "Never said.")

    async def script(phone: Phone) -> None:
        await one_turn(phone)
        await phone.wait(3000)

    phone = call(script, Notes(), llm=llm)
    outcome = phone.one(FunctionCallOutput)
    assert (outcome.output, outcome.is_error) == (output, False)
    assert said(phone) == ["Noted."]
    assert len(llm.requests) == 1


def test_a_silent_tool_that_fails_is_spoken_of() -> None:
    llm = FakeLLM(ModelTurn((ToolCall("c1", "fails", "{}"),)), "I could not note it.")
    assert said(call(one_turn, Notes(), llm=llm)) == ["I could not note it."]


def test_disallow_interruptions_within_a_tool() -> None:
    class Pays(Agent):
        @function_tool
        async def pay(self, ctx: RunContext) -> str:
            ctx.disallow_interruptions()
            await asyncio.sleep(0.5)
            return "paid"

    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await phone.speak(600)
        await phone.until(FunctionCallOutput)
        await phone.wait(400)
        await phone.speak(1500)
        await phone.until(AgentMessage)

    text = "Your payment has gone through and you will get a letter about it in the next days."
    llm = FakeLLM(ModelTurn((ToolCall("c1", "pay", "{}"),)), text, "Anything else?")
    phone = call(script, Pays(), llm=llm)
    first = phone.of(AgentMessage)[0]
    assert (first.text, first.interrupted) == (text, False)


# --- silence ------------------------------------------------------------------------------------------------------


def test_a_persona_may_deal_with_silence_itself() -> None:
    class Patient(Agent):
        async def on_user_silence(self, ctx: RunContext, rung: int) -> bool:
            ctx.session.say(f"Take your time ({rung}).")
            return True

    async def script(phone: Phone) -> None:
        await phone.wait(60_000)

    phone = call(script, Patient(), away_ms=7000)
    assert set(said(phone)) == {"Take your time (1)."}
    assert len(said(phone)) >= 5  # and the call goes on


def test_a_hook_on_silence_that_declines_leaves_it_to_the_ladder() -> None:
    rungs: list[int] = []

    class Watches(Agent):
        async def on_user_silence(self, ctx: RunContext, rung: int) -> bool:
            rungs.append(rung)
            return False

    async def script(phone: Phone) -> None:
        assert (await phone.closed()).reason == "caller_silent"

    call(script, Watches(), away_ms=5000)
    assert rungs == [1, 2, 3]


def test_a_persona_may_be_without_the_silence_ladder() -> None:
    class Waits(Agent):
        silence_ladder = False

        @function_tool
        async def next(self) -> Agent:
            return Agent(greeting="Hello.")

    async def script(phone: Phone) -> None:
        await phone.wait(60_000)
        assert phone.of(SilencePrompted) == []
        await phone.speak(600)
        await phone.until(AgentHandoff)
        await phone.until(SilencePrompted)  # the next one has it

    call(script, Waits(), llm=FakeLLM(ModelTurn((ToolCall("c1", "next", "{}"),))), away_ms=7000)


# --- providers of a persona ---------------------------------------------------------------------------------------


def test_a_persona_thinks_and_speaks_with_its_own() -> None:
    own_llm, own_tts, tts = FakeLLM("I am Bob."), FakeTTS(), FakeTTS()

    class Bob(Agent):
        llm = own_llm
        tts = own_tts
        greeting = "Bob speaking."

    class Ada(Agent):
        @function_tool
        async def bob(self) -> tuple[Agent, str]:
            return Bob(), "Here is Bob."

    async def script(phone: Phone) -> None:
        await one_turn(phone)
        await phone.wait(500)
        await phone.speak(600)
        await phone.until(AgentMessage, 2)

    llm = FakeLLM(ModelTurn((ToolCall("c1", "bob", "{}"),)))
    phone = call(script, Ada(), llm=llm, tts=tts)
    assert said(phone)[-1] == "I am Bob."
    assert "I am Bob." in own_tts.spoken
    assert "I am Bob." not in tts.spoken


def test_a_persona_names_its_model() -> None:
    class Ruled(Agent):
        llm = "instant"

    phone = call(one_turn, Ruled(), llm=FakeLLM("Not asked."))
    assert said(phone) != ["Not asked."]


# --- sound files --------------------------------------------------------------------------------------------------


def wav_of(folder: Path, rate: int, seconds: float) -> Path:
    """A stereo file of a tone."""
    import wave

    samples = (8000 * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)).astype("<i2")
    file = folder / "jingle.wav"
    with wave.open(str(file), "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(np.repeat(samples, 2).tobytes())
    return file


@pytest.mark.parametrize("rate", [8000, 44100])
def test_a_sound_file_is_played_to_its_end(tmp_path: Path, rate: int) -> None:
    file = wav_of(tmp_path, rate, 2.0)

    async def script(phone: Phone) -> None:
        began = phone.now
        handle = await phone.session.play(file)
        await handle
        assert phone.now - began == pytest.approx(2.0, abs=0.1)
        assert not handle.interrupted
        assert phone.session.history == []

    phone = call(script, Agent())
    assert said(phone) == ["[jingle.wav]"]


def test_of_a_recording_with_words_the_model_is_told_what_was_heard(tmp_path: Path) -> None:
    file = wav_of(tmp_path, 16000, 4.0)

    async def script(phone: Phone) -> None:
        handle = await phone.session.play(file, text="one two three four five six seven eight")
        await phone.wait(1500)
        await phone.speak(1200)
        await handle
        assert handle.interrupted
        assert 0 < len(phone.session.history[0].text.split()) < 7

    call(script, Agent())


def test_a_file_that_is_none(tmp_path: Path) -> None:
    async def script(phone: Phone) -> None:
        with pytest.raises(FileNotFoundError):
            await phone.session.play(tmp_path / "gone.wav")

    call(script, Agent())


class Careless(Agent):
    """Its hooks return useless values."""

    def transcription_node(self, text: str) -> Any:
        return None

    async def on_user_turn_completed(self, ctx: RunContext, turn: UserTurn) -> None:
        turn.text = None  # type: ignore[assignment]


def test_hooks_that_give_no_text_change_nothing() -> None:
    llm = FakeLLM("We are open.")
    phone = call(one_turn, Careless(), llm=llm)
    assert said(phone) == ["We are open."]
    assert llm.requests[0].messages[-1].text == "hello"


@pytest.mark.parametrize("item", [5, object()])
def test_a_node_that_gives_what_is_no_event_is_a_failed_model(item: object) -> None:
    class Odd(Agent):
        async def llm_node(self, ctx: RunContext, messages: Any, tools: Any) -> AsyncIterator[Any]:
            yield None
            yield item

    phone = call(one_turn, Odd())
    assert said(phone) == [Odd().say_canned("unavailable")]


@pytest.mark.parametrize("item", ["words", 5])
def test_a_node_that_gives_no_audio_is_a_failed_synthesis(item: object) -> None:
    class Odd(Agent):
        async def tts_node(self, ctx: RunContext, text: str) -> AsyncIterator[Any]:
            yield item

    phone = call(one_turn, Odd())
    assert said(phone) == [Odd().say_canned("unavailable")]


class Synchronous(Agent):
    """Its hooks are not coroutines, an easy mistake."""

    greeting = "Hello."

    def __init__(self) -> None:
        super().__init__()
        self.called: list[str] = []

    def on_enter(self, ctx: RunContext) -> None:  # type: ignore[override]
        self.called.append("enter")
        raise LookupError("no database")

    def on_exit(self, ctx: RunContext) -> None:  # type: ignore[override]
        self.called.append("exit")

    def on_digit(self, ctx: RunContext, digit: str) -> None:  # type: ignore[override]
        self.called.append(digit)

    def on_user_turn_completed(self, ctx: RunContext, turn: UserTurn) -> None:  # type: ignore[override]
        turn.text += " please"

    def on_user_silence(self, ctx: RunContext, rung: int) -> bool:  # type: ignore[override]
        self.called.append(f"silence {rung}")
        return True


def test_hooks_need_not_be_coroutines() -> None:
    async def script(phone: Phone) -> None:
        await one_turn(phone)
        phone.session.on_digit("5", phone.now)
        await phone.wait(9000)

    llm, persona = FakeLLM("We are open."), Synchronous()
    phone = call(script, persona, llm=llm)
    assert said(phone) == ["Hello.", "We are open."]
    assert llm.requests[0].messages[-1].text == "hello please"
    assert persona.called == ["enter", "5", "silence 1", "exit"]
