"""Ordinary calls: greeting, turns, latency, tools, handoff, keys, silence, ends."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from phone import Phone, call

from agent import Agent, DigitEntry, EndCall, RunContext, ToolError, function_tool
from agent.events import (
    AgentHandoff,
    AgentMessage,
    AgentStartedSpeaking,
    DigitReceived,
    FunctionCall,
    FunctionCallOutput,
    SilencePrompted,
    TurnLatency,
    UserMessage,
    UserStartedSpeaking,
    UserStoppedSpeaking,
    UserTurnEnded,
)
from agent.providers.base import Expectations, ToolCall, Usage
from agent.providers.fakes import FakeLLM, FakeSTT, FakeTTS, FakeVAD, Heard, ModelTurn
from agent.rules import Intent, Rules
from agent.turns.backchannel import COMMON


def near(value: float) -> Any:
    return pytest.approx(value, abs=1e-6)


class Greeter(Agent):
    """You are kind."""

    greeting = "Hello, how can I help?"


def test_greeting_then_a_turn_decided_550_ms_after_the_speech():
    async def script(phone: Phone) -> None:
        await phone.wait(2000)
        await phone.speak(1000, 2000)

    phone = call(script, Greeter(), llm=FakeLLM("Of course."), stt=FakeSTT("I need help", Heard("never")))
    greeting, reply = phone.of(AgentMessage)
    assert (greeting.text, greeting.kind) == ("Hello, how can I help?", "greeting")
    stopped = phone.one(UserStoppedSpeaking)
    ended = phone.one(UserTurnEnded)
    assert ended.at - stopped.at == near(0.55)
    assert phone.one(UserMessage).text == "I need help"
    assert reply.text == reply.full_text == "Of course."
    assert [message.role for message in phone.session.history] == ["assistant", "user", "assistant"]


@pytest.mark.parametrize("lag_windows", [0, 1, 3])
def test_first_audio_goes_out_with_the_decision_however_late_the_vad_is(lag_windows):
    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await phone.speak(1000, 2000)

    phone = call(script, vad=FakeVAD(lag_windows=lag_windows))
    latency = phone.one(TurnLatency)
    assert latency.decided_at - latency.speech_ended_at == near(0.55)
    assert latency.transcript_at < latency.decided_at
    assert latency.first_audio_at < latency.decided_at  # made ahead, unheard
    assert latency.first_packet_at - latency.decided_at <= 0.02 + 1e-6  # the next frame of the room's clock
    assert latency.total_ms <= 570 + 1e-3


def test_without_preemption_the_model_is_asked_at_the_decision_and_adds_no_delay_of_ours():
    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await phone.speak(1000, 2000)

    phone = call(script, preemptive=False)
    latency = phone.one(TurnLatency)
    assert latency.first_token_at == latency.first_audio_at == latency.decided_at


def test_first_audio_is_out_before_the_model_has_finished():
    llm = FakeLLM(ModelTurn(("First I say this. ", "Then there is ", "a lot more."), between_ms=500))

    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await phone.speak(1000, 5000)

    phone = call(script, llm=llm, preemptive=False)
    assert phone.one(AgentStartedSpeaking).at < llm.finished_at[0] - 0.9
    assert phone.one(AgentMessage).text == "First I say this. Then there is a lot more."


def test_speech_that_goes_on_before_the_decision_discards_what_was_prepared():
    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await phone.speak(800, 400)
        await phone.speak(800, 2500)

    llm = FakeLLM("Wrong.", "Right.")
    phone = call(script, llm=llm, stt=FakeSTT("I would like", "to book a table"))
    assert [message.text for message in phone.of(UserMessage)] == ["I would like to book a table"]
    assert [message.text for message in phone.of(AgentMessage)] == ["Right."]
    assert [m.text for m in phone.session.history] == ["I would like to book a table", "Right."]
    assert len(llm.requests) == 2


def test_a_recognizer_of_whole_turns_gets_the_earlier_speech_again():
    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await phone.speak(800, 400)
        await phone.speak(800, 2500)

    stt = FakeSTT("I would like", "I would like to book", whole_turns=True)
    phone = call(script, stt=stt)
    assert phone.one(UserMessage).text == "I would like to book"
    times = [frame.at for frame in stt.frames]
    assert times.count(times[0]) == 2


def test_the_recognizer_gets_the_speech_and_300_ms_before_it():
    async def script(phone: Phone) -> None:
        await phone.wait(1000)
        await phone.speak(600, 2500)

    stt = FakeSTT("hello")
    phone = call(script, stt=stt)
    started = phone.one(UserStartedSpeaking).at
    assert started - stt.frames[0].at == pytest.approx(0.28, abs=0.021)
    assert len(stt.frames) == len({frame.at for frame in stt.frames})


def test_words_during_the_greeting_are_answered_after_what_may_not_be_interrupted():
    class Disclosing(Agent):
        async def on_enter(self, ctx: RunContext) -> None:
            ctx.session.say("This call is recorded for training and quality.", allow_interruptions=False)

    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 4000)

    phone = call(script, Disclosing(), llm=FakeLLM("Yes?"), stt=FakeSTT("I have a question"))
    disclosure, reply = phone.of(AgentMessage)
    assert not disclosure.interrupted
    assert phone.one(UserMessage).text == "I have a question"
    assert reply.text == "Yes?"
    assert reply.started_at > disclosure.at - 0.021


def test_words_spoken_before_the_session_was_up_are_heard():
    async def script(phone: Phone) -> None:
        await phone.wait(2000)

    async def early(phone: Phone) -> None:
        await phone.wait(0)

    import agent.testing.virtual_clock as clock
    from agent import AgentSession
    from agent.providers.fakes import FakeOffload

    async def run() -> Phone:
        session = AgentSession(
            llm=FakeLLM(), stt=FakeSTT("early words"), tts=FakeTTS(), vad=FakeVAD(), offload=FakeOffload()
        )
        phone = Phone(session)
        await phone.speak(600, 100)
        await session.start(agent=Agent(), room=phone.room, call=phone.call)
        await phone.wait(2000)
        await session.aclose()
        return phone

    phone = clock.run_virtual(run())
    assert phone.one(UserMessage).text == "early words"
    assert phone.one(UserTurnEnded).at - phone.one(UserStoppedSpeaking).at == near(0.55)


# --- tools --------------------------------------------------------------------------------------------------------


def tool_call(name: str, arguments: str = "{}", call_id: str = "c1") -> ToolCall:
    return ToolCall(call_id, name, arguments)


class Clerk(Agent):
    """You look things up."""

    @function_tool
    async def look_up(self, ctx: RunContext, number: int) -> str:
        """Look an order up.

        Args:
            number: The order's number.
        """
        await asyncio.sleep(ctx.userdata or 0)
        return f"order {number} is on its way"

    @function_tool
    async def refuse(self) -> str:
        raise ToolError("no such order")

    @function_tool
    async def crash(self) -> str:
        raise ZeroDivisionError("secret detail")

    @function_tool(timeout_s=2)
    async def hang(self) -> str:
        await asyncio.sleep(3600)
        return "never"

    @function_tool
    def blocking(self) -> dict[str, int]:
        return {"answer": 42}


def ask_tool(name: str, arguments: str = "{}", *, userdata: Any = None, wait_ms: float = 8000) -> tuple[Phone, FakeLLM]:
    llm = FakeLLM(ModelTurn(("Let me see. ", tool_call(name, arguments))), "Here you are.")

    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, wait_ms)

    return call(script, Clerk(), llm=llm, userdata=userdata), llm


def test_a_tool_runs_after_the_decision_beside_the_speech_and_the_model_reads_its_output():
    phone, llm = ask_tool("look_up", '{"number": 7}', userdata=0.3)
    called, output = phone.one(FunctionCall), phone.one(FunctionCallOutput)
    assert called.at == near(phone.one(UserTurnEnded).at)
    assert called.arguments == {"number": 7}
    assert (output.output, output.is_error, output.duration_ms) == ("order 7 is on its way", False, 300)
    before, after = phone.of(AgentMessage)
    assert before.text == "Let me see."
    assert output.at < before.at  # it ran while this was being said
    assert after.text == "Here you are."
    assert [message.role for message in llm.requests[1].messages] == ["system", "user", "assistant", "tool"]
    assert llm.requests[1].messages[2].tool_calls[0].name == "look_up"


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("look_up", '{"number": "seven"}', "number: Input should be a valid integer"),
        ("look_up", "{}", "number: Field required"),
        ("look_up", '{"number": 7, "color": "red"}', "color: Extra inputs are not permitted"),
        ("look_up", "{not json", "not valid JSON"),
        ("look_up", "[1]", "must be a JSON object"),
        ("refuse", "{}", "no such order"),
        ("crash", "{}", "crash failed with an internal error."),
        ("hang", "{}", "hang took too long and was given up."),
        ("invented", "{}", "There is no function invented."),
    ],
)
def test_what_goes_wrong_in_a_tool_is_told_to_the_model(name, arguments, said):
    phone, llm = ask_tool(name, arguments)
    output = phone.one(FunctionCallOutput)
    assert output.is_error
    assert said in output.output
    assert "secret" not in output.output
    assert phone.of(AgentMessage)[-1].text == "Here you are."
    assert llm.requests[1].messages[-1].is_error


def test_a_blocking_tool_runs_offloaded_and_its_value_becomes_json():
    phone, _ = ask_tool("blocking")
    assert phone.one(FunctionCallOutput).output == '{"answer":42}'


def test_a_slow_tool_is_bridged_once():
    phone, _ = ask_tool("look_up", '{"number": 1}', userdata=6.0, wait_ms=10_000)
    texts = [message.text for message in phone.of(AgentMessage)]
    assert texts == ["Let me see.", "One moment, please.", "Here you are."]
    assert phone.of(AgentMessage)[1].started_at - phone.one(FunctionCall).at == pytest.approx(3.0, abs=0.021)
    assert phone.of(SilencePrompted) == []


def test_the_silence_ladder_waits_for_a_tool():
    phone, _ = ask_tool("look_up", '{"number": 1}', userdata=9.5, wait_ms=13_000)
    assert phone.of(SilencePrompted) == []


def test_a_model_that_only_calls_tools_is_stopped():
    llm = FakeLLM(*[ModelTurn((tool_call("look_up", '{"number": 1}', f"c{n}"),)) for n in range(9)])

    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 5000)

    phone = call(script, Clerk(), llm=llm, max_tool_steps=3)
    assert len(phone.of(FunctionCall)) == 3
    assert llm.requests[3].tools == ()
    assert phone.one(AgentMessage).text == "I'm sorry, that didn't work just now."


def test_tokens_are_counted():
    llm = FakeLLM(ModelTurn(("Hi.", Usage(10, 3))), ModelTurn(("Ho.", Usage(20, 4))))

    async def script(phone: Phone) -> None:
        await phone.session.run(user_input="one")
        await phone.session.run(user_input="two")

    assert call(script, llm=llm).session.tokens == (30, 7)


# --- handoff ------------------------------------------------------------------------------------------------------


class Billing(Agent):
    """You know about invoices."""

    greeting = "Billing, how can I help?"
    rules = Rules((Intent("pay", ("i want to pay",)),))


class Front(Agent):
    """You answer first."""

    left = 0

    @function_tool
    async def billing(self) -> Agent:
        return Billing()

    @function_tool
    async def billing_with_words(self) -> tuple[Agent, str]:
        return Billing(), "One moment, here is billing."

    @function_tool
    async def quiet(self) -> Agent:
        return Agent(instructions="You take over.")

    async def on_exit(self, ctx: RunContext) -> None:
        self.left += 1


@pytest.mark.parametrize(
    ("tool", "words"),
    [
        ("billing", "Billing, how can I help?"),
        ("billing_with_words", "One moment, here is billing."),
        ("quiet", "I take over."),
    ],
)
def test_handoff(tool, words):
    llm = FakeLLM(ModelTurn((tool_call(tool),)), "I take over.")
    stt = FakeSTT("my bill")
    front = Front()

    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 5000)

    phone = call(script, front, llm=llm, stt=stt)
    assert phone.one(AgentHandoff).from_persona == "Front"
    assert [message.text for message in phone.of(AgentMessage)] == [words]
    assert front.left == 1
    if tool.startswith("billing"):
        assert stt.expectations[-1] == Expectations(phrases=("i want to pay", *COMMON["en"]))
        assert len(llm.requests) == 1
    else:
        assert llm.requests[1].messages[0].text == "You take over."


# --- keys ---------------------------------------------------------------------------------------------------------


class Menu(Agent):
    """You take numbers."""

    greeting = "Please key in your four digit number now, it is on your card."
    digits = DigitEntry(length=4)

    def __init__(self) -> None:
        super().__init__()
        self.keys = ""

    async def on_digit(self, ctx: RunContext, digit: str) -> None:
        self.keys += digit


async def _key(phone: Phone, keys: str, gap_ms: float = 200) -> None:
    for key in keys:
        phone.session.on_digit(key, phone.now)
        await phone.wait(gap_ms)


def test_keyed_digits_interrupt_and_become_a_turn():
    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await _key(phone, "1234")
        await phone.wait(3000)

    menu = Menu()
    phone = call(script, menu, llm=FakeLLM("Thank you."))
    greeting, reply = phone.of(AgentMessage)
    assert greeting.interrupted
    assert greeting.text == "Please key"
    assert menu.keys == "1234"
    assert len(phone.of(DigitReceived)) == 4
    message = phone.one(UserMessage)
    assert (message.text, message.source) == ("1234", "dtmf")
    assert phone.one(UserTurnEnded).reason == "digits"
    assert phone.one(UserTurnEnded).at == phone.of(DigitReceived)[-1].at
    assert reply.text == "Thank you."


def test_keyed_digits_complete_by_terminator_or_timeout():
    async def script(phone: Phone) -> None:
        await phone.wait(6000)
        await _key(phone, "12#")
        await phone.wait(2000)
        await _key(phone, "7")
        await phone.wait(5000)

    phone = call(script, Menu())
    assert [message.text for message in phone.of(UserMessage)] == ["12", "7"]
    last = phone.of(UserTurnEnded)[-1]
    assert last.at - phone.of(DigitReceived)[-1].at == near(3.0)


def test_without_an_entry_digits_only_reach_on_digit():
    class Keys(Menu):
        digits = None

    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await _key(phone, "5")
        await phone.wait(4000)

    keys = Keys()
    phone = call(script, keys)
    assert keys.keys == "5"
    assert phone.of(UserMessage) == []


# --- silence and the end ------------------------------------------------------------------------------------------


def test_silence_ladder_to_the_end():
    async def script(phone: Phone) -> None:
        await phone.closed()

    phone = call(script, Greeter())
    greeting, first, second, bye = phone.of(AgentMessage)
    assert [event.rung for event in phone.of(SilencePrompted)] == [1, 2, 3]
    assert phone.of(SilencePrompted)[0].at - greeting.at == pytest.approx(7.0, abs=0.025)
    assert phone.of(SilencePrompted)[1].at - first.at == pytest.approx(7.0, abs=0.025)
    assert first.text == "Are you still there?"
    assert second.kind == "silence_prompt"
    assert bye.kind == "farewell"
    assert phone.events[-1].reason == "caller_silent"
    assert len(phone.call.hung_up) == 1


def test_speech_and_keys_put_the_ladder_back():
    async def script(phone: Phone) -> None:
        await phone.wait(8500)
        await phone.speak(500, 8500)
        phone.session.on_digit("1", phone.now)
        await phone.wait(6900)

    phone = call(script, llm=FakeLLM("Good."))
    assert [event.rung for event in phone.of(SilencePrompted)] == [1, 1]


def assert_played_out(phone: Phone) -> None:
    """The farewell was heard to its last frame, and only then, and once, the call was hung up."""
    bye = phone.of(AgentMessage)[-1]
    assert bye.text == bye.full_text
    assert not bye.interrupted
    [(_, at)] = phone.call.hung_up
    assert at >= bye.at - 1e-6
    assert at - bye.at <= 0.05
    assert phone.call.played_ms_at_hang_up == phone.room.output.queued_ms


@pytest.mark.parametrize(
    ("turns", "last"),
    [
        ((ModelTurn((tool_call("end_call", '{"farewell": "Goodbye and good luck."}'),)),), "Goodbye and good luck."),
        ((ModelTurn(("Have a nice day. ", tool_call("end_call"))),), "Have a nice day."),
        ((ModelTurn((tool_call("end_call"),)), "Farewell then."), "Farewell then."),
        ((ModelTurn((tool_call("end_call"),)), ModelTurn(())), "Thank you for calling. Goodbye!"),
    ],
)
def test_end_call_plays_the_last_word_out_and_hangs_up_once(turns, last):
    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 900)
        await phone.speak(2000)  # over the farewell: it is not heard any more
        await phone.closed()

    phone = call(script, llm=FakeLLM(*turns), stt=FakeSTT("bye"))
    assert phone.of(AgentMessage)[-1].text == last
    assert_played_out(phone)
    assert phone.events[-1].reason == "agent_ended"
    assert len(phone.of(UserMessage)) == 1


def test_end_call_twice_ends_once():
    class Twice(Agent):
        @function_tool
        async def finish(self) -> EndCall:
            return EndCall("Bye.")

    turn = ModelTurn((tool_call("finish"), tool_call("end_call", call_id="c2")))

    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600)
        await phone.closed()
        phone.session.leg_ended()
        await phone.session.aclose("again")

    phone = call(script, Twice(), llm=FakeLLM(turn))
    assert len(phone.call.hung_up) == 1
    assert phone.types().count("session_closed") == 1


def test_max_length():
    async def script(phone: Phone) -> None:
        await phone.closed()

    phone = call(script, Greeter(), max_call_ms=5000)
    assert phone.events[-1].reason == "max_length"
    assert phone.of(AgentMessage)[-1].text.startswith("I'm sorry, we have come to the end")
    assert_played_out(phone)


def test_leg_ended_in_mid_sentence_closes_at_once_and_hangs_nothing_up():
    async def script(phone: Phone) -> None:
        await phone.wait(700)
        phone.session.leg_ended()
        closed = await phone.closed()
        assert closed.at - phone.began_at == pytest.approx(0.7, abs=0.001)

    phone = call(script, Greeter())
    message = phone.one(AgentMessage)
    assert (message.text, message.interrupted) == ("Hello, how can", True)
    assert phone.events[-1].reason == "leg_ended"
    assert phone.call.hung_up == []
    assert phone.session.history[-1].interrupted


def test_a_caller_who_hangs_up_during_the_farewell_closes_the_session_at_once():
    async def script(phone: Phone) -> None:
        await phone.wait(1500)
        draining = asyncio.create_task(phone.session.drain("A farewell of quite a few words, to be hung up in."))
        await phone.wait(600)
        phone.session.leg_ended()
        closed = await phone.closed()
        assert (closed.reason, closed.at - phone.began_at) == ("leg_ended", pytest.approx(2.1, abs=0.05))
        await draining

    phone = call(script, Greeter())
    assert phone.call.hung_up == []
    assert phone.types().count("session_closed") == 1


def test_drain_finishes_the_sentence_and_says_goodbye():
    class Talker(Agent):
        greeting = "This is the first sentence. This second one is never heard."

    async def script(phone: Phone) -> None:
        await phone.wait(500)
        await phone.session.drain()

    phone = call(script, Talker())
    greeting, bye = phone.of(AgentMessage)
    assert greeting.text == "This is the first sentence."
    assert bye.text.startswith("I'm sorry, I have to end this call now.")
    assert phone.events[-1].reason == "drained"
    assert_played_out(phone)


def test_a_tool_may_ask_the_caller_itself():
    class Asking(Agent):
        @function_tool(timeout_s=None)
        async def ask(self, ctx: RunContext) -> str:
            await ctx.session.say("Which day?")
            return f"the caller said {await ctx.session.next_message()}"

    llm = FakeLLM(ModelTurn((tool_call("ask"),)), "Done.")

    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 2500)
        await phone.speak(600, 2500)

    phone = call(script, Asking(), llm=llm, stt=FakeSTT("book", "Monday"))
    assert phone.one(FunctionCallOutput).output == "the caller said Monday"
    assert [message.text for message in phone.of(AgentMessage)] == ["Which day?", "Done."]
    assert [message.text for message in phone.of(UserMessage)] == ["book", "Monday"]


def test_two_runs_give_the_same_events():
    def run() -> list[dict[str, Any]]:
        llm = FakeLLM(ModelTurn(("Let me see. ", tool_call("look_up", '{"number": 7}'))), "Here you are, dear caller.")

        async def script(phone: Phone) -> None:
            await phone.wait(333)
            await phone.speak(700, 1200)
            await phone.speak(900, 3000)

        phone = call(script, Clerk(), llm=llm, vad=FakeVAD(lag_windows=2), userdata=0.4)
        return [event.to_dict() for event in phone.events]

    first, second = run(), run()
    assert len(first) > 10
    assert first == second


def test_options_are_frozen_and_checked():
    from agent import SessionOptions

    with pytest.raises(ValueError, match="end_silence_ms"):
        SessionOptions(end_silence_ms=0)
    with pytest.raises(ValueError, match="backchannel_max_ms"):
        replace(SessionOptions(), backchannel_max_ms=100)
