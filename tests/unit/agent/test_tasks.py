"""Tasks on the stack: a tool or a hook awaits one, and the reply that called it goes on with the result."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from phone import Phone, call

from agent import Agent, EndCall, RunContext, SessionMisuse, StopResponse, ToolError, UserTurn, function_tool
from agent.events import (
    AgentHandoff,
    AgentMessage,
    FunctionCallOutput,
    SessionClosed,
    SessionEvent,
    SilencePrompted,
    TaskCompleted,
    TaskStarted,
    TurnLatency,
    UserMessage,
)
from agent.providers.base import ToolCall
from agent.providers.fakes import FakeLLM, FakeSTT, ModelTurn
from agent.tasks import Task, TaskAbandoned
from agent.turns.digits import DigitEntry
from agent.worker.resumption import restored_history, snapshot_of


def calls(*names: str) -> ModelTurn:
    return ModelTurn(tuple(ToolCall(f"{name}-{n}", name, "{}") for n, name in enumerate(names)))


class Day(Task[str]):
    """You ask which day suits the caller."""

    greeting = "Which day?"

    def __init__(self) -> None:
        super().__init__()
        self.left = 0

    @function_tool
    async def is_monday(self) -> None:
        """Monday it is."""
        self.complete("Monday")

    @function_tool
    async def none_suits(self) -> None:
        self.fail(ToolError("no day suits the caller"))

    @function_tool
    async def breaks(self) -> None:
        self.fail(ZeroDivisionError("a detail"))

    @function_tool
    async def to_billing(self) -> Agent:
        return Billing()

    @function_tool
    async def ends(self) -> EndCall:
        return EndCall("Bye then.")

    async def on_exit(self, ctx: RunContext) -> None:
        self.left += 1


class Billing(Agent):
    """You know about invoices."""

    greeting = "Billing here."


class Desk(Agent):
    """You book tables."""

    digits = DigitEntry(length=2)

    def __init__(self, **task: Any) -> None:
        super().__init__()
        self.day = Day()
        for name, value in task.items():
            setattr(self.day, name, value)
        self.seen: list[object] = []

    @function_tool
    async def book(self, ctx: RunContext) -> str:
        """Book a table."""
        try:
            day = await self.day
        except BaseException as error:
            self.seen.append(error)
            raise
        assert ctx.session.agent is self
        self.seen.append(day)
        return f"booked for {day}"

    @function_tool
    async def look(self) -> str:
        await asyncio.sleep(1)
        return "two tables"


def conversation(*sentences: str, between_ms: float = 4000, first_ms: float = 200) -> Any:
    async def script(phone: Phone) -> None:
        await phone.wait(first_ms)
        for _ in sentences:
            await phone.speak(600, between_ms)

    return {"script": script, "stt": FakeSTT(*sentences), "away_ms": None}


def said(phone: Phone) -> list[str]:
    return [message.text for message in phone.of(AgentMessage)]


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


@pytest.mark.parametrize(
    ("tool", "outcome", "read"),
    [
        ("none_suits", "failed", "no day suits the caller"),
        ("breaks", "failed", "book failed with an internal error."),
    ],
)
def test_what_a_task_fails_with_is_raised_where_it_is_awaited(tool, outcome, read):
    llm = FakeLLM(calls("book"), calls(tool), "I'm sorry.")
    phone = call(agent=Desk(), llm=llm, **conversation("a table", "no"))
    assert said(phone) == ["Which day?", "I'm sorry."]
    assert phone.one(TaskCompleted).outcome == outcome
    last = phone.of(FunctionCallOutput)[-1]
    assert last.is_error and last.output == read


def test_a_task_whose_on_enter_raises_has_failed():
    class Broken(Day):
        async def on_enter(self, ctx: RunContext) -> None:
            raise LookupError("no calendar")

    desk = Desk()
    desk.day = Broken()
    phone = call(agent=desk, llm=FakeLLM(calls("book"), "I'm sorry."), **conversation("a table"))
    assert phone.one(TaskCompleted).outcome == "failed"
    assert isinstance(desk.seen[0], LookupError)
    assert said(phone)[-1] == "I'm sorry."


def test_a_task_s_time_limit():
    llm = FakeLLM(calls("book"), "Let us leave that.")
    desk = Desk(timeout_s=5.0)
    phone = call(agent=desk, llm=llm, **conversation("a table", between_ms=10_000))
    done = phone.one(TaskCompleted)
    assert (done.outcome, done.duration_ms) == ("timed_out", 5000)
    assert phone.one(FunctionCallOutput).output == "Day got no result within 5 s."
    assert said(phone) == ["Which day?", "Let us leave that."]


def test_a_time_limit_stands_still_while_the_caller_holds():
    desk = Desk(timeout_s=8.0)

    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 3000)
        phone.session.on_hold(phone.now)
        await phone.wait(20_000)
        phone.session.on_resume(phone.now)
        await phone.wait(1500)
        await phone.speak(600, 4000)

    llm = FakeLLM(calls("book"), calls("is_monday"), "Done.")
    phone = call(script, desk, llm=llm, stt=FakeSTT("a table", "monday"), away_ms=None)
    assert phone.one(TaskCompleted).outcome == "completed"
    assert said(phone) == ["Which day?", "I'm here.", "Which day?", "Done."]


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


def test_the_caller_hangs_up_amid_a_task():
    desk = Desk()

    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 3000)
        phone.session.leg_ended()
        closed = await phone.closed()
        assert closed.reason == "leg_ended"

    phone = call(script, desk, llm=FakeLLM(calls("book")), stt=FakeSTT("a table"), away_ms=None)
    assert phone.one(TaskCompleted).outcome == "cancelled"
    assert isinstance(desk.seen[0], asyncio.CancelledError)
    assert desk.day.left == 1
    assert phone.types()[-1] == "session_closed"


def test_a_drain_ends_a_task_that_waits():
    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 3000)
        await phone.session.drain()

    phone = call(script, Desk(), llm=FakeLLM(calls("book")), stt=FakeSTT("a table"), away_ms=None)
    assert phone.one(SessionClosed).reason == "drained"
    assert phone.one(TaskCompleted).outcome == "cancelled"
    assert said(phone)[0] == "Which day?" and phone.of(AgentMessage)[-1].kind == "farewell"
    assert phone.call.hung_up


def test_the_call_may_end_within_a_task():
    llm = FakeLLM(calls("book"), calls("ends"))
    phone = call(agent=Desk(), llm=llm, **conversation("a table", "never mind"))
    assert phone.one(SessionClosed).reason == "agent_ended"
    assert said(phone) == ["Which day?", "Bye then."]
    assert phone.one(TaskCompleted).outcome == "cancelled"


def test_a_handoff_out_of_a_task_ends_whatever_waits_for_it():
    llm = FakeLLM(calls("book"), calls("to_billing"), "It is paid.")
    desk = Desk()
    phone = call(agent=desk, llm=llm, **conversation("a table", "no, my bill", "and now?"))
    assert said(phone) == ["Which day?", "Billing here.", "It is paid."]
    assert phone.one(AgentHandoff).from_persona == "Day" and phone.one(AgentHandoff).to_persona == "Billing"
    assert phone.one(TaskCompleted).outcome == "handed_over"
    assert isinstance(desk.seen[0], TaskAbandoned) and desk.day.left == 1
    assert len(llm.requests) == 3
    assert llm.requests[2].messages[0].text == "You know about invoices."
    assert type(phone.session.agent) is type(phone.session.persona) is Billing


def test_a_tool_may_give_up_on_its_task():
    class Host(Agent):
        """You book."""

        @function_tool
        async def book(self) -> str:
            try:
                async with asyncio.timeout(3):
                    return await Day()
            except TimeoutError:
                return "no day"

    llm = FakeLLM(calls("book"), "Another time.", "Yes?")
    phone = call(agent=Host(), llm=llm, **conversation("a table", "hello", between_ms=6000))
    assert phone.one(TaskCompleted).outcome == "cancelled"
    assert phone.one(FunctionCallOutput).output == "no day"
    assert said(phone) == ["Which day?", "Another time.", "Yes?"]


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
    assert host.errors == ["the task Day was awaited before: make another one"]
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


def test_a_tool_awaits_a_reply_of_the_model():
    class Host(Agent):
        """You book."""

        @function_tool
        async def book(self, ctx: RunContext) -> str:
            handle = await ctx.session.generate_reply(instructions="Say that it takes a while.")
            return f"said: {handle.text}"

    llm = FakeLLM(calls("book"), "It takes a while.", "Done.")
    phone = call(agent=Host(), llm=llm, **conversation("a table"))
    assert said(phone) == ["It takes a while.", "Done."]
    assert phone.one(FunctionCallOutput).output == "said: It takes a while."
    assert llm.requests[1].messages[0].text.endswith("Say that it takes a while.")


def test_a_reply_that_no_tool_awaits_comes_after_the_one_that_called_it():
    class Host(Agent):
        """You book."""

        @function_tool
        async def book(self, ctx: RunContext) -> str:
            ctx.session.generate_reply(instructions="Offer a drink.")
            return "ok"

    llm = FakeLLM(calls("book"), "Done.", "A drink?")
    phone = call(agent=Host(), llm=llm, **conversation("a table"))
    assert said(phone) == ["Done.", "A drink?"]


def test_replies_that_tools_await_side_by_side_come_one_after_the_other():
    class Host(Agent):
        """You book."""

        @function_tool
        async def one(self, ctx: RunContext) -> str:
            return (await ctx.session.generate_reply(instructions="One.")).text

        @function_tool
        async def two(self, ctx: RunContext) -> str:
            first, second = ctx.session.generate_reply(), ctx.session.generate_reply()
            await asyncio.gather(first, second)
            return first.text + second.text

    llm = FakeLLM(calls("one", "two"), "A.", "B.", "C.", "Done.")
    phone = call(agent=Host(), llm=llm, **conversation("a table", between_ms=8000))
    assert said(phone) == ["A.", "B.", "C.", "Done."]


def test_a_reply_within_a_tool_may_be_interrupted_and_the_caller_is_answered():
    class Host(Agent):
        """You book."""

        @function_tool
        async def book(self, ctx: RunContext) -> str:
            handle = await ctx.session.generate_reply()
            return f"interrupted: {handle.interrupted}"

    async def script(phone: Phone) -> None:
        await phone.wait(200)
        await phone.speak(600, 2000)
        await phone.speak(900, 5000)

    llm = FakeLLM(calls("book"), "A very long story that nobody wants to hear to its end at all.", "All right.")
    phone = call(script, Host(), llm=llm, stt=FakeSTT("a table", "stop that please"), away_ms=None)
    assert phone.one(FunctionCallOutput).output == "interrupted: True"
    assert said(phone)[-1] == "All right."


def test_hooks_that_a_reply_waits_for_may_await_one():
    class Host(Agent):
        """You book."""

        async def on_user_turn_completed(self, ctx: RunContext, turn: UserTurn) -> None:
            await ctx.session.generate_reply(instructions="Say that you heard it.")

        async def on_exit(self, ctx: RunContext) -> None:
            await ctx.session.generate_reply(instructions="Say goodbye.")

        @function_tool
        async def billing(self) -> Agent:
            return Billing()

    llm = FakeLLM("Heard.", calls("billing"), "Bye.")
    phone = call(agent=Host(), llm=llm, **conversation("a table", between_ms=8000))
    assert said(phone) == ["Heard.", "Bye.", "Billing here."]


def test_models_that_call_each_other_s_tools_come_to_an_end():
    class Host(Agent):
        """You book."""

        @function_tool
        async def again(self, ctx: RunContext) -> str:
            return (await ctx.session.generate_reply()).text

    llm = FakeLLM(*[calls("again") for _ in range(60)], "Enough.")
    phone = call(agent=Host(), llm=llm, **conversation("a table", between_ms=60_000))
    assert phone.of(FunctionCallOutput)
    assert not phone.session._started().talker.working


def test_ask_gives_the_caller_s_next_words():
    class Host(Agent):
        """You book."""

        @function_tool
        async def book(self, ctx: RunContext) -> str:
            return f"for {await ctx.ask('What name?')}"

    llm = FakeLLM(calls("book"), "Done.")
    phone = call(agent=Host(), llm=llm, **conversation("a table", "Miller", between_ms=12_000))
    assert phone.one(FunctionCallOutput).output == "for Miller"
    assert said(phone) == ["What name?", "Done."]


def test_words_for_a_task_are_not_taken_by_a_tool_that_waits_below_it():
    class Host(Agent):
        """You book."""

        @function_tool
        async def name(self, ctx: RunContext) -> str:
            await asyncio.sleep(0.1)
            return f"for {await ctx.session.next_message()}"

        @function_tool
        async def book(self) -> str:
            return await Day()

    llm = FakeLLM(calls("name", "book"), calls("is_monday"), "Done.")
    phone = call(agent=Host(), llm=llm, **conversation("a table", "monday", "Miller"))
    outputs = [output.output for output in phone.of(FunctionCallOutput)]
    assert "Monday" in outputs and "for Miller" in outputs
    assert said(phone) == ["Which day?", "Done."]


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


def test_a_conversation_that_is_lost_amid_a_task_asks_the_persona_s_model_again():
    snapshots: list[dict[str, Any]] = []

    async def script(phone: Phone) -> None:
        await phone.session.run(user_input="a table")
        snapshots.append(snapshot_of(phone.session))

    call(script, Desk(), llm=FakeLLM(calls("book")))
    assert snapshots[0]["persona"].endswith(":Desk")
    assert [(message.role, message.text) for message in restored_history(snapshots[0])] == [("user", "a table")]


def test_events_survive_json():
    from agent.events import event_from_dict

    for event in (TaskStarted(1.0, "Day", "Desk"), TaskCompleted(2.0, "Day", "completed", "Monday", 1000.0)):
        assert isinstance(event, SessionEvent)
        assert event_from_dict(event.to_dict()) == event
