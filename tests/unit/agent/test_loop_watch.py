"""A persona's function that blocks the event loop is named, its calls are spoken to, and finally it is given up."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
from typing import Any

import pytest

from agent import Agent, AgentSession, RunContext, function_tool
from agent.events import FunctionBlocked, FunctionCallOutput, SessionEvent
from agent.loop_watch import Blocked, LoopWatch, watch_of
from agent.pipeline.canned import CannedAudio, in_spoken_form, place_of
from agent.providers.base import ToolCall
from agent.providers.fakes import FakeLLM, ModelTurn
from agent.turns.blocked import Announce, LastResort, LoopBlock, Name
from telephony.rooms.fakes import FakeParticipant
from telephony.rooms.playout import PlayoutQueue


def test_what_is_done_by_how_long_the_loop_stands_still():
    block = LoopBlock()
    assert block.tick(0.09, known=True) == ()
    assert block.tick(0.1, known=True) == (Name(),)
    assert block.tick(2.9, known=True) == ()
    assert block.tick(3.0, known=True) == (Announce("one_moment"),)
    assert block.tick(8.0, known=True) == (Announce("still_working"),)
    assert block.tick(12.0, known=True) == (LastResort(),)
    assert block.tick(99.0, known=True) == ()


def test_code_that_is_nobodys_function_is_named_after_a_second():
    block = LoopBlock()
    assert block.tick(0.9, known=False) == ()
    assert block.tick(1.0, known=False) == (Name(),)


seen = threading.Event()  # the watch has told that the loop stands still


class Heavy(Agent):
    @function_tool
    async def crunch(self) -> str:
        assert stand_still()
        return "done"

    @function_tool(blocking=True)
    async def apart(self) -> str:
        time.sleep(0.4)
        return threading.current_thread().name

    async def on_enter(self, ctx: RunContext) -> None:
        if ctx.userdata:
            assert stand_still()


def stand_still() -> bool:
    """Block the loop until the watch has seen it for half a second, however long that takes on a busy machine."""
    seen.clear()
    return seen.wait(30)


def ask(name: str, *, blocks: int = 0, userdata: Any = None, times: int = 1) -> list[SessionEvent]:
    """`blocks`: how often the loop is blocked and reported."""

    async def run() -> list[SessionEvent]:
        watch_of(asyncio.get_running_loop()).on_blocked = lambda name, blocked_ms: seen.set()
        turns = [turn for _ in range(times) for turn in (ModelTurn((ToolCall("c1", name, "{}"),)), "Well.")]
        session = AgentSession(llm=FakeLLM(*turns), userdata=userdata)
        events: list[SessionEvent] = []
        told = asyncio.Semaphore(0)

        def note(event: SessionEvent) -> None:
            events.append(event)
            if isinstance(event, FunctionBlocked):
                told.release()

        session.subscribe(note)
        await session.start(agent=Heavy())
        for _ in range(times):
            await session.run(user_input="go")
        async with asyncio.timeout(30):
            for _ in range(blocks):
                await told.acquire()
        await session.aclose()
        return events

    return asyncio.run(run())


def test_the_function_and_its_stack_are_in_the_log_once_and_in_the_events_each_time(caplog):
    caplog.set_level(logging.WARNING)
    began = time.monotonic()
    blocked = [event for event in ask("crunch", blocks=2, times=2) if isinstance(event, FunctionBlocked)]
    assert [event.name for event in blocked] == ["tool crunch"] * 2
    assert all(event.blocked_ms >= 500 for event in blocked)
    assert sum(event.blocked_ms for event in blocked) < (time.monotonic() - began) * 1000
    assert any("in crunch" in line for line in blocked[0].stack)
    told = [
        line for record in caplog.records if (line := record.getMessage()).startswith("tool crunch blocks the event")
    ]
    assert len(told) == 1
    assert "test_loop_watch.py" in told[0]


def test_a_hook_is_named_too():
    blocked = [event for event in ask("apart", blocks=1, userdata=True) if isinstance(event, FunctionBlocked)]
    assert [event.name for event in blocked] == ["Heavy.on_enter"]


def test_a_coroutine_that_says_it_blocks_runs_apart():
    events = ask("apart")
    assert not [event for event in events if isinstance(event, FunctionBlocked)]
    output = next(event for event in events if isinstance(event, FunctionCallOutput))
    assert output.output.startswith("tool-")


class FakeSession:
    def __init__(self) -> None:
        self.announced: list[str] = []
        self.blocked: list[Blocked] = []
        self.told = asyncio.Event()

    def loop_blocked(self, blocked: Blocked) -> None:
        self.blocked.append(blocked)
        self.told.set()

    def announce(self, canned: str) -> float:
        self.announced.append(canned)
        return 2.0


def block_until(last: str, *, last_resort: bool) -> tuple[FakeSession, FakeSession, list[str], list[str]]:
    """Block the loop until the watch has gone this far: an announcement to all, or the last resort."""
    own, neighbour, told, given_up = FakeSession(), FakeSession(), list[str](), list[str]()
    done = threading.Event()

    def on_blocked(name: str, blocked_ms: float) -> None:
        told.append(name)
        if last in neighbour.announced:
            done.set()

    def give_up(name: str) -> None:
        given_up.append(name)
        done.set()

    async def run() -> None:
        watch = LoopWatch(asyncio.get_running_loop(), pace=20)
        watch.on_blocked = on_blocked
        watch.last_resort = give_up if last_resort else None

        async def tool() -> None:
            watch.runs(own, "tool look")
            watch.join(own)  # from now on it is watched: what came before cannot be taken for the tool's fault
            watch.join(neighbour)
            assert done.wait(30)

        await asyncio.create_task(tool())
        async with asyncio.timeout(30):
            await own.told.wait()
        watch.leave(own)
        watch.leave(neighbour)

    asyncio.run(run())
    return own, neighbour, told, given_up


def test_all_calls_of_the_process_are_spoken_to_and_the_gateway_hears_that_it_lives():
    own, neighbour, told, given_up = block_until("still_working", last_resort=False)
    assert own.announced == neighbour.announced == ["one_moment", "still_working"]
    assert set(told) == {"tool look"}
    assert [blocked.name for blocked in own.blocked] == ["tool look"]
    assert neighbour.blocked == []
    assert given_up == []


def test_the_last_resort_comes_after_goodbye():
    own, neighbour, _, given_up = block_until("", last_resort=True)
    assert own.announced == neighbour.announced == ["one_moment", "still_working", "goodbye_error"]
    assert given_up == ["tool look"]


def test_the_watch_ends_with_its_loop():
    async def run() -> threading.Thread:
        watch = watch_of(asyncio.get_running_loop())
        session = FakeSession()
        watch.join(session)
        thread = watch._thread
        assert thread is not None
        return thread

    thread = asyncio.run(run())
    gc.collect()
    thread.join(2)
    assert not thread.is_alive()


def test_a_session_announces_what_was_made_ahead():
    async def run() -> bytes:
        room = FakeParticipant()
        canned = CannedAudio()
        agent = Heavy()
        canned._audio[place_of(agent, in_spoken_form(agent, "one_moment"))] = b"\x01\x00" * 500
        session = AgentSession(llm=FakeLLM(), canned_audio=canned)
        await session.start(agent=agent, room=room)
        watch = watch_of(asyncio.get_running_loop())
        assert watch._sessions[0].announce("one_moment") == pytest.approx(0.0625)
        assert session._running is not None
        running = session._running
        assert running.bridging._last_sound_at > running.runtime.now(), "a second word right behind it is not due"
        taken = room.output.advance(80, 1.0)
        await session.aclose()
        assert watch._sessions == []
        return taken

    assert asyncio.run(run()) == (b"\x01\x00" * 500).ljust(1280, b"\0")


def test_an_announcement_fills_silence_has_no_position_and_ends_with_speech():
    queue = PlayoutQueue(lambda callback: callback())
    queue.push(b"\x02\x00" * 160)
    queue.announce(b"\x01\x00" * 320)
    assert queue.take(0.02) == b"\x02\x00" * 160
    assert queue.take(0.04) == b"\x01\x00" * 160
    assert (queue.queued_ms, queue.played_ms) == (20.0, 20.0)
    queue.push(b"\x02\x00" * 160)
    assert queue.take(0.06) == b"\x02\x00" * 160
    assert queue.take(0.08) is None
