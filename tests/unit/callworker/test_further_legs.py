"""A call with a second leg, on virtual time: who hears whom, and what follows from either leg's end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from call_world import CallWorld, call
from fake_dialler import FakeDialler

from agent.providers.fakes import loud
from gateway.calls.ends import CallState
from gateway.calls.floor import Floor, rows_of
from gateway.calls.verbs import ListenMode, Voice
from gateway.record import LegClosed
from telephony.call import LegEnded, LegHeld
from telephony.errors import DialRefused
from telephony.fakes import FakeLeg
from telephony.media.frames import FRAME_BYTES, SILENCE


def frame(value: int) -> bytes:
    return value.to_bytes(2, "little", signed=True) * (FRAME_BYTES // 2)


def heard(world: CallWorld, dialler: FakeDialler, ticks: int = 10) -> tuple[set[bytes], set[bytes]]:
    """What customer and human hear while each of them talks, beside silence."""
    audio = dialler.audio[-1]
    customer, human = set(), set()
    for _ in range(ticks):
        now = world.loop.time()
        audio.push(frame(200), now)
        customer.add(world.leg.tick(frame(100), now))
        human.add(audio.pull(now))
    return customer - {SILENCE}, human - {SILENCE}


def with_second(script: Callable[[CallWorld], Awaitable[None]], dialler: FakeDialler) -> CallWorld:
    return call(script, "CallsIn", dialler=dialler)


async def dialled(dialler: FakeDialler) -> FakeLeg:
    while not dialler.legs:
        await asyncio.sleep(0.02)
    return dialler.legs[0]


async def answered(dialler: FakeDialler) -> FakeLeg:
    leg = await dialled(dialler)
    leg.ringing()
    await asyncio.sleep(0.5)
    await leg.answer(dialler.audio[0])
    await asyncio.sleep(0.1)
    return leg


@pytest.mark.parametrize("elsewhere", [False, True])
def test_who_answers_talks_with_the_customer_and_leaves_them_to_the_agent(elsewhere: bool) -> None:
    states: list[CallState] = []
    dialler = FakeDialler(elsewhere=elsewhere)

    async def script(world: CallWorld) -> None:
        leg = await answered(dialler)
        states.append(world.owner.state)
        assert heard(world, dialler) == ({frame(200)}, {frame(100)})
        leg.end(reason="bye")
        await asyncio.sleep(0.1)
        states.append(world.owner.state)
        await asyncio.sleep(2)
        world.leg.end()

    world = with_second(script, dialler)
    assert states == [CallState.JOINED, CallState.WITH_AGENT]
    assert world.outcome == ("answered", "caller", "hung up")
    assert [event["text"] for event in world.events if event["type"] == "agent_message"] == ["it was answered"]
    assert [kind for kind in world.types() if kind.startswith("leg_")] == ["leg_joined", "leg_left"]
    (order,) = dialler.orders
    assert (order.leg_id, order.to, order.ring_limit_s) == ("call-1-2", "+15557001", 5)
    closed = [message for message in world.sent if isinstance(message, LegClosed)]
    assert (len(closed), dialler.held) == ((0, []) if elsewhere else (1, ["call-1-2"])), "who holds it tells of its end"
    if closed:
        assert (closed[0].outcome, closed[0].ended_by, closed[0].end_reason) == ("answered", "human", "bye")


def test_while_it_rings_nobody_hears_it_and_the_customer_has_the_agent() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        leg = await dialled(dialler)
        leg.ringing(183, early_media=True)
        await asyncio.sleep(0.1)
        assert world.owner.state is CallState.DIALLING
        customer, human = heard(world, dialler)
        assert (customer, human) == (set(), set())
        world.leg.end()

    world = with_second(script, dialler)
    assert dialler.legs[0].verbs == [("hang_up", "the call is over")]
    (closed,) = [message for message in world.sent if isinstance(message, LegClosed)]
    assert (closed.outcome, closed.ended_by) == ("cancelled", "system")


def test_the_customers_end_ends_the_human_and_the_call_once() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        await answered(dialler)
        world.leg.end()

    world = with_second(script, dialler)
    assert dialler.legs[0].verbs[-1] == ("hang_up", "the call is over")
    assert world.outcome == ("answered", "caller", "hung up")


@pytest.mark.parametrize(("status", "said"), [(486, "busy"), (603, "rejected"), (408, "no_answer"), (500, "failed")])
def test_a_refusal_is_told_and_the_customer_stays_with_the_agent(status: int, said: str) -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        leg = await dialled(dialler)
        leg.end(sip_status=status, reason="no")
        await asyncio.sleep(2)
        world.leg.end()

    world = with_second(script, dialler)
    assert [event["text"] for event in world.events if event["type"] == "agent_message"] == [f"it was {said}"]
    (closed,) = [message for message in world.sent if isinstance(message, LegClosed)]
    assert (closed.outcome, closed.sip_status) == (said, status)


def test_a_leg_whose_worker_is_lost_leaves_the_customer_to_the_agent() -> None:
    dialler = FakeDialler(elsewhere=True)

    async def script(world: CallWorld) -> None:
        leg = await answered(dialler)
        leg.inject(LegEnded(world.loop.time(), False, 0, "the leg's worker was lost", None, lost=True))
        await asyncio.sleep(0.1)
        assert world.owner.state is CallState.WITH_AGENT
        await asyncio.sleep(2)
        world.leg.end()

    assert with_second(script, dialler).outcome == ("answered", "caller", "hung up")


def test_a_refused_dialling_names_its_kind_and_leaves_no_place_behind() -> None:
    dialler = FakeDialler(refusal=DialRefused("no_slot", "all are taken", retryable=True))

    async def script(world: CallWorld) -> None:
        await asyncio.sleep(2)
        assert world.owner.state is CallState.WITH_AGENT
        world.leg.end()

    world = with_second(script, dialler)
    assert [event["text"] for event in world.events if event["type"] == "agent_message"] == ["refused by no_slot"]


def test_a_call_that_ends_while_a_leg_is_placed_does_not_leave_it_ringing() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        await asyncio.sleep(0.5)
        world.leg.end()

    dialler.slow_s = 1.0
    with_second(script, dialler)
    assert dialler.legs[0].verbs == [("hang_up", "its call is over")]


def test_a_human_who_holds_does_not_put_the_agent_on_hold() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        leg = await answered(dialler)
        leg.inject(LegHeld(world.loop.time()))
        await asyncio.sleep(0.1)
        world.leg.end()

    world = with_second(script, dialler)
    assert "leg_held" not in world.types()
    assert "caller_held" not in world.types()


def test_a_goodbye_is_the_customers_to_hear() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        await answered(dialler)
        world.owner.drain("the gateway is shutting down")

    world = with_second(script, dialler)
    assert dialler.legs[0].verbs[-1] == ("hang_up", "the gateway is shutting down")
    assert world.outcome == ("answered", "agent", "drained")
    (farewell,) = [event for event in world.events if event.get("kind") == "farewell"]
    assert not farewell["interrupted"]
    words = sum(len(event["text"].split()) for event in world.events if event["type"] == "agent_message")
    assert bytes(world.leg.heard).count(loud(200, 500)[:320]) == words * 10, "all of it had been taken by the leg"


def test_the_matrix() -> None:
    assert rows_of(Floor()) == {"caller": None, "agent": None}
    assert rows_of(Floor(("c-2",))) == {"c-2": (), "caller": ("agent",), "agent": ("caller",)}
    assert rows_of(Floor(("c-2", "c-3"), "c-3")) == {
        "c-2": (), "c-3": ("caller",), "caller": ("c-3",), "agent": (),
    }  # fmt: skip


def test_the_matrix_of_who_waits_and_of_who_is_muted() -> None:
    words = "agent to caller"
    assert rows_of(Floor(waits=True)) == {"caller": ("music", words), "agent": (), "music": (), words: ()}
    joined = rows_of(Floor(("c-2",), "c-2", waits=True))
    assert (joined["caller"], joined["c-2"]) == (("music", words), ())
    assert rows_of(Floor(muted=frozenset({Voice.AGENT}))) == {"caller": (), "agent": ("caller",)}
    assert rows_of(Floor(muted=frozenset({Voice.CALLER}))) == {"caller": ("agent",), "agent": ()}


def test_the_matrix_of_an_agent_that_speaks_to_a_human() -> None:
    apart = rows_of(Floor(("c-2", "c-3"), waits=True, voices={"c-2": "voice"}))
    assert (apart["c-2"], apart["voice"], apart["c-3"]) == (("voice",), ("c-2",), ())
    assert "voice" not in apart["caller"]
    together = rows_of(Floor(("c-2",), "c-2", voices={"c-2": "voice"}))
    assert (together["caller"], together["c-2"], together["agent"]) == (("c-2", "voice"), ("caller", "voice"), ())


@pytest.mark.parametrize(
    ("mode", "customer", "human"),
    [
        (ListenMode.LISTEN, ("c-2",), ("caller",)),
        (ListenMode.WHISPER, ("c-2",), ("caller", "c-3")),
        (ListenMode.BARGE, ("c-2", "c-3"), ("caller", "c-3")),
    ],
)
def test_the_matrix_of_a_supervisor(mode: ListenMode, customer: tuple[str, ...], human: tuple[str, ...]) -> None:
    rows = rows_of(Floor(("c-2", "c-3"), "c-2", {"c-3": mode}))
    assert rows == {"c-3": ("caller", "agent", "c-2"), "caller": customer, "c-2": human, "agent": ()}
    alone = rows_of(Floor(("c-3",), None, {"c-3": mode}))
    heard = ("agent", "c-3") if mode is ListenMode.BARGE else ("agent",)
    assert alone == {"c-3": ("caller", "agent"), "caller": heard, "agent": ("caller",)}
