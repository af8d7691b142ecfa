"""The worker: which INVITEs it takes, what becomes of announced calls, drain, stop, and a lost gateway."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import pytest
from call_world import INFO, PERSONAS, ScriptedProviders, settings

from agent.testing.virtual_clock import run_virtual
from gateway.callworker.worker import CallWorker
from gateway.control import (
    LEG_HEADER,
    Channel,
    DigitByInfo,
    Drain,
    EndLeg,
    Heartbeat,
    LastWord,
    Message,
    Prepare,
    Ready,
    Record,
    Stop,
)
from telephony.errors import PortTaken, TelephonyError
from telephony.fakes import FakeLeg


class FakeEndpoint:
    sip_port = 5099
    call_limit = 4
    slots_in_use = 0

    def __init__(self, on_incoming: Callable[[Any], None]) -> None:
        self.incoming = on_incoming
        self.failure: TelephonyError | None = None
        self.closed = False

    async def start(self) -> None:
        if self.failure is not None:
            raise self.failure

    async def close(self) -> None:
        self.closed = True


class Worker:
    """A call worker on virtual time, seen from its gateway; both ends of the control channel are real."""

    def __init__(self) -> None:
        self.providers = ScriptedProviders(settings())
        self.endpoint: FakeEndpoint
        self.came: list[Message] = []
        self.exit: int | None = None

    async def run(self, script: Callable[[Worker], Awaitable[None]], failure: TelephonyError | None = None) -> None:
        def endpoint(on_incoming: Callable[[Any], None]) -> FakeEndpoint:
            self.endpoint = FakeEndpoint(on_incoming)
            self.endpoint.failure = failure
            return self.endpoint

        worker = CallWorker(settings(), self.providers, endpoint)
        ours, theirs = socket.socketpair()
        self.channel = await Channel.open(ours, self.came.append, lambda: None)
        serving = asyncio.create_task(worker.serve(theirs))
        await asyncio.sleep(0.01)
        await script(self)
        self.channel.send(Stop())
        self.exit = await serving
        self.channel.close()
        await asyncio.sleep(0.01)
        theirs.close()
        ours.close()

    def prepare(self, call_id: str = "call-1", persona: str = "Greeter") -> None:
        info = {**asdict(INFO), "call_id": call_id}
        self.channel.send(Prepare(f"{call_id}-1", info, str(PERSONAS), persona, "rule"))

    def invite(self, call_id: str = "call-1") -> FakeLeg:
        leg = FakeLeg(headers={LEG_HEADER: f"{call_id}-1"} if call_id else {}, now=asyncio.get_running_loop().time)
        self.endpoint.incoming(leg)
        return leg

    def records(self, message: str = "call_closed") -> list[dict[str, Any]]:
        bodies = [dict(each.body) for each in self.came if isinstance(each, Record)]
        return [body for body in bodies if body["message"] == message]

    @property
    def held(self) -> list[str]:
        """What the last heartbeat listed."""
        return [beat for beat in self.came if isinstance(beat, Heartbeat)][-1].legs


def work(script: Callable[[Worker], Awaitable[None]], failure: TelephonyError | None = None) -> Worker:
    async def run() -> Worker:
        worker = Worker()
        await worker.run(script, failure)
        return worker

    return run_virtual(run())


async def wait(seconds: float) -> None:
    await asyncio.sleep(seconds)


async def play_out(leg: FakeLeg) -> None:
    for _ in range(200):
        await wait(0.02)
        if leg.audio is not None:
            leg.tick()
    await wait(0.1)


def test_a_worker_says_what_it_can_hold_and_lives_until_it_is_stopped():
    async def script(worker: Worker) -> None:
        await wait(3.5)

    worker = work(script)
    ready = worker.came[0]
    assert isinstance(ready, Ready)
    assert (ready.sip_port, ready.slots) == (5099, 4)
    assert sum(isinstance(each, Heartbeat) for each in worker.came) == 3
    assert (worker.exit, worker.endpoint.closed) == (0, True)


def test_an_endpoint_that_cannot_start_ends_the_worker():
    worker = work(lambda worker: wait(0.1), PortTaken("udp://127.0.0.1:0"))
    assert worker.exit == 1
    assert worker.came == []


@pytest.mark.parametrize("call_id", ["", "call-9"])
def test_an_invite_that_nobody_announced_is_refused(call_id):
    async def script(worker: Worker) -> None:
        leg = worker.invite(call_id)
        await wait(2)
        assert leg.verbs == [("reject", 403, "Not announced")]
        assert worker.held == []

    assert work(script).records() == []


@pytest.mark.parametrize("order", ["prepare first", "invite first"])
def test_prepare_and_invite_may_come_in_either_order(order):
    async def script(worker: Worker) -> None:
        if order == "prepare first":
            worker.prepare()
            await wait(0.5)
            leg = worker.invite()
        else:
            leg = worker.invite()
            await wait(0.5)
            worker.prepare()
        await wait(2)
        assert leg.answered
        assert leg.info.called == INFO.called
        assert worker.held == ["call-1-1"]
        leg.end()
        await wait(2)
        assert worker.held == []

    (closed,) = work(script).records()
    assert (closed["outcome"], closed["ended_by"]) == ("answered", "caller")


def test_a_second_invite_of_a_call_is_refused_and_the_call_goes_on():
    async def script(worker: Worker) -> None:
        both = [worker.invite(), worker.invite()]  # ahead of their Prepare, which would release both
        await wait(0.2)
        worker.prepare()
        await wait(2)
        third = worker.invite()
        await wait(0.1)
        assert [leg.answered for leg in (*both, third)] == [True, False, False]
        assert both[1].verbs == third.verbs == [("reject", 403, "Not announced")]

    worker = work(script)
    assert len(worker.records()) == 1


def test_two_invites_that_nobody_announced_are_both_refused():
    async def script(worker: Worker) -> None:
        first = worker.invite()
        await wait(0.5)
        second = worker.invite()
        await wait(2)
        assert first.verbs == second.verbs == [("reject", 403, "Not announced")]

    work(script)


def test_an_invite_that_was_refused_does_not_spoil_a_later_one_of_the_same_call():
    async def script(worker: Worker) -> None:
        early = worker.invite()
        await wait(1.5)
        assert early.verbs[0][1] == 403
        worker.prepare()
        leg = worker.invite()
        await wait(1)
        assert leg.answered

    work(script)


def test_a_prepared_call_whose_invite_never_comes_is_forgotten_with_a_record():
    async def script(worker: Worker) -> None:
        worker.prepare()
        await wait(2)
        assert worker.held == ["call-1-1"]
        await wait(8)
        assert worker.held == []
        leg = worker.invite()
        await wait(1.5)
        assert leg.verbs == [("reject", 403, "Not announced")]

    (closed,) = work(script).records()
    assert (closed["outcome"], closed["end_reason"]) == ("failed", "its INVITE never came")


def test_a_prepared_call_that_the_gateway_gives_up_is_not_taken_any_more():
    async def script(worker: Worker) -> None:
        worker.prepare()
        await wait(0.1)
        worker.channel.send(EndLeg("call-1-1", False, "the caller gave up"))
        await wait(0.1)
        leg = worker.invite()
        await wait(1.5)
        assert leg.verbs == [("reject", 403, "Not announced")]

    (closed,) = work(script).records()
    assert closed["end_reason"] == "the caller gave up"


def test_keys_by_info_reach_their_call():
    async def script(worker: Worker) -> None:
        worker.prepare(persona="Silent")
        leg = worker.invite()
        await wait(1)
        worker.channel.send(DigitByInfo("call-1-1", "5", 160))
        worker.channel.send(DigitByInfo("nobody", "6", 160))
        worker.channel.send(DigitByInfo("call-1-1", "7", 0))
        await wait(1)
        leg.end()

    events = [event for body in work(script).records("call_events") for event in body["events"]]
    digits = [event["digit"] for event in events if event["type"] == "digit_received"]
    assert digits == ["5", "7"]


def test_a_call_whose_caller_is_gone_unnoticed_ends_as_the_callers():
    async def script(worker: Worker) -> None:
        worker.prepare()
        worker.invite()
        await wait(1)
        worker.channel.send(EndLeg("call-1-1", False, "the caller hung up", by_peer=True))
        worker.prepare("call-2")
        await wait(0.1)
        worker.channel.send(EndLeg("call-2-1", False, "refused: 488", sip_status=488))
        await wait(1)

    taken, refused = sorted(work(script).records(), key=lambda body: body["call_id"])
    assert (taken["ended_by"], taken["end_reason"]) == ("caller", "the caller hung up")
    assert (refused["outcome"], refused["sip_status"], refused["end_reason"]) == ("failed", 488, "refused: 488")


def test_a_refusal_that_fails_takes_nothing_along():
    async def script(worker: Worker) -> None:
        worker.prepare()
        good, bad = worker.invite(), FakeLeg(headers={})
        bad.failures["reject"] = TelephonyError("the leg's own fault")
        worker.endpoint.incoming(bad)
        await wait(1)
        assert good.answered

    assert work(script).exit == 0


@pytest.mark.parametrize(("politely", "by"), [(True, "agent"), (False, "system")])
def test_one_call_is_ended_and_the_other_goes_on(politely, by):
    async def script(worker: Worker) -> None:
        legs = []
        for call_id in ("call-1", "call-2"):
            worker.prepare(call_id, "Silent")
            legs.append(worker.invite(call_id))
        await wait(1)
        worker.channel.send(EndLeg("call-1-1", politely, "asked for"))
        worker.channel.send(EndLeg("call-3", politely, "not here"))
        await play_out(legs[0])
        assert [leg.ended is not None for leg in legs] == [True, False]
        assert [body["ended_by"] for body in worker.records()] == [by]

    work(script)


def test_a_drain_says_goodbye_and_calls_that_come_later_are_refused():
    async def script(worker: Worker) -> None:
        worker.prepare("call-1", "Silent")
        worker.prepare("call-2", "Silent")
        first = worker.invite("call-1")
        await wait(1)
        worker.channel.send(Drain("the gateway is shutting down"))
        await wait(0.1)
        assert first.ended is None
        late = worker.invite("call-2")
        await wait(0.1)
        assert late.verbs[-1] == ("reject", 503, "Service Unavailable")
        await play_out(first)
        assert any(first.heard)

    by_call = {body["call_id"]: body for body in work(script).records()}
    assert by_call["call-1"]["end_reason"] == "drained"
    assert (by_call["call-2"]["outcome"], by_call["call-2"]["end_reason"]) == ("failed", "the gateway is shutting down")


@pytest.mark.parametrize("persona", ["Greeter", "HangsLeaving", "HangsEntering"])
def test_a_stop_hangs_up_and_every_record_is_sent_before_the_worker_goes(persona):
    async def script(worker: Worker) -> None:
        worker.prepare("call-1", persona)
        leg = worker.invite()
        await wait(1)
        assert leg.answered

    worker = work(script)
    (closed,) = worker.records()
    assert (closed["outcome"], closed["ended_by"], closed["end_reason"]) == ("answered", "system", "gateway stopped")
    assert worker.exit == 0


def test_a_gateway_that_is_gone_ends_calls_and_worker():
    legs: list[FakeLeg] = []

    async def script(worker: Worker) -> None:
        worker.prepare()
        legs.append(worker.invite())
        await wait(1)
        worker.channel.close()
        await wait(0.1)

    worker = work(script)
    assert legs[0].verbs[-1] == ("hang_up", "gateway stopped")
    assert worker.exit == 0


@pytest.mark.parametrize("told_to_stop", [False, True])
def test_a_worker_whose_gateway_was_killed_says_its_last_words_itself(told_to_stop: bool):
    heard: list[bytes] = []

    async def script(worker: Worker) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
            phone.bind(("127.0.0.1", 0))
            phone.setblocking(False)
            ip, port = phone.getsockname()
            for call_id in ("call-1", "call-2"):
                worker.prepare(call_id)
                leg = worker.invite(call_id)
                worker.channel.send(LastWord(f"{call_id}-1", ip, port, f"BYE {call_id}"))
                await wait(1)
            leg.end()  # that call is over
            await wait(2)
            if told_to_stop:
                worker.channel.send(Stop())
                await wait(0.1)
            worker.channel.close()
            await wait(3)
            with suppress(BlockingIOError):
                while True:
                    heard.append(phone.recv(100))

    worker = work(script)
    assert heard == ([] if told_to_stop else [b"BYE call-1"] * 3)
    assert worker.exit == 0


def test_a_slot_that_pjsip_still_holds_is_told_before_the_end_of_its_call_and_until_it_is_free():
    async def script(worker: Worker) -> None:
        worker.prepare()
        leg = worker.invite()
        await wait(2)
        worker.endpoint.slots_in_use = 1
        leg.end()
        await wait(0.5)
        worker.endpoint.slots_in_use = 0
        await wait(0.2)

    came = work(script).came
    end = next(i for i, each in enumerate(came) if isinstance(each, Record) and each.body["message"] == "call_closed")
    before = came[end - 1]
    assert isinstance(before, Heartbeat)
    assert before.lingering == 1
    assert [each.lingering for each in came[end:] if isinstance(each, Heartbeat)][-1] == 0


def lingering(came: list[Message]) -> list[int]:
    return [each.lingering for each in came if isinstance(each, Heartbeat)]


def test_a_call_that_is_only_expected_does_not_hide_a_slot_that_pjsip_still_holds():
    """It did once: one call too many was sent to the worker, and PJSIP answered 486."""

    async def script(worker: Worker) -> None:
        worker.prepare()
        leg = worker.invite()
        await wait(2)
        worker.endpoint.slots_in_use = 1  # the caller has vanished: its BYE is not answered
        leg.end()
        await wait(0.5)
        worker.prepare("call-2")
        await wait(0.5)
        assert lingering(worker.came)[-1] == 1
        worker.invite("call-2")
        worker.endpoint.slots_in_use = 2
        await wait(0.5)
        assert lingering(worker.came)[-1] == 1
        worker.endpoint.slots_in_use = 1
        await wait(0.5)
        assert lingering(worker.came)[-1] == 0

    work(script)


def test_an_invite_that_comes_when_its_call_has_been_given_up_is_a_slot_that_is_told_at_once():
    async def script(worker: Worker) -> None:
        worker.prepare()
        await wait(1.1)
        worker.channel.send(EndLeg("call-1-1", False, "cancelled", by_peer=True))
        await wait(0.1)
        assert worker.records() and lingering(worker.came)[-1] == 0
        worker.endpoint.slots_in_use = 1
        worker.invite()
        await wait(0.01)
        (last,) = [each for each in worker.came if isinstance(each, Heartbeat)][-1:]
        assert (last.lingering, last.unannounced) == (0, ["call-1-1"])

    work(script)


def test_an_invite_ahead_of_its_announcement_does_not_linger():
    async def script(worker: Worker) -> None:
        worker.endpoint.slots_in_use = 1
        worker.invite()
        await wait(0.01)
        worker.prepare()
        await wait(0.15)
        first, *_, last = [
            each for each in worker.came if isinstance(each, Heartbeat) and (each.legs or each.unannounced)
        ]
        assert (first.lingering, first.unannounced) == (0, ["call-1-1"])
        assert (last.lingering, last.unannounced) == (0, [])

    work(script)
