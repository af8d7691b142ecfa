"""A call and its one owner, on virtual time: what goes wrong, and recordings."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from call_world import CallWorld, call
from personas_called import HangsEntering

from agent.pipeline.running import RunningSession
from agent.providers.base import ProviderRejected, ProviderUnavailable
from agent.providers.fakes import FakeLLM, FakeTTS, ModelTurn
from agent.testing.virtual_clock import run_virtual
from telephony.call import LegAcknowledged, LegAnswered, LegEnded
from telephony.errors import PjsipError
from telephony.fakes import statistics
from telephony.media.recording import WavRecorder


async def wait(seconds: float) -> None:
    await asyncio.sleep(seconds)


# --- what goes wrong ------------------------------------------------------------------------------------------------


def test_a_session_that_raises_hangs_up_and_the_record_has_the_error():
    async def script(world: CallWorld) -> None:
        await wait(2)

    world = call(script, "BadGreeting")
    assert world.done() == ["ring", "answer", "hang_up"]
    assert world.outcome == ("answered", "system", "RuntimeError: the greeting's own fault")


def test_a_persona_that_hangs_as_it_enters_does_not_hide_that_the_caller_has_gone():
    async def script(world: CallWorld) -> None:
        HangsEntering.cancelled.clear()
        await wait(2)
        world.leg.end()

    world = call(script, "HangsEntering")
    assert world.outcome == ("answered", "caller", "hung up")
    assert world.ended_after == pytest.approx(2.0, abs=0.1)


def test_a_persona_that_hangs_as_it_enters_can_be_drained():
    async def script(world: CallWorld) -> None:
        await wait(2)
        world.owner.drain("stop")

    world = call(script, "HangsEntering")
    assert world.outcome == ("answered", "agent", "drained")
    assert world.ended_after < 10


def test_a_persona_that_hangs_as_it_leaves_holds_the_slot_for_a_bounded_time():
    async def script(world: CallWorld) -> None:
        await wait(2)
        world.leg.end()

    world = call(script, "HangsLeaving")
    assert world.outcome == ("answered", "caller", "hung up")
    assert world.ended_after <= 2 + 12.1


def test_providers_that_all_fail_end_the_call_with_words():
    async def script(world: CallWorld) -> None:
        for _ in range(3):
            await wait(1)
            world.speak(800)
            await wait(15)

    down = ModelTurn(error=ProviderRejected("fake-llm", "no credit"))
    world = call(script, "Silent", llm=FakeLLM(*[down] * 9), session={"away_ms": 120_000})
    assert world.outcome == ("answered", "system", "error")
    assert [event["kind"] for event in world.events if event["type"] == "agent_message"][-1] == "farewell"
    assert world.done().count("hang_up") == 1


def test_synthesis_that_is_gone_leaves_the_caller_a_tone_not_a_dead_line():
    async def script(world: CallWorld) -> None:
        await wait(6)
        world.leg.end()

    world = call(script, tts=FakeTTS(faults={"": [ProviderUnavailable("fake-tts", "503")] * 99}))
    assert world.outcome == ("answered", "caller", "hung up")
    assert any(bytes(world.leg.heard))


def test_media_that_never_comes_is_an_alarm_and_then_the_end():
    async def script(world: CallWorld) -> None:
        await wait(10)

    world = call(script, media=False)
    assert world.outcome == ("answered", "system", "no RTP packet has arrived for 6 s")
    assert [alarm.kind for alarm in world.closed.media_alarms] == ["no_rtp", "no_rtp"]
    assert world.closed.first_rtp_ms is None
    assert world.done().count("hang_up") == 1
    assert world.ended_after == pytest.approx(6.4, abs=1.1)


def test_media_that_stops_ends_the_call_and_failing_statistics_do_not_blind_the_watch():
    async def script(world: CallWorld) -> None:
        figures = world.leg.statistics
        failures = [PjsipError("statistics", 1, "not now")]

        async def sometimes():
            if failures:
                raise failures.pop()
            return await figures()

        world.leg.statistics = sometimes  # type: ignore[method-assign]
        await wait(3)
        world.stop_media()
        await wait(10)

    world = call(script)
    assert world.outcome == ("answered", "system", "RTP packets have been missing for 5 s")


def test_ending_twice_hangs_up_once_and_the_first_cause_counts():
    async def script(world: CallWorld) -> None:
        await wait(1)
        world.owner.end_now("first")
        world.owner.end_now("second")
        world.owner.drain("third")
        await wait(1)
        world.owner.end_now("late")

    world = call(script)
    assert world.done().count("hang_up") == 1
    assert world.outcome == ("answered", "system", "first")


def test_a_bye_that_crosses_ours_does_not_change_who_ended_it():
    async def script(world: CallWorld) -> None:
        await wait(1)
        world.owner.end_now("lost its owner")
        world.leg.end(by_peer=True)

    assert call(script).outcome == ("answered", "system", "lost its owner")


def test_a_hang_up_that_fails_is_tried_again_and_the_call_closed_all_the_same():
    async def script(world: CallWorld) -> None:
        await wait(1)
        world.leg.failures["hang_up"] = PjsipError("hang up", 1, "no memory")
        world.owner.end_now("stop")

    world = call(script)
    assert world.done() == ["ring", "answer", "hang_up", "hang_up"]
    assert world.closed.sip_status == 200


def test_a_leg_that_never_confirms_its_end_does_not_keep_the_slot():
    async def script(world: CallWorld) -> None:
        async def never(reason: str = "") -> None:
            await asyncio.sleep(3600)

        world.leg.hang_up = never  # type: ignore[method-assign]
        await wait(1)
        world.owner.end_now("stop")

    world = call(script)
    assert world.outcome == ("answered", "system", "stop")
    assert world.closed.media is None
    assert world.ended_after == pytest.approx(11.0, abs=0.5)


def test_the_last_event_that_comes_while_the_leg_is_being_ended_is_in_the_record():
    async def script(world: CallWorld) -> None:
        hung_up = []

        async def slow(reason: str = "") -> None:
            hung_up.append(reason)
            await asyncio.sleep(1.5)
            figures = statistics(packets_received=4321)
            world.leg.inject(LegEnded(world.loop.time(), False, 200, reason, figures))

        world.leg.hang_up = slow  # type: ignore[method-assign]
        await wait(1)
        world.owner.end_now("stop")
        await wait(2)
        assert hung_up == ["stop"]

    world = call(script)
    assert world.closed.media.packets_received == 4321
    assert world.outcome == ("answered", "system", "stop")


def test_a_leg_whose_events_end_without_a_last_one_is_hung_up():
    async def run() -> CallWorld:
        world = CallWorld()

        async def events():
            yield LegAnswered(world.loop.time())
            yield LegAcknowledged(world.loop.time())
            await asyncio.sleep(1)

        world.leg.events = events  # type: ignore[method-assign]
        await world.run()
        return world

    world = run_virtual(run())
    assert "hang_up" in world.done()
    assert world.outcome[:2] == ("answered", "system")
    assert world.ended_after < 15


def test_a_record_that_cannot_be_sent_does_not_hide_the_end_of_the_leg():
    async def script(world: CallWorld) -> None:
        append = world.sent.append
        failures = [ValueError("too large")]

        def send(message: object) -> None:
            if failures:
                raise failures.pop()
            append(message)

        world.sent = type("Sent", (list,), {"append": lambda _, message: send(message)})()
        world.kept = []
        append = world.kept.append
        await wait(2)
        world.leg.end()

    world = call(script)
    assert world.kept[-1].ended_by == "caller"
    assert world.kept[-1].outcome == "answered"


def test_a_stopped_worker_still_sends_the_record():
    async def run() -> CallWorld:
        world = CallWorld("HangsLeaving")
        running = asyncio.create_task(world.run())
        await wait(2)
        world.owner.end_now("gateway stopped")
        await wait(1)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return world

    world = run_virtual(run())
    assert world.outcome == ("answered", "system", "gateway stopped")


def test_a_cancelled_owner_hangs_up_before_it_goes():
    async def run() -> CallWorld:
        world = CallWorld()
        running = asyncio.create_task(world.run())
        await wait(2)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return world

    world = run_virtual(run())
    assert world.done() == ["ring", "answer", "hang_up"]
    assert world.closed.outcome == "answered"


def test_a_route_may_let_calls_be_longer_than_the_settings():
    async def script(world: CallWorld) -> None:
        await wait(100)
        world.leg.end()

    short = "session: {max_call_s: 10, away_ms: 120000}"
    world = call(script, "Silent", more=short, session={"max_call_s": 200})
    assert world.outcome == ("answered", "caller", "hung up")


def test_a_session_that_does_not_end_at_its_length_is_ended_by_the_owner(monkeypatch: pytest.MonkeyPatch):
    async def script(world: CallWorld) -> None:
        await wait(30)

    monkeypatch.setattr(RunningSession, "_too_long", lambda self, actions: None)
    world = call(script, "Silent", more="session: {max_call_s: 10, away_ms: 120000}")
    assert world.outcome == ("answered", "system", "TimeoutError: the conversation did not end by itself")
    assert world.ended_after == pytest.approx(70, abs=1)


# --- recordings -----------------------------------------------------------------------------------------------------


def test_a_recording_that_cannot_be_written_is_on_record_and_the_call_goes_on(tmp_path: Path):
    async def script(world: CallWorld) -> None:
        await wait(3)
        world.leg.end()

    (tmp_path / "day").write_text("a file where the folder should be")
    world = call(script, recording=str(tmp_path / "day" / "call-1.wav"))
    assert world.outcome == ("answered", "caller", "hung up")
    assert world.closed.recording.path == ""
    assert "call-1.wav" in world.closed.recording.error


def test_a_disk_that_stalls_does_not_keep_the_slot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async def stalls(self: WavRecorder) -> None:
        await asyncio.sleep(3600)

    async def script(world: CallWorld) -> None:
        await wait(2)
        world.leg.end()

    monkeypatch.setattr(WavRecorder, "close", stalls)
    world = call(script, recording=str(tmp_path / "call-1.wav"))
    assert world.outcome == ("answered", "caller", "hung up")
    assert world.closed.recording.error == "the recording was not complete when the call ended"
    assert world.ended_after < 8


def test_a_call_that_was_never_answered_leaves_no_file(tmp_path: Path):
    async def script(world: CallWorld) -> None:
        world.leg.failures["answer"] = PjsipError("answer", 1, "no")
        await wait(1)

    path = tmp_path / "2026-01-01" / "call-1.wav"
    world = call(script, recording=str(path))
    assert world.closed.recording is None
    assert not path.exists()
