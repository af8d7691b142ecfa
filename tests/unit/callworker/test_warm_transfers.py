"""Warm transfers of a call on virtual time: what each party hears, what is told, who has the customer afterwards, and
that nothing is left."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from call_world import CallWorld, call
from fake_dialler import FakeDialler
from test_transfers import frame, heard, said, target, told, transferred

from agent.providers.base import ProviderUnavailable
from agent.providers.fakes import FakeLLM, FakeSTT, FakeTTS, loud
from gateway.calls.ends import CallState
from gateway.calls.verbs import TransferOrder, VerbRefused
from gateway.record import LegClosed, TransferEnded, TransferKind
from telephony.call import AfterTransfer, LegEnded, SummaryBy, TransferEnd, UseRefer, Warm
from telephony.fakes import FakeLeg
from telephony.media.answering.fakes import ScriptedAnswer
from telephony.media.answering.model import AnsweredBy, Verdict
from telephony.media.frames import SILENCE

TEXT = Warm(detect=False, summary=SummaryBy.TEXT, text="Ada asks about her invoice.")
QUESTION = "You have a call. Press 1 to accept it, or 2 to decline it."


def order(warm: Warm = TEXT, **how: object) -> TransferOrder:
    made = TransferOrder("call-1-t1", "sip:a@h", TransferKind.WARM, ring_s=20, warm=warm)
    return replace(made, **how)  # type: ignore[arg-type]


async def begun(world: CallWorld, asked: TransferOrder) -> None:
    """The greeting has been said, and the transfer is asked for."""
    await asyncio.sleep(5)
    await world.owner.steered.transfer(asked)
    await asyncio.sleep(0.1)


async def answered(dialler: FakeDialler, number: int = 0) -> FakeLeg:
    while len(dialler.legs) <= number:
        await asyncio.sleep(0.02)
    leg = dialler.legs[number]
    leg.ringing()
    await asyncio.sleep(1)
    await leg.answer(dialler.audio[number])
    await asyncio.sleep(0.1)
    return leg


def to_human(world: CallWorld) -> list[str]:
    return [event["text"] for event in world.events if event["type"] == "told_human"]


def hears(world: CallWorld, dialler: FakeDialler, number: int = 0) -> set[bytes]:
    """What that human hears just now."""
    found = set()
    for _ in range(10):
        now = world.loop.time()
        world.leg.tick(frame(100), now)
        found.add(dialler.audio[number].pull(now))
    return found - {SILENCE}


def ended(world: CallWorld) -> TransferEnded:
    (found,) = [message for message in world.sent if isinstance(message, TransferEnded)]
    return found


def nothing_is_left(world: CallWorld, dialler: FakeDialler) -> None:
    assert all(leg.ended is not None for leg in dialler.legs)
    names = {task.get_name() for task in asyncio.all_tasks(world.loop)} if not world.loop.is_closed() else set()
    assert not {name for name in names if name in ("music", "call the transfer's target") or name.startswith("say to")}
    closed = [message.leg_id for message in world.sent if isinstance(message, LegClosed)]
    assert len(closed) == len(set(closed)) == (0 if dialler.elsewhere else len(dialler.legs))


def test_the_human_hears_the_summary_and_then_the_caller() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        await begun(world, order())
        music = heard(world, 400)
        assert music
        await answered(dialler)
        assert heard(world, 100) - music == set() or frame(200) not in heard(world, 100)
        assert world.owner.state is CallState.DIALLING, "they are not joined yet"
        summary = hears(world, dialler)
        assert summary
        assert frame(100) not in summary, "the human does not hear the caller before"
        dialler.audio[0].push(frame(200), world.loop.time())
        assert frame(200) not in heard(world, 100), "nor the caller the human"
        await asyncio.sleep(3)
        assert world.owner.state is CallState.JOINED
        assert frame(100) in hears(world, dialler)
        dialler.audio[0].push(frame(200), world.loop.time())
        assert frame(200) in heard(world, 100)
        dialler.legs[0].end(reason="bye")

    world = transferred(script, dialler)
    assert to_human(world) == ["Ada asks about her invoice."]
    assert told(world) == ["began", "leg call-1-2", "ringing", "answered", "transferred"]
    assert world.outcome == ("answered", "human", "the transfer's target hung up")
    assert said(world) == ["Hello and welcome to the house."], "the caller heard nothing of the summary"
    nothing_is_left(world, dialler)


def test_the_model_words_the_summary_while_it_rings() -> None:
    dialler = FakeDialler()
    model = FakeLLM("The caller has lost a parcel.")

    async def script(world: CallWorld) -> None:
        await begun(world, order(Warm(detect=False, summary=SummaryBy.MODEL)))
        await answered(dialler)
        await asyncio.sleep(4)
        world.leg.end()

    world = call(script, dialler=dialler, llm=model)
    assert to_human(world) == ["The caller has lost a parcel."]
    nothing_is_left(world, dialler)


@pytest.mark.parametrize(
    ("text", "words"), [("", "A caller would like to speak with you."), ("Ada calls.", "Ada calls.")]
)
def test_a_summary_that_the_model_fails_to_make_is_a_template(text: str, words: str) -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        await begun(world, order(Warm(detect=False, summary=SummaryBy.MODEL, text=text)))
        await answered(dialler)
        await asyncio.sleep(4)
        assert world.owner.state is CallState.JOINED
        world.leg.end()

    world = call(script, dialler=dialler, llm=FakeLLM(*[ProviderUnavailable("llm", "down")] * 5))
    assert to_human(world) == [words]


def test_a_voice_that_fails_is_a_tone_and_the_two_are_joined() -> None:
    dialler = FakeDialler()
    voice = FakeTTS(faults={"invoice": [ProviderUnavailable("tts", "down")] * 9})

    async def script(world: CallWorld) -> None:
        await begun(world, order())
        await answered(dialler)
        assert hears(world, dialler)
        await asyncio.sleep(4)
        assert world.owner.state is CallState.JOINED
        world.leg.end()

    nothing_is_left(call(script, dialler=dialler, tts=voice), dialler)


@pytest.mark.parametrize("key", ["1", "2", "none"])
def test_whoever_is_asked_accepts_by_key(key: str) -> None:
    dialler = FakeDialler(elsewhere=True)

    async def script(world: CallWorld) -> None:
        await begun(world, order(replace(TEXT, accept=True, accept_s=10)))
        leg = await answered(dialler)
        leg.press("5")  # asks again
        world.leg.press("1")  # the caller's keys are not the human's
        await asyncio.sleep(5)
        assert world.owner.state is CallState.DIALLING
        if key != "none":
            leg.press(key)
        await asyncio.sleep(4 if key != "none" else 9)
        assert world.owner.state is (CallState.JOINED if key == "1" else CallState.WITH_AGENT)
        world.leg.end()

    world = transferred(script, dialler)
    outcome = {"1": "transferred", "2": "declined", "none": "no_answer"}[key]
    assert told(world)[-1] == outcome
    assert to_human(world)[:2] == [QUESTION, QUESTION]
    assert ("Ada asks about her invoice." in to_human(world)) is (key == "1")
    assert "digit_received" not in world.types()
    if key != "1":
        assert said(world)[1] == "I'm sorry, nobody could take your call just now."
    nothing_is_left(world, dialler)


def test_the_introduction_is_heard_by_both() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        await begun(world, order(Warm(detect=False, introduction="You are connected now, please go ahead.")))
        await answered(dialler)
        assert world.owner.state is CallState.JOINED
        of_agent = heard(world, 100)
        assert of_agent
        assert hears(world, dialler) - {frame(100)}
        dialler.audio[0].push(frame(200), world.loop.time())
        await asyncio.sleep(4)
        assert hears(world, dialler) == {frame(100)}, "then the agent is silent"
        world.leg.end()

    world = transferred(script, dialler)
    assert to_human(world) == ["You are connected now, please go ahead."]
    nothing_is_left(world, dialler)


def test_a_machine_that_was_asked_to_press_a_key_is_left() -> None:
    dialler = FakeDialler()

    def made(answered_at: float) -> ScriptedAnswer:
        return ScriptedAnswer([Verdict(answered_at + 3.0, AnsweredBy.VOICEMAIL, 0.99, ("as scripted",))])

    async def script(world: CallWorld) -> None:
        await begun(world, order(replace(TEXT, detect=True, accept=True)))
        await answered(dialler)
        assert hears(world, dialler), "the question, at once"
        await asyncio.sleep(5)
        assert world.owner.state is CallState.WITH_AGENT
        world.leg.end()

    world = call(script, dialler=dialler, target_detector=made)
    assert told(world)[-1] == "voicemail"
    nothing_is_left(world, dialler)


def test_the_real_detector_takes_a_short_hello_for_a_person() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        await begun(world, order(replace(TEXT, detect=True)))
        await answered(dialler)
        for _ in range(30):  # 0.6 s of speech
            dialler.audio[0].push(loud(20), world.loop.time())
            await asyncio.sleep(0.02)
        assert world.owner.state is CallState.DIALLING
        await asyncio.sleep(1.5)
        assert hears(world, dialler), "the summary"
        world.leg.end()

    world = call(script, dialler=dialler, stt=FakeSTT("hello"))
    assert [event["answered_by"] for event in world.events if event["type"] == "transfer_answered_by"] == ["human"]
    nothing_is_left(world, dialler)


@pytest.mark.parametrize("who", [AnsweredBy.HUMAN, AnsweredBy.VOICEMAIL])
def test_it_is_known_who_answered_before_anybody_is_joined(who: AnsweredBy) -> None:
    dialler = FakeDialler()
    detectors: list[ScriptedAnswer] = []

    def made(answered_at: float) -> ScriptedAnswer:
        detectors.append(ScriptedAnswer([Verdict(answered_at + 3.0, who, 0.9, ("as scripted",))]))
        return detectors[-1]

    async def script(world: CallWorld) -> None:
        await begun(world, order(replace(TEXT, detect=True)))
        await answered(dialler)
        assert world.owner.state is CallState.DIALLING
        assert not hears(world, dialler)
        await asyncio.sleep(5)
        assert world.owner.state is (CallState.JOINED if who is AnsweredBy.HUMAN else CallState.WITH_AGENT)
        world.leg.end()

    world = call(script, dialler=dialler, target_detector=made)
    assert told(world)[-1] == ("transferred" if who is AnsweredBy.HUMAN else "voicemail")
    assert len(detectors) == 1
    nothing_is_left(world, dialler)


# --- who leaves when --------------------------------------------------------------------------------------------------

WHOLE = replace(TEXT, accept=True, introduction="You are connected now, please go ahead.")
STATES = ("calling", "ringing", "asking", "briefing", "together", "joined")


async def until_state(world: CallWorld, dialler: FakeDialler, state: str) -> FakeLeg:
    await begun(world, order(WHOLE, afterwards=AfterTransfer.AGENT))
    leg = await target(dialler)
    if state == "calling":
        return leg
    if state == "ringing":
        leg.ringing()
        await asyncio.sleep(0.5)
        return leg
    await answered(dialler)
    if state != "asking":
        leg.press("1")
        await asyncio.sleep(0.3)
    if state in ("together", "joined"):
        await asyncio.sleep(1.3)
        assert world.owner.state is CallState.JOINED
    if state == "joined":
        await asyncio.sleep(3)
    return leg


@pytest.mark.parametrize("state", STATES)
def test_a_caller_who_hangs_up_ends_the_humans_leg_at_once(state: str) -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        leg = await until_state(world, dialler, state)
        at = world.loop.time()
        world.leg.end()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert leg.ended is not None
        assert leg.ended.at == at

    world = transferred(script, dialler)
    assert world.outcome == ("answered", "caller", "hung up")
    assert told(world)[-1] == ("transferred" if state in ("together", "joined") else "cancelled")
    nothing_is_left(world, dialler)


@pytest.mark.parametrize("state", STATES)
def test_a_human_who_is_gone_leaves_the_caller_to_the_agent(state: str) -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        leg = await until_state(world, dialler, state)
        leg.end(sip_status=486 if state in ("calling", "ringing") else 200, reason="gone")
        await asyncio.sleep(4)
        assert world.owner.state is CallState.WITH_AGENT
        world.leg.end()

    world = transferred(script, dialler)
    if state in ("together", "joined"):
        assert said(world)[-1] == "I'm here."
    else:
        sorry = "the line is busy" if state in ("calling", "ringing") else "nobody could take your call"
        assert sorry in said(world)[-1]
    nothing_is_left(world, dialler)


@pytest.mark.parametrize("state", STATES[2:])
def test_a_human_whose_worker_is_lost_leaves_the_caller_to_the_agent(state: str) -> None:
    dialler = FakeDialler(elsewhere=True)

    async def script(world: CallWorld) -> None:
        leg = await until_state(world, dialler, state)
        leg.inject(LegEnded(world.loop.time(), False, 0, "the leg's worker was lost", None, lost=True))
        await asyncio.sleep(4)
        assert world.owner.state is CallState.WITH_AGENT
        world.leg.end()

    assert transferred(script, dialler).outcome == ("answered", "caller", "hung up")


@pytest.mark.parametrize("state", STATES)
def test_a_drain_says_goodbye_to_the_caller_and_ends_the_humans_leg(state: str) -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        leg = await until_state(world, dialler, state)
        world.owner.drain("the gateway is shutting down")
        await asyncio.sleep(0.5)
        assert leg.ended is not None

    world = transferred(script, dialler)
    assert [event["kind"] for event in world.events if event["type"] == "agent_message"][-1] == "farewell"
    assert world.outcome == ("answered", "agent", "drained")
    nothing_is_left(world, dialler)


def test_the_human_accepts_as_the_caller_hangs_up() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        leg = await until_state(world, dialler, "asking")
        leg.press("1")
        world.leg.end()

    world = transferred(script, dialler)
    assert world.outcome == ("answered", "caller", "hung up")
    assert told(world)[-1] == "cancelled"
    nothing_is_left(world, dialler)


# --- hunting ----------------------------------------------------------------------------------------------------------


def test_one_after_another() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        await begun(world, order(replace(TEXT, also=("sip:b@h", "sip:c@h"))))
        (await target(dialler)).end(sip_status=486, reason="Busy")
        await asyncio.sleep(0.1)
        assert [each.to for each in dialler.orders] == ["sip:a@h", "sip:b@h"]
        assert world.owner.state is CallState.DIALLING
        leg = await answered(dialler, 1)
        leg.end()  # during the summary
        await asyncio.sleep(0.1)
        await answered(dialler, 2)
        await asyncio.sleep(3)
        assert world.owner.state is CallState.JOINED
        world.leg.end()

    world = transferred(script, dialler)
    assert told(world)[-2:] == ["leg call-1-4", "transferred"]
    assert len(dialler.orders) == 3
    nothing_is_left(world, dialler)


def test_all_at_once_and_the_first_to_accept_has_the_caller() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        await begun(world, order(Warm(detect=False, also=("sip:b@h", "sip:c@h"), at_once=True, accept=True)))
        first, second = await answered(dialler, 0), await answered(dialler, 1)
        third = dialler.legs[2]
        third.ringing()
        await asyncio.sleep(0.5)
        second.press("1")
        first.press("1")  # in the same instant
        await asyncio.sleep(0.2)
        assert world.owner.state is CallState.JOINED
        assert third.ended is not None, "its ringing is cancelled"
        assert first.ended is None, "it is told that a colleague has it"
        await asyncio.sleep(3)
        assert first.ended is not None
        assert second.ended is None
        assert world.owner.state is CallState.JOINED, "the others' ends do not end it"
        dialler.audio[1].push(frame(200), world.loop.time())
        assert frame(200) in heard(world, 100)
        second.end(reason="bye")

    world = transferred(script, dialler)
    assert "Thank you, a colleague has taken the call." in to_human(world)
    assert told(world)[-2:] == ["leg call-1-3", "transferred"]
    assert world.outcome == ("answered", "human", "the transfer's target hung up")
    nothing_is_left(world, dialler)


def test_nobody_takes_it() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        await begun(world, order(replace(TEXT, also=("sip:b@h",))))
        (await target(dialler)).end(sip_status=486, reason="Busy")
        await asyncio.sleep(0.1)
        dialler.legs[1].end(sip_status=603, reason="Decline")
        await asyncio.sleep(4)
        assert world.owner.state is CallState.WITH_AGENT
        world.leg.end()

    world = transferred(script, dialler)
    assert (ended(world).outcome, ended(world).reason) == (
        TransferEnd.NO_ANSWER,
        "sip:a@h: busy; sip:b@h: declined",
    )
    nothing_is_left(world, dialler)


@pytest.mark.parametrize("at_once", [False, True])
def test_the_time_for_all_is_up(at_once: bool) -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        await begun(world, order(Warm(detect=False, also=("sip:b@h",), at_once=at_once, within_s=8)))
        (await target(dialler)).ringing()
        await asyncio.sleep(7)
        assert world.owner.state is CallState.DIALLING
        await asyncio.sleep(5)
        assert world.owner.state is CallState.WITH_AGENT
        world.leg.end()

    world = transferred(script, dialler)
    assert told(world)[-1] == "no_answer"
    assert len(dialler.legs) == (2 if at_once else 1)
    nothing_is_left(world, dialler)


def test_screen_data_goes_with_the_call() -> None:
    dialler = FakeDialler()

    async def script(world: CallWorld) -> None:
        with pytest.raises(VerbRefused) as refused:
            await begun(world, order(Warm(headers={"Via": "x"})))
        assert refused.value.kind == "invalid_variable"
        await begun(world, order(Warm(headers={"X-Account": "4711"}, user_to_user="Ada")))
        world.leg.end()

    transferred(script, dialler)
    assert dialler.orders[0].headers == {"X-Account": "4711", "User-to-User": "416461;encoding=hex"}


@pytest.mark.parametrize("kind", [TransferKind.WARM, TransferKind.COLD])
def test_a_fault_of_ours_does_not_keep_the_caller_waiting(kind: TransferKind) -> None:
    dialler = FakeDialler(refusal=OSError("AF_UNIX path too long"))

    async def script(world: CallWorld) -> None:
        await begun(world, order(kind=kind, refer=UseRefer.NEVER))
        assert world.owner.state is CallState.WITH_AGENT
        await asyncio.sleep(4)
        world.leg.end()

    world = transferred(script, dialler)
    assert (ended(world).outcome, ended(world).reason) == (TransferEnd.FAILED, "OSError: AF_UNIX path too long")
    nothing_is_left(world, dialler)
