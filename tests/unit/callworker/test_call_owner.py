"""A call and its one owner, on virtual time: the usual course, and what happens before the answer."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from call_world import CallWorld, call

from agent.providers.base import ProviderRejected, Usage
from agent.providers.fakes import FakeLLM, ModelTurn, loud
from agent.testing.virtual_clock import run_virtual
from telephony.errors import LegEndedError, MediaPortsExhausted, PjsipError
from telephony.fakes import statistics
from telephony.media.wav import read_channels


async def wait(seconds: float) -> None:
    await asyncio.sleep(seconds)


# --- the ordinary ways ----------------------------------------------------------------------------------------------


def test_a_call_is_answered_once_greeted_and_ended_once_by_the_caller():
    async def script(world: CallWorld) -> None:
        await wait(4)
        world.leg.end()

    world = call(script)
    assert world.done() == ["ring", "answer"]
    assert world.outcome == ("answered", "caller", "hung up")
    assert world.closed.sip_status == 200
    assert world.closed.media == statistics(packets_received=world.closed.media.packets_received)
    assert world.closed.media.packets_received > 150
    assert world.types().count("session_closed") == 1
    assert world.ended_after == pytest.approx(4.0, abs=0.1)


def test_what_the_caller_gave_as_reason_is_on_record():
    async def script(world: CallWorld) -> None:
        await wait(1)
        world.leg.end(reason="battery low")

    assert call(script).outcome == ("answered", "caller", "battery low")


def test_a_caller_who_hangs_up_during_the_greeting_ends_it_there():
    async def script(world: CallWorld) -> None:
        await wait(1.0)
        world.leg.end()

    world = call(script)
    assert world.outcome[:2] == ("answered", "caller")
    message = next(event for event in world.events if event["type"] == "agent_message")
    assert message["interrupted"]
    assert message["full_text"].startswith(message["text"])
    assert world.ended_after == pytest.approx(1.0, abs=0.1)


def test_the_greeting_waits_for_the_first_packet_but_not_for_ever():
    async def script(world: CallWorld) -> None:
        await wait(3)
        world.leg.end()

    started = {}
    for media in (True, False):
        world = call(script, media=media)
        started[media] = next(event["at"] for event in world.events if event["type"] == "session_started") - 1000
    assert started[True] == pytest.approx(0.02, abs=0.01)
    assert started[False] == pytest.approx(0.4, abs=0.01)


def test_the_agent_says_goodbye_and_only_then_hangs_up():
    async def script(world: CallWorld) -> None:
        await wait(3)
        world.owner.drain("the gateway is shutting down")
        await wait(0.1)
        world.owner.drain("again")

    world = call(script)
    assert world.done() == ["ring", "answer", "hang_up"]
    assert world.outcome == ("answered", "agent", "drained")
    farewell = next(event for event in world.events if event.get("kind") == "farewell")
    assert not farewell["interrupted"]
    # All of it had been taken by the leg: at 200 ms a word nothing of the goodbye is missing.
    spoken = bytes(world.leg.heard).count(loud(200, 500)[:320])
    words = sum(len(event["text"].split()) for event in world.events if event["type"] == "agent_message")
    assert spoken == words * 10


def test_a_caller_who_hangs_up_during_the_goodbye_is_who_ended_it():
    async def script(world: CallWorld) -> None:
        await wait(3)
        world.owner.drain("the gateway is shutting down")
        await wait(1)
        world.leg.end()

    world = call(script)
    assert world.outcome == ("answered", "caller", "hung up")
    assert world.ended_after == pytest.approx(4.0, abs=0.1)


def test_a_persona_that_hangs_up_by_itself_is_who_ended_it():
    async def script(world: CallWorld) -> None:
        await wait(3)

    world = call(script, "HangsUpItself")
    assert world.outcome == ("answered", "agent", "had enough")
    assert world.done().count("hang_up") == 1


def test_keys_reach_the_session_and_tokens_the_record():
    async def script(world: CallWorld) -> None:
        await wait(1)
        world.leg.press("5")
        world.speak(800)
        await wait(3)
        world.leg.end()

    world = call(script, "Silent", llm=FakeLLM(ModelTurn(("Fine.", Usage(120, 7)))))  # type: ignore[arg-type]
    assert "digit_received" in world.types()
    assert (world.closed.tokens.prompt, world.closed.tokens.completion) == (120, 7)


def test_a_secret_is_neither_in_the_record_nor_in_the_recording(tmp_path: Path):
    async def script(world: CallWorld) -> None:
        world.speak(9000)
        await wait(2)
        for key in "4711":
            world.leg.press(key)
            await wait(0.5)
        await wait(3)
        world.leg.end()

    world = call(script, "AsksForPin", recording=str(tmp_path / "c.wav"))
    assert "4711" not in str([event.get("text", event.get("digit")) for event in world.events])
    assert [event["digit"] for event in world.events if event["type"] == "digit_received"] == ["•"] * 4
    keys = [event["t_ms"] for event in world.events if event["type"] == "digit_received"]
    caller = read_channels(tmp_path / "c.wav")[0]
    first, last = round(keys[0]) - 300, round(keys[-1]) + 300
    silent = [at for at in range(500, 6900, 20) if not caller[at * 16 : at * 16 + 320].strip(b"\0")]
    assert silent[0] == pytest.approx(first, abs=40) and silent[-1] == pytest.approx(last - 20, abs=40)
    assert len(silent) == pytest.approx((last - first) / 20, abs=3)  # without a gap; the rest is there


def test_keys_pressed_before_the_session_began_are_not_lost():
    async def script(world: CallWorld) -> None:
        await wait(0.1)
        world.leg.press("12")
        await wait(2)
        world.leg.press("3")
        await wait(1)
        world.leg.end()

    world = call(script, "Silent", media=False)
    assert [event["digit"] for event in world.events if event["type"] == "digit_received"] == ["1", "2", "3"]


# --- before the answer ----------------------------------------------------------------------------------------------


def slow_warming(world: CallWorld, seconds: float) -> None:
    world.providers.warming = lambda: wait(seconds)


def test_a_caller_who_gives_up_while_it_rings_is_cancelled():
    async def script(world: CallWorld) -> None:
        slow_warming(world, 1.5)
        await wait(0.5)
        world.leg.end(sip_status=487)

    world = call(script)
    assert world.done() == ["ring"]
    assert world.outcome == ("cancelled", "caller", "hung up")
    assert world.closed.sip_status == 487
    assert (world.closed.answered_at, world.closed.recording) == (None, None)
    assert world.ended_after == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("verb", ["ring", "answer"])
def test_a_caller_who_is_faster_than_our_verb_is_cancelled_not_failed(verb):
    async def script(world: CallWorld) -> None:
        world.leg.failures[verb] = LegEndedError("the leg has ended")
        await wait(0.2)
        world.leg.end(sip_status=487)

    world = call(script)
    assert world.outcome == ("cancelled", "caller", "hung up")
    assert "hang_up" not in world.done()


def test_a_leg_that_has_ended_before_its_owner_began_is_cancelled():
    async def run() -> CallWorld:
        world = CallWorld()
        world.leg.end(sip_status=487)
        await world.run()
        return world

    world = run_virtual(run())
    assert world.outcome == ("cancelled", "caller", "hung up")


@pytest.mark.parametrize("how", ["drain", "end_now"])
def test_drained_while_it_rings_it_is_refused_at_once(how):
    async def script(world: CallWorld) -> None:
        slow_warming(world, 1.5)
        await wait(0.5)
        getattr(world.owner, how)("the gateway is shutting down")

    world = call(script)
    assert world.leg.verbs == [("ring",), ("reject", 503, "Service Unavailable")]
    assert world.outcome == ("failed", "system", "the gateway is shutting down")
    assert world.ended_after == pytest.approx(0.5, abs=0.01)


def test_drained_between_the_answer_and_the_first_packet_it_is_hung_up():
    async def script(world: CallWorld) -> None:
        await wait(0.2)
        world.owner.drain("the gateway is shutting down")

    world = call(script, media=False)
    assert world.done() == ["ring", "answer", "hang_up"]
    assert world.outcome == ("answered", "system", "the gateway is shutting down")
    assert world.ended_after == pytest.approx(0.2, abs=0.05)


@pytest.mark.parametrize("at", [0.0, 0.1, 0.39, 0.4, 0.4000001])
def test_a_caller_who_hangs_up_before_the_session_has_begun_leaves_no_session_behind(at):
    async def script(world: CallWorld) -> None:
        await wait(at)
        world.leg.end()

    world = call(script, media=False)
    assert world.outcome[:2] in (("answered", "caller"), ("cancelled", "caller"))
    assert world.ended_after == pytest.approx(at, abs=0.05)
    assert world.types().count("session_started") == world.types().count("session_closed")


@pytest.mark.parametrize(
    ("error", "status"),
    [(MediaPortsExhausted("no port is left"), 503), (PjsipError("answer", 70004, "invalid"), 500)],
)
def test_a_leg_that_cannot_be_answered_is_refused(error, status):
    async def script(world: CallWorld) -> None:
        world.leg.failures["answer"] = error
        await wait(0.1)

    world = call(script)
    assert [verb[:2] for verb in world.leg.verbs] == [("ring",), ("answer",), ("reject", status)]
    assert world.outcome[:2] == ("failed", "system")
    assert type(error).__name__ in world.outcome[2]


@pytest.mark.parametrize("persona", ["Faulty", "Missing", "broken_factory"])
def test_a_persona_that_cannot_be_made_refuses_the_call_without_telling_why(persona):
    async def script(world: CallWorld) -> None:
        await wait(0.1)

    world = call(script, persona)
    assert world.leg.verbs == [("ring",), ("reject", 500, "Internal error")]
    assert world.outcome[:2] == ("failed", "system")


def test_a_factory_gives_the_call_its_userdata():
    async def script(world: CallWorld) -> None:
        await wait(1)
        assert world.providers.sessions[0].userdata == {"caller": "+15550123"}
        world.leg.end()

    assert call(script, "greeter").outcome[0] == "answered"


def test_providers_that_do_not_get_warm_delay_the_answer_by_two_seconds_at_most():
    async def script(world: CallWorld) -> None:
        slow_warming(world, 60)
        await wait(4)
        world.leg.end()

    world = call(script)
    answered = next(message for message in world.sent if getattr(message, "answered_at", None))
    assert answered is world.sent[0]
    assert world.done() == ["ring", "answer"]
    assert next(event["at"] for event in world.events if event["type"] == "session_started") == pytest.approx(
        1002.0, abs=0.05
    )


def test_a_provider_that_refuses_while_it_rings_does_not_refuse_the_caller():
    async def script(world: CallWorld) -> None:
        async def rejected() -> None:
            raise ProviderRejected("fake", "no credit")

        world.providers.warming = rejected
        await wait(2)
        world.leg.end()

    assert call(script).outcome == ("answered", "caller", "hung up")


def test_an_answer_that_is_never_acknowledged_is_hung_up_not_refused():
    async def script(world: CallWorld) -> None:
        world.leg.acknowledges = False
        await wait(1)

    world = call(script, media=False)
    assert world.done() == ["ring", "answer", "hang_up"]
    assert world.outcome == ("failed", "system", "no ACK for the answer arrived")
    assert world.closed.answered_at is None
    assert world.ended_after == pytest.approx(40, abs=0.1)


def test_a_drain_before_the_ack_hangs_up():
    async def script(world: CallWorld) -> None:
        world.leg.acknowledges = False
        await wait(1)
        world.owner.drain("stop")

    world = call(script, media=False)
    assert world.done() == ["ring", "answer", "hang_up"]
    assert world.outcome == ("failed", "system", "stop")


def test_media_from_strangers_is_an_alarm_and_in_the_record():
    async def script(world: CallWorld) -> None:
        await wait(1)
        world.leg.figures = replace(statistics(packets_received=70), packets_from_strangers=1400)
        world.stop_media()
        await wait(2.5)
        world.leg.end()

    world = call(script)
    assert [alarm.kind for alarm in world.closed.media_alarms if alarm.kind == "strangers"] == ["strangers"]
    assert world.closed.media.packets_from_strangers == 1400


def test_an_answer_that_pjsip_gives_up_is_not_answered_and_closed_at_once():
    async def script(world: CallWorld) -> None:
        world.leg.acknowledges = False
        await wait(32)
        world.leg.end(sip_status=408, reason="Request Timeout", by_peer=False)

    world = call(script, media=False)
    assert world.outcome[:2] == ("failed", "system")
    assert world.closed.answered_at is None
    assert world.ended_after < 32.5
