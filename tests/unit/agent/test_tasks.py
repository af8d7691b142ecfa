"""Tasks on the stack: a tool or a hook awaits one, and the reply that called it continues with the result."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from phone import Phone, call
from task_desk import Day, Desk, calls, conversation, said

from agent import Agent, RunContext, SessionMisuse, StopResponse, UserTurn, function_tool
from agent.events import (
    AgentHandoff,
    AgentMessage,
    FunctionCallOutput,
    SessionEvent,
    SilencePrompted,
    TaskCompleted,
    TaskStarted,
    TurnLatency,
    UserMessage,
)
from agent.providers.fakes import FakeLLM, FakeSTT
from agent.tasks import Task
from agent.turns.digits import DigitEntry


def test_the_reply_is_suspended_while_the_task_talks_and_listens_and_goes_on_with_its_result():
    llm = FakeLLM(calls("book"), calls("is_monday"), "Done, Monday.")
    desk = Desk()
    phone = call(agent=desk, llm=llm, **conversation("a table", "monday"))
    assert said(phone) == ["Which day?", "Done, Monday."]
    assert desk.seen == ["Monday"] and desk.day.left == 1
    assert (phone.one(TaskStarted).task, phone.one(TaskStarted).persona) == ("Day", "Desk")
    done = phone.one(TaskCompleted)
    assert (done.task, done.outcome, done.result) == ("Day", "completed", "Monday")
    assert [output.output for output in phone.of(FunctionCallOutput)] == ["done", "booked for Monday"]
    first, second, third = llm.requests
    assert first.messages[0].text == third.messages[0].text == "You book tables."
    assert second.messages[0].text == "You ask which day suits the caller."
    assert set(second.tools) >= {"is_monday", "none_suits"}
    assert "book" not in set(second.tools)
    assert [(message.role, message.text) for message in second.messages[1:]] == [
        ("user", "a table"),
        ("assistant", "Which day?"),
        ("user", "monday"),
    ]
    assert [message.role for message in third.messages[1:]] == [
        *("user", "assistant", "user", "assistant", "tool", "assistant", "tool"),
    ]
    assert third.messages[-1].text == "booked for Monday"


def test_a_task_takes_as_long_as_the_caller_does_whatever_the_tool_s_time_limit():
    llm = FakeLLM(calls("book"), "Pardon?", calls("is_monday"), "Done.")
    phone = call(agent=Desk(), llm=llm, **conversation("a table", "hm, wait", "monday", between_ms=12_000))
    assert said(phone) == ["Which day?", "Pardon?", "Done."]
    assert phone.one(TaskCompleted).duration_ms > 10_000
    assert not any(output.is_error for output in phone.of(FunctionCallOutput))


def test_each_turn_has_its_own_latency_and_none_that_of_the_whole_task():
    llm = FakeLLM(calls("book"), calls("is_monday"), "Done.")
    phone = call(agent=Desk(), llm=llm, **conversation("a table", "monday", between_ms=6000))
    times = [latency for latency in phone.of(TurnLatency) if latency.speech_ended_at is not None]
    assert [latency.turn for latency in times] == [1, 2]
    assert all(latency.first_packet_at - latency.speech_ended_at < 1.5 for latency in times)


def test_a_barge_in_at_the_task_s_question_is_answered_by_the_task():
    llm = FakeLLM(calls("book"), calls("is_monday"), "Done.")
    desk = Desk(greeting="Which day would suit you best, Monday or Tuesday or rather the weekend?")

    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 1800)
        await phone.speak(900, 4000)

    phone = call(script, desk, llm=llm, stt=FakeSTT("a table", "on monday please"), away_ms=None)
    question, done = phone.of(AgentMessage)
    assert question.interrupted and question.kind == "greeting"
    assert done.text == "Done."
    assert desk.seen == ["Monday"]


def test_the_silence_ladder_asks_within_a_task():
    llm = FakeLLM(calls("book"))

    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600)
        await phone.until(SilencePrompted)

    phone = call(script, Desk(), llm=llm, stt=FakeSTT("a table"))
    assert phone.of(SilencePrompted)[0].rung == 1


def test_the_task_has_the_keys_and_what_was_keyed_before_is_the_persona_s():
    class Pin(Task[str]):
        """You ask for the PIN."""

        greeting = "Your PIN?"
        digits = DigitEntry(length=4, secret=True)

        async def on_user_turn_completed(self, ctx: RunContext, turn: UserTurn) -> None:
            self.complete(turn.text)
            raise StopResponse

    class Bank(Agent):
        """You are a bank."""

        digits = DigitEntry(length=2)

        @function_tool
        async def identify(self) -> str:
            return f"the caller has {len(await Pin())} digits"

    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 3000)
        for key in "1234":
            phone.session.on_digit(key, phone.now)
            await phone.wait(200)
        await phone.wait(3000)
        for key in "56":
            phone.session.on_digit(key, phone.now)
            await phone.wait(200)
        await phone.wait(3000)

    llm = FakeLLM(calls("identify"), "Thank you.", "Fifty-six.")
    phone = call(script, Bank(), llm=llm, stt=FakeSTT("my account"), away_ms=None)
    assert said(phone) == ["Your PIN?", "Thank you.", "Fifty-six."]
    assert [message.text for message in phone.of(UserMessage)] == ["my account", "••••", "56"]
    assert phone.one(TaskCompleted).result == "••••"


def test_tasks_within_tasks():
    class Slot(Task[str]):
        """You find a slot."""

        greeting = "Morning or evening?"

        def __init__(self, day: Day) -> None:
            super().__init__()
            self._day = day

        @function_tool
        async def evening(self) -> None:
            self.complete(f"{await self._day} evening")

    class Host(Agent):
        """You book."""

        @function_tool
        async def book(self) -> str:
            return f"booked for {await Slot(Day())}"

    llm = FakeLLM(calls("book"), calls("evening"), calls("is_monday"), "See you.")
    phone = call(agent=Host(), llm=llm, **conversation("a table", "evening", "monday"))
    assert said(phone) == ["Morning or evening?", "Which day?", "See you."]
    assert [(event.task, event.persona) for event in phone.of(TaskStarted)] == [("Slot", "Host"), ("Day", "Slot")]
    assert [(event.task, event.result) for event in phone.of(TaskCompleted)] == [
        ("Day", "Monday"),
        ("Slot", "Monday evening"),
    ]
    assert phone.of(FunctionCallOutput)[-1].output == "booked for Monday evening"


def test_of_tasks_in_tools_that_run_side_by_side_one_waits_for_the_other():
    class Host(Agent):
        """You book."""

        @function_tool
        async def first(self) -> str:
            return f"first: {await Day()}"

        @function_tool
        async def second(self) -> str:
            return f"second: {await Day()}"

    llm = FakeLLM(calls("first", "second"), calls("is_monday"), calls("is_monday"), "Both done.")
    phone = call(agent=Host(), llm=llm, **conversation("two tables", "monday", "monday"))
    assert said(phone) == ["Which day?", "Which day?", "Both done."]
    started, done = phone.of(TaskStarted), phone.of(TaskCompleted)
    assert started[1].at >= done[0].at
    assert [output.output for output in phone.of(FunctionCallOutput)][-2:] != []
    assert {"first: Monday", "second: Monday"} <= {output.output for output in phone.of(FunctionCallOutput)}


def test_a_tool_beside_the_task_s_ends_by_itself():
    llm = FakeLLM(calls("book", "look"), calls("is_monday"), "Done.")
    phone = call(agent=Desk(), llm=llm, **conversation("a table", "monday"))
    assert {"booked for Monday", "two tables"} <= {output.output for output in phone.of(FunctionCallOutput)}
    assert said(phone)[-1] == "Done."


def test_a_hook_awaits_a_task():
    class Host(Agent):
        """You book."""

        greeting = "Good evening."

        def __init__(self) -> None:
            super().__init__()
            self.day = ""

        async def on_enter(self, ctx: RunContext) -> None:
            self.day = await Day()
            await ctx.session.generate_reply(instructions="Confirm it.")

    host = Host()
    llm = FakeLLM(calls("is_monday"), "Monday then.", "Yes.")
    phone = call(agent=host, llm=llm, **conversation("monday", "right?", first_ms=14_000))
    assert host.day == "Monday"
    assert said(phone) == ["Good evening.", "Which day?", "Monday then.", "Yes."]


def test_a_task_without_a_greeting_lets_its_model_speak():
    class Quiet(Day):
        greeting = ""

    desk = Desk()
    desk.day = Quiet()
    llm = FakeLLM(calls("book"), "When shall it be?", calls("is_monday"), "Done.")
    phone = call(agent=desk, llm=llm, **conversation("a table", "monday"))
    assert said(phone) == ["When shall it be?", "Done."]


def test_a_task_has_the_voice_of_whoever_awaits_it_unless_it_has_its_own():
    class German(Agent):
        """Du buchst."""

        language, voice = "de", "anna"

        @function_tool
        async def book(self) -> str:
            self.day = Day()
            return await self.day

    class English(Day):
        language = "en"

    agent = German()
    phone = call(agent=agent, llm=FakeLLM(calls("book")), **conversation("ein Tisch"))
    assert phone.of(TaskStarted)
    assert (agent.day.language, agent.day.voice) == ("de", "anna")
    english = English()
    english._result = None
    assert english._sets("language") and not english._sets("voice")


def test_misuse_is_told():
    class Host(Agent):
        """You book."""

        def __init__(self) -> None:
            super().__init__()
            self.errors: list[str] = []

        @function_tool
        async def twice(self) -> str:
            day = Day()
            await day
            try:
                await day
            except SessionMisuse as error:
                self.errors.append(str(error))
            return "ok"

        @function_tool
        async def hands_over_to_it(self) -> tuple[Agent, str]:
            return Day(), "One moment."

    async def outside() -> None:
        with pytest.raises(SessionMisuse, match="not awaited in a tool or hook"):
            await Day()
        with pytest.raises(SessionMisuse, match="has not begun"):
            Day().complete("Monday")

    asyncio.run(outside())
    host = Host()
    llm = FakeLLM(calls("twice"), calls("is_monday"), "Fine.", calls("hands_over_to_it"), "Sorry.")
    phone = call(agent=host, llm=llm, **conversation("a table", "monday", "again"))
    assert host.errors == ["the task Day was awaited before: create another one"]
    assert phone.of(FunctionCallOutput)[-1].is_error
    assert phone.of(AgentHandoff) == []


@pytest.mark.parametrize("blocking", [False, True])
def test_a_tool_may_return_a_task_instead_of_awaiting_it(blocking):
    class Host(Agent):
        """You book."""

        if blocking:

            @function_tool
            def book(self) -> Day:
                return Day()
        else:

            @function_tool
            async def book(self) -> Day:
                return Day()

    stt = FakeSTT("a table", "monday")
    llm = FakeLLM(calls("book"), calls("is_monday"), "Done.")
    phone = call(agent=Host(), llm=llm, **{**conversation("a table", "monday"), "stt": stt})
    assert phone.of(FunctionCallOutput)[-1].output == "Monday"
    assert stt.closed == 1, "recognition goes on through the task"


def test_text_turns_go_to_the_task_and_two_runs_give_the_same_events():
    def run() -> list[dict[str, Any]]:
        async def script(phone: Phone) -> None:
            first = await phone.session.run(user_input="a table")
            assert first.text == "Which day?"
            second = await phone.session.run(user_input="monday")
            assert second.text == "Done."

        llm = FakeLLM(calls("book"), calls("is_monday"), "Done.")
        phone = call(script, Desk(), llm=llm)
        return [event.to_dict() for event in phone.events]

    assert run() == run()


def test_events_survive_json():
    from agent.events import event_from_dict

    for event in (TaskStarted(1.0, "Day", "Desk"), TaskCompleted(2.0, "Day", "completed", "Monday", 1000.0)):
        assert isinstance(event, SessionEvent)
        assert event_from_dict(event.to_dict()) == event
