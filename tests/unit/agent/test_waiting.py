"""What a caller hears while an answer is due: never silence for long, and always the answer in the end."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import pytest
from phone import Phone, call

from agent import Agent, Intent, Rules, RunContext, function_tool
from agent.events import AgentMessage, AgentStartedSpeaking, FunctionCallOutput, ProviderFailed, UserMessage
from agent.pipeline.utterance import Utterance
from agent.providers.base import ProviderUnavailable, ToolCall
from agent.providers.fakes import FakeLLM, FakeSTT, FakeTTS, Heard, ModelTurn
from agent.providers.rules import RulesLLM

MOMENT, WORKING = "One moment, please.", "I'm still working on it."
ANSWER = "We have a table at eight."
LONGEST_S = 4.0  # from the caller's last sound to a sound of the agent's


def tool_call(name: str, arguments: str = "{}", call_id: str = "c1") -> ToolCall:
    return ToolCall(call_id, name, arguments)


def asks_and_waits(wait_ms: float = 14_000) -> Callable[[Phone], Awaitable[None]]:
    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, wait_ms)

    return script


def said(phone: Phone) -> list[str]:
    return [message.text for message in phone.of(AgentMessage)]


def silences_s(phone: Phone, until: float) -> list[float]:
    """The lengths of all silences of both sides, from the caller's first words on."""
    pcm = bytes(phone.room.output.played)
    frames = [at for at in range(len(pcm) // 320) if pcm[at * 320 : at * 320 + 320].strip(b"\0")]
    sounds = [phone.began_at + at * 0.02 for at in frames] + phone.spoke_at
    heard = sorted(at for at in sounds if at >= min(phone.spoke_at))
    return [b - a for a, b in itertools.pairwise([*heard, until]) if b - a > 0.1]


# --- functions that fail ------------------------------------------------------------------------------------------


class Trouble(Agent):
    @function_tool
    async def cancelled_within(self) -> str:
        inner = asyncio.ensure_future(asyncio.sleep(9))
        inner.cancel()
        await inner
        return "never"

    @function_tool
    async def cancels_itself(self) -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(1)
        return "never"

    @function_tool
    async def exits(self) -> str:
        sys.exit(3)

    @function_tool
    def exits_in_a_thread(self) -> str:
        raise SystemExit

    @function_tool
    async def interrupted(self) -> str:
        raise KeyboardInterrupt

    @function_tool
    async def base(self) -> str:
        raise BaseExceptionGroup("both", [SystemExit(), ValueError()])

    @function_tool
    def stops(self) -> str:
        return str(next(iter(())))


FAILING = ["cancelled_within", "cancels_itself", "exits", "exits_in_a_thread", "interrupted", "base", "stops"]


@pytest.mark.parametrize("name", FAILING)
def test_whatever_a_function_raises_the_model_is_told_and_answers(name):
    llm = FakeLLM(ModelTurn((tool_call(name),)), "Sorry, that did not work.")
    phone = call(asks_and_waits(4000), Trouble(), llm=llm)
    assert phone.one(FunctionCallOutput).is_error
    assert said(phone) == ["Sorry, that did not work."]
    assert llm.requests[1].messages[-1].is_error


@pytest.mark.parametrize("error", [SystemExit(), KeyboardInterrupt(), asyncio.CancelledError()])
def test_whatever_a_provider_raises_the_caller_hears_words(error):
    phone = call(asks_and_waits(6000), llm=FakeLLM(ModelTurn(error=error)))
    assert said(phone) == ["I'm sorry, I can't do that just now. Please give me a moment and try again."]


def test_whatever_a_hook_raises_the_call_goes_on():
    class Host(Agent):
        async def on_enter(self, ctx: RunContext) -> None:
            sys.exit(1)

        async def on_digit(self, ctx: RunContext, digit: str) -> None:
            raise asyncio.CancelledError

    async def script(phone: Phone) -> None:
        phone.session.on_digit("5", phone.now)
        await asks_and_waits(3000)(phone)

    assert said(call(script, Host(), llm=FakeLLM("Hello."))) == ["Hello."]


# --- the model has no words after a function --------------------------------------------------------------------------


class Slow(Agent):
    """`userdata`: how many seconds the function takes."""

    rules = Rules((Intent("table", ("a table",), tool="look", reply="We have {result}."),))

    @function_tool
    async def look(self, ctx: RunContext) -> str:
        await asyncio.sleep(ctx.userdata or 0)
        return "a table at eight"

    @function_tool
    async def says(self, ctx: RunContext) -> str:
        await ctx.session.say("It is done.")
        return "done"


LOOK = ModelTurn((tool_call("look"),))
EMPTY: list[ModelTurn] = [ModelTurn(()), ModelTurn((" \n",)), ModelTurn(("**",)), ModelTurn(("👍",))]


@pytest.mark.parametrize("empty", EMPTY)
def test_an_empty_answer_after_a_function_is_asked_for_once_more(empty):
    llm = FakeLLM(ModelTurn(("Let me check. ", tool_call("look"))), empty, ANSWER)
    phone = call(asks_and_waits(6000), Slow(), llm=llm)
    assert said(phone)[-1].endswith(ANSWER)
    assert [failure.action for failure in phone.of(ProviderFailed)] == ["retry"]


def test_a_model_that_stays_without_words_is_spoken_for():
    llm = FakeLLM(ModelTurn(("Let me check. ", tool_call("look"))), ModelTurn(()), ModelTurn(()))
    phone = call(asks_and_waits(6000), Slow(), llm=llm)
    assert said(phone) == ["Let me check.", "I'm sorry, I lost my train of thought. What can I do for you?"]


def test_a_function_that_has_spoken_for_itself_needs_no_words_of_the_model():
    llm = FakeLLM(ModelTurn((tool_call("says"),)), ModelTurn(()))
    phone = call(asks_and_waits(5000), Slow(), llm=llm)
    assert said(phone) == ["It is done."]
    assert phone.of(ProviderFailed) == []


class Announces(Agent):
    @function_tool
    async def looks(self, ctx: RunContext) -> str:
        await ctx.session.say("Let me look.")
        await asyncio.sleep(5)
        return "eight"


def test_a_function_that_has_only_announced_itself_has_not_spoken_for_its_outcome():
    llm = FakeLLM(ModelTurn((tool_call("looks"),)), ModelTurn(()), ModelTurn(()))
    phone = call(asks_and_waits(12_000), Announces(), llm=llm)
    assert said(phone)[-1] == Announces().say_canned("lost_words")


@pytest.mark.parametrize("text", ["", " \n", "<think>hm</think>", "\u200b", "**", "👍"])
def test_words_that_are_none_are_over_at_once(text):
    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.session.say(text)
        assert phone.now - phone.began_at < 0.5
        await phone.speak(600, 3000)

    assert [words for words in said(call(script, Slow(), llm=FakeLLM(ANSWER))) if words.strip("*👍")] == [ANSWER]


def test_a_prepared_answer_that_broke_is_made_anew(monkeypatch: pytest.MonkeyPatch):
    """Whatever fails on our side while the caller may still continue does not leave them waiting."""
    write = Utterance.write
    failed: list[str] = []

    async def broken_once(self: Utterance, text: str) -> None:
        if not failed:
            failed.append(text)
            raise LookupError("a fault of ours")
        await write(self, text)

    monkeypatch.setattr(Utterance, "write", broken_once)
    phone = call(asks_and_waits(4000), Slow(), llm=FakeLLM("Lost.", ANSWER))
    assert said(phone) == [ANSWER]


# --- the caller makes a sound while a function runs -------------------------------------------------------------------


def during_a_tool(text: str, ms: float, at_ms: float, *, llm: Any = None, takes: float = 6.0) -> Phone:
    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, at_ms)
        await phone.speak(ms, 10_000)

    llm = llm or FakeLLM(LOOK, ANSWER, "You are welcome.")
    return call(script, Slow(), llm=llm, stt=FakeSTT("a table please", text, default=""), userdata=takes, away_ms=None)


@pytest.mark.parametrize("at_ms", [1200, 3200, 4900, 5200])
@pytest.mark.parametrize(("text", "ms"), [("", 300), ("", 600), ("", 1600), ("okay", 450), ("yeah okay", 1300)])
def test_a_cough_or_an_okay_costs_nobody_the_answer(text, ms, at_ms):
    phone = during_a_tool(text, ms, at_ms)
    assert said(phone)[-1] == ANSWER
    assert said(phone).count(ANSWER) == 1
    assert "catch that" not in " ".join(said(phone))
    assert [message.text for message in phone.of(UserMessage)] == ["a table please"]


@pytest.mark.parametrize("at_ms", [1200, 3200, 4900, 5200])
@pytest.mark.parametrize(("text", "ms"), [("", 600), ("", 1600), ("okay", 450), ("something else", 700)])
def test_nor_without_a_model(text, ms, at_ms):
    phone = during_a_tool(text, ms, at_ms, llm=RulesLLM())
    assert "We have a table at eight." in said(phone)


def test_a_noise_over_the_words_beside_a_function_stops_the_words_and_not_the_function():
    llm = FakeLLM(ModelTurn(("Let me look that up in the big book for you. ", tool_call("look"))), ANSWER)
    phone = during_a_tool("", 1300, 1000, llm=llm, takes=3.0)
    assert said(phone)[-1] == ANSWER
    assert phone.of(AgentMessage)[0].interrupted


@pytest.mark.parametrize("takes", [2.0, 6.0, 9.5])
def test_a_remark_during_a_slow_function_is_met_soon_and_the_outcome_is_not_lost(takes):
    llm = FakeLLM(LOOK, "Five people at eight, yes.")
    phone = during_a_tool("make that five people", 800, 1000, llm=llm, takes=takes)
    remark = phone.of(UserMessage)[1]
    first = next(event.at for event in phone.of(AgentStartedSpeaking) if event.at > remark.ended_at)
    assert first - remark.ended_at < LONGEST_S
    assert said(phone)[-1] == "Five people at eight, yes."
    assert [(m.role, m.text) for m in llm.requests[-1].messages if m.text][-2:] == [
        ("tool", "a table at eight"),
        ("user", "make that five people"),
    ]


def test_yes_to_a_question_that_was_asked_beside_a_function_is_an_answer():
    llm = FakeLLM(ModelTurn(("Shall I book it? ", tool_call("look"))), "Booked.", "Booked.")
    phone = during_a_tool("yes", 450, 2500, llm=llm)
    assert [message.text for message in phone.of(UserMessage)] == ["a table please", "yes"]


# --- fillers ------------------------------------------------------------------------------------------------------


def test_a_model_that_hangs_is_bridged_until_the_apology():
    phone = call(asks_and_waits(), llm=FakeLLM(ModelTurn(hang=True), ModelTurn(hang=True)), filler_ms=3000)
    spoken = phone.of(AgentMessage)
    assert [message.text for message in spoken][:2] == [MOMENT, WORKING]
    assert spoken[0].started_at - (phone.began_at + 0.8) == pytest.approx(3.0, abs=0.05)
    assert spoken[1].started_at - spoken[0].at == pytest.approx(4.5, abs=0.05)
    assert spoken[2].kind == "canned"
    assert "can't do that" in spoken[2].text


def test_fillers_become_rare_for_who_waits_long():
    phone = call(asks_and_waits(40_000), Slow(), llm=FakeLLM(LOOK, ANSWER), userdata=9.9, filler_ms=1000, away_ms=None)
    spoken = phone.of(AgentMessage)
    assert [message.text for message in spoken] == [MOMENT, WORKING, WORKING, WORKING, ANSWER]
    gaps = [round(after.started_at - before.at, 1) for before, after in itertools.pairwise(spoken[:-1])]
    assert gaps == [1.5, 1.5, 3.0]


def test_an_answer_that_stalls_goes_on_behind_the_filler_and_is_known_word_by_word():
    llm = FakeLLM(ModelTurn(("The first table is by the window. ", "The second one is at the bar."), between_ms=4800))

    async def script(phone: Phone) -> None:
        await asks_and_waits(9000)(phone)
        await phone.speak(800, 2000)

    phone = call(script, llm=llm, stt=FakeSTT("a table", "stop it now"))
    first, second = phone.of(AgentMessage)[:2]
    assert (first.text, first.kind) == (MOMENT, "canned")
    assert second.text == "The first table is by the window. The second one is at the bar."
    assert phone.session.history[1].text == second.text
    assert MOMENT not in [message.text for message in phone.session.history]


def test_an_answer_that_is_cut_behind_a_filler_is_known_up_to_the_word():
    llm = FakeLLM(ModelTurn(("One two three. ", "Four five six seven eight nine ten."), between_ms=4800), "Yes?")

    async def script(phone: Phone) -> None:
        await asks_and_waits(0)(phone)
        await phone.until(AgentStartedSpeaking, 2)
        await phone.wait(3000)
        await phone.speak(700, 2000)

    phone = call(script, llm=llm, stt=FakeSTT("count", "stop it now"))
    message = next(m for m in phone.of(AgentMessage) if m.kind == "reply")
    assert message.interrupted
    assert message.text.startswith("One two three. Four five")
    assert not message.text.endswith("ten.")


def test_a_filler_that_is_interrupted_is_cut_and_the_remark_answered():
    llm = FakeLLM(ModelTurn((ANSWER,), first_ms=4500), "Five, fine.")

    async def script(phone: Phone) -> None:
        await asks_and_waits(0)(phone)
        await phone.until(AgentStartedSpeaking)
        await phone.speak(700, 4000)

    phone = call(script, llm=llm, stt=FakeSTT("a table", "no make it five"))
    assert phone.of(AgentMessage)[0].interrupted
    assert said(phone)[-1] == "Five, fine."


@pytest.mark.parametrize("after_ms", [1500, 3900])
def test_recognition_that_is_slow_is_bridged_too(after_ms):
    slow = [Heard("a table", after_ms=after_ms)]
    phone = call(asks_and_waits(9000), stt=FakeSTT(*slow), llm=FakeLLM(ANSWER), stt_final_ms=4500)
    assert said(phone) == ([MOMENT] if after_ms > 3000 else []) + [ANSWER]


def test_without_quick_speech_a_filler_is_two_notes():
    tts = FakeTTS(faults={"": ["hang"] * 99})
    phone = call(asks_and_waits(9000), tts=tts, llm=FakeLLM(ModelTurn((ANSWER,), first_ms=4500)))
    first = phone.of(AgentStartedSpeaking)[0].at
    assert first - (phone.began_at + 0.8) < LONGEST_S


def test_nobody_is_bridged_in_text_and_none_when_nothing_is_owed():
    phone = call(asks_and_waits(6000), llm=FakeLLM("Until nine."))
    assert said(phone) == ["Until nine."]


def test_a_filler_can_be_switched_off_or_have_no_words():
    class Quiet(Agent):
        canned: ClassVar = {"one_moment": "", "still_working": ""}

    turn = ModelTurn((ANSWER,), first_ms=4500)
    assert said(call(asks_and_waits(9000), llm=FakeLLM(turn), filler_ms=None)) == [ANSWER]
    assert said(call(asks_and_waits(9000), Quiet(), llm=FakeLLM(turn))) == [ANSWER]


# --- all together -------------------------------------------------------------------------------------------------

MODELS = {
    "quick": (),
    "slow": (ModelTurn((ANSWER,), first_ms=4700),),
    "hangs": (ModelTurn(hang=True), ModelTurn(hang=True)),
    "breaks": (ModelTurn(("We have a table",), error=ProviderUnavailable("fake-llm", "reset")),),
    "stalls": (ModelTurn(("We have one. ", "At eight."), between_ms=4900),),
    "stalls for good": (ModelTurn(("We have one.",), hang=True),),
    "empty": (ModelTurn(()), ModelTurn(())),
    "slow function": (LOOK,),
    "words and function": (ModelTurn(("Let me see. ", tool_call("look"))),),
    "function, then hangs": (LOOK, ModelTurn(hang=True), ModelTurn(hang=True)),
    "function, then empty": (LOOK, ModelTurn(()), ModelTurn(())),
    "unknown function": (ModelTurn((tool_call("nothing"),)),),
    "end, then hangs": (ModelTurn((tool_call("end_call"),)), ModelTurn(hang=True)),
}
SOUNDS = {"none": ("", 0), "cough": ("", 500), "noise": ("", 1500), "okay": ("okay", 450), "remark": ("for five", 800)}
SPEECH = {"quick": {}, "slow": {"first_ms": 1500.0}, "hangs": {"faults": {"table": ["hang"] * 9}}}


@pytest.mark.parametrize("sound", SOUNDS)
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("speech", SPEECH)
def test_no_combination_leaves_the_caller_in_silence(model, sound, speech):
    text, ms = SOUNDS[sound]
    for at_ms in (1000, 2600, 4400) if speech == "quick" and ms else (2600,):

        async def script(phone: Phone, at_ms: float = at_ms) -> None:
            await phone.wait(200)
            await phone.speak(600, at_ms)
            if ms:
                await phone.speak(ms)
            await phone.wait(9000)

        stt = FakeSTT("a table please", text, default="")
        llm = FakeLLM(*MODELS[model], *[ANSWER] * 4)
        phone = call(script, Slow(), llm=llm, stt=stt, tts=FakeTTS(**SPEECH[speech]), userdata=6.0, away_ms=None)
        asked_at = phone.began_at + 0.8
        first = next((event.at for event in phone.of(AgentStartedSpeaking)), 1e9)
        again_at = phone.spoke_at[-1] if first > asked_at + LONGEST_S else asked_at  # they spoke again meanwhile
        assert first - again_at < LONGEST_S, (model, sound, at_ms)
        owed = silences_s(phone, until=_last_sound(phone))
        assert max(owed) < 5.2, (model, sound, speech, at_ms, owed, phone.types())


def _last_sound(phone: Phone) -> float:
    return max([message.at for message in phone.of(AgentMessage)] + phone.spoke_at)
