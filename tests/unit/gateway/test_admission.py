"""A new INVITE gets a route and a slot, or a reason for refusal. Refused ones leave nothing behind."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.admission import Admission
from gateway.after_call import AfterCalls
from gateway.before_call import FakeAsker
from gateway.config import load_settings
from gateway.config.summary import SummarySettings
from gateway.control import LEG_HEADER, Prepare
from gateway.dialplan import NoRoute, PersonaRef, Route
from gateway.dispatch import Dispatcher
from gateway.live_calls import LiveCalls
from telephony.call import Diversion
from telephony.edge import Forward, InviteInfo, Refuse
from telephony.edge.protocol import Source

SETTINGS = """\
sip:
  listen: ["udp://127.0.0.1:5060"]
  trunks: [{name: local, allow: ["127.0.0.0/8"], region: US}]
dialplans: [plans/demo.yaml]
recordings: /recordings
workers: 1
"""
ROUTE = Route(PersonaRef(Path("/plans/clinic.py"), "Reception"), "demo.yaml:3", "+14155550100", "+14155550123")
INVITE = InviteInfo(
    "sip-1", "4155550100", "4155550100", "4155550123", {"X-A": "1"}, "local", Source("127.0.0.1", 5070, "udp"), 1.0
)


class Plan:
    """A dialplan that decides what the test wants."""

    region = "GB"

    def __init__(self, decision: Any = ROUTE) -> None:
        self.decision = decision
        self.regions: list[str | None] = []

    def numbers(self, called: str, caller: str | None, region: str | None = None) -> tuple[str, str | None]:
        return called, caller

    def after_call(self, rule: str, persona: str) -> Any:
        return SummarySettings(url="https://x.test", by="model") if rule == ROUTE.rule else None

    def decide(self, called: str, caller: str | None, at: datetime, region: str | None = None) -> Any:
        self.regions.append(region)
        self.called = called
        return self.decision


class World:
    def __init__(self, decision: Any = ROUTE, *, slots: int = 1, sends: bool = True, settings: str = SETTINGS) -> None:
        self.live = LiveCalls()
        self.dispatcher = Dispatcher(self.live)
        if slots:
            self.dispatcher.add("w1", 7001, slots)
        self.opened: list[Any] = []
        self.prepared: list[Prepare] = []
        self.plan = Plan(decision)
        self.asker = FakeAsker()
        self.sends = sends
        self.admission = Admission(
            load_settings("s.yaml", settings),
            self.plan,
            self.dispatcher,
            self.live,
            prepare=self._prepare,
            opened=self.opened.append,
            now=lambda: 5.0,
            asker=self.asker,
            after_calls=AfterCalls(load_settings("s.yaml", SETTINGS), self.plan),  # type: ignore[arg-type]
            wall=lambda: datetime(2026, 3, 4, tzinfo=UTC),
        )

    def _prepare(self, worker: str, message: Prepare) -> bool:
        self.prepared.append(message)
        return self.sends

    def refused(self) -> Refuse:
        before = len(self.live)
        answer = self.admission.admit(INVITE)
        assert isinstance(answer, Refuse)
        assert self.opened == []
        assert len(self.live) == before
        return answer


def test_a_call_with_a_route_and_a_slot_is_prepared_recorded_and_forwarded():
    world = World()
    answer = world.admission.admit(INVITE)
    assert isinstance(answer, Forward)
    assert (answer.worker.name, answer.worker.port) == ("w1", 7001)
    assert answer.headers == {LEG_HEADER: answer.leg_id}
    (prepared,), (opened,) = world.prepared, world.opened
    assert prepared.call["call_id"] == opened.call_id
    assert prepared.leg_id == answer.leg_id == f"{opened.call_id}-1"
    assert (opened.called, opened.caller, opened.trunk) == ("+14155550100", "+14155550123", "local")
    assert (opened.persona, opened.rule, opened.worker) == (str(ROUTE.persona), "demo.yaml:3", "w1")
    assert prepared.recording == f"/recordings/2026-03-04/{opened.call_id}.wav"
    assert prepared.summary == "model"
    (call,) = world.live
    assert (call.call_id, call.worker) == (opened.call_id, "w1")
    assert call.recording == f"2026-03-04/{opened.call_id}.wav"
    assert world.plan.regions == ["US"]  # the trunk's before the dialplan's


def test_what_the_trunk_says_beside_the_numbers_reaches_the_call_and_its_record():
    trunk = "numbers: {format: national}, headers_in: [{header: X-Account, variable: account}]"
    world = World(settings=SETTINGS.replace("region: US", f"region: US, {trunk}"))
    said = {"x-account": "A-17\u2028\x01", "X-B": "2"}
    world.admission.admit(replace(INVITE, headers=said, diversions=(Diversion("2125550111", "user-busy"),)))
    ((prepared,), (_, story)) = world.prepared, world.opened
    assert prepared.call["variables"] == {"account": "A-17"}
    assert prepared.call["diversions"] == ({"number": "+12125550111", "reason": "user-busy"},)
    (event,) = story.events
    assert (event["type"], event["by"]) == ("diverted", [{"number": "+12125550111", "reason": "user-busy"}])
    assert world.plan.called == "+14155550100"


def test_a_route_may_leave_the_recording_out():
    world = World(replace(ROUTE, recording=False))
    world.admission.admit(INVITE)
    assert world.prepared[0].recording == ""
    assert [call.recording for call in world.live] == [""]


def test_what_is_not_routed_is_refused_as_the_dialplan_says_without_our_folders():
    decision = NoRoute("no number in plans/demo.yaml is +14155550100", "", "+14155550100", None)
    world = World(decision)
    answer = world.refused()
    assert answer.status == 404
    assert "demo.yaml" in answer.cause_text
    assert "plans/" not in answer.cause_text
    assert (world.prepared, world.dispatcher.busy) == ([], 0)


@pytest.mark.parametrize(
    ("slots", "reason"), [(0, "no call worker is ready"), (1, "all 1 call slots are taken")], ids=["none", "full"]
)
def test_without_a_slot_the_call_is_refused_with_when_to_try_again(slots, reason):
    world = World(slots=slots)
    if slots:
        world.dispatcher.take("other", 0.0)
    answer = world.refused()
    assert (answer.status, answer.retry_after, answer.cause_text) == (503, 5, reason)
    assert not world.admission.status().accepting
    assert world.admission.status().reason == "full"


def test_a_worker_that_has_just_gone_costs_no_slot():
    world = World(sends=False)
    answer = world.refused()
    assert (answer.status, answer.cause_text) == (503, "the call worker is gone")
    assert (world.dispatcher.busy, world.dispatcher.free) == (0, 1)


def test_while_draining_nothing_is_taken():
    world = World()
    world.admission.draining = True
    answer = world.refused()
    assert (answer.status, answer.cause_text) == (503, "the gateway is shutting down")
    assert world.admission.status().reason == "draining"
    assert world.prepared == []


def test_each_call_has_an_id_of_its_own():
    world = World(slots=3)
    ids = {world.admission.admit(INVITE).leg_id for _ in range(3)}
    assert len(ids) == 3
