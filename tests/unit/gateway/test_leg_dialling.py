"""The gateway's answers to a worker asking for a further leg: trunk, destination, slot, and refusals by kind."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from agent.warm.asking import AskTimedOut, Refused
from gateway.calls.dialling import PLACE, DialOrder, LegPlan
from gateway.config import Settings, TrunkSettings
from gateway.dialling import LegDialling
from gateway.dispatch import Dispatcher
from gateway.live_calls import LiveCalls
from gateway.outbound.trunks import OutboundTrunks
from gateway.record import CallOpened, LegClosed, LegOpened, Outcome, RecordMessage
from telephony.call import CallInfo, Direction, LegRole
from telephony.edge import Dial
from telephony.errors import TelephonyMisuse
from telephony.sip.resolving import Place

INFO = CallInfo("c", Direction.INBOUND, "+15550100", "+15550123", "local")
ORDER = DialOrder("c", "c-2", "+15557001")
TICKET = {"path": "/tmp/legs", "token": "secret"}


def trunk(name: str = "local", **outbound: Any) -> TrunkSettings:
    out = {"host": "192.0.2.7", "destinations": ["+1555700"], "caller": "+15550100", **outbound}
    return TrunkSettings.model_validate({"name": name, "allow": ["192.0.2.0/24"], "outbound": out}, strict=False)


def settings_of(*trunks: TrunkSettings) -> Settings:
    return Settings.model_validate(
        {"sip": {"listen": ("udp://127.0.0.1:5060",), "trunks": trunks}, "dialplans": ("plan.yaml",)}
    )


class World:
    """A call in `w1`; records what is requested from edge and workers."""

    worker_address = ("127.0.0.1", 5999)

    def __init__(self, *trunks: TrunkSettings, slots: tuple[int, int] = (2, 2)) -> None:
        self.live = LiveCalls()
        self.dispatcher = Dispatcher(self.live)
        for number, count in enumerate(slots, 1):
            self.dispatcher.add(f"w{number}", 7000 + number, count)
        self.records: list[RecordMessage] = []
        self.dialled: list[Dial] = []
        self.asked: list[tuple[str, str, Mapping[str, Any]]] = []
        self.draining = False
        self.unwell: set[str] = set()
        self.misuse: TelephonyMisuse | None = None
        self.no_answer = False
        self.dispatcher.take("c", 0.0, prefer="w1")
        self.live.observe(CallOpened.of(INFO, started_at=datetime.now(UTC)))
        outbound = OutboundTrunks(
            settings_of(*(trunks or (trunk(),))), self.live, self.dispatcher, self.record, now=lambda: 5.0
        )
        self.dialling = LegDialling(outbound, self.live, self.dispatcher, self.record, draining=lambda: self.draining)
        self.hosts = {each.name: each.outbound.host for each in trunks or (trunk(),) if each.outbound}
        self.dialling.connect(self, self.ask, "203.0.113.5")

    def trunk_is_well(self, trunk: str) -> bool:
        return trunk not in self.unwell

    def trunk_places(self, trunk: str) -> tuple[Place, ...]:
        return (Place("udp", self.hosts[trunk], 5060),)

    def record(self, message: RecordMessage) -> None:
        self.records.append(message)
        self.live.observe(message)

    def allow_dial(self, dial: Dial) -> None:
        if self.misuse is not None:
            raise self.misuse
        self.dialled.append(dial)

    async def ask(self, worker: str, topic: str, body: Mapping[str, Any], *, timeout_s: float) -> Mapping[str, Any]:
        self.asked.append((worker, topic, body))
        if self.no_answer:
            raise AskTimedOut("it does not answer")
        return {}

    def dial(self, order: DialOrder = ORDER, worker: str = "w1") -> Mapping[str, Any]:
        return asyncio.run(self._dial(order, worker))

    async def _dial(self, order: DialOrder, worker: str) -> Mapping[str, Any]:
        return await self.dialling.dial(worker, {**order.to_dict(), "ticket": TICKET})

    def refusal(self, order: DialOrder = ORDER, worker: str = "w1") -> str:
        """The refusal; no slot is taken and nothing is dialled."""
        before = self.dispatcher.busy
        with pytest.raises(Refused) as refused:
            self.dial(order, worker)
        assert (self.dispatcher.busy, self.dialled) == (before, [])
        return refused.value.kind


def test_a_leg_goes_into_the_worker_of_its_call() -> None:
    world = World()
    answer = world.dial()
    plan = LegPlan.from_dict(answer["plan"])
    assert (answer["here"], world.asked) == (True, [])
    assert (plan.leg_id, plan.role, plan.edge) == ("c-2", LegRole.HUMAN, ("127.0.0.1", 5999))
    assert plan.info == CallInfo("c", Direction.OUTBOUND, "+15557001", "+15550100", "local")
    assert plan.media_networks == ("192.0.2.0/24",)
    (dial,) = world.dialled
    assert (dial.worker.name, dial.leg_id, dial.host, dial.port) == ("w1", "c-2", "192.0.2.7", 5060)
    assert (dial.uri, dial.caller) == ("sip:+15557001@192.0.2.7", "sip:+15550100@203.0.113.5")
    (opened,) = world.records
    assert isinstance(opened, LegOpened)
    assert (opened.leg_id, opened.worker, opened.called) == ("c-2", "w1", "+15557001")
    assert world.live.worker_of("c-2") == "w1"


def test_without_a_slot_there_it_goes_into_another_worker_which_is_asked_to_place_it() -> None:
    world = World(slots=(1, 1))
    answer = world.dial()
    assert answer["here"] is False
    ((worker, topic, body),) = world.asked
    assert (worker, topic, body["ticket"]) == ("w2", PLACE, TICKET)
    assert LegPlan.from_dict(body["plan"]) == LegPlan.from_dict(answer["plan"])
    assert world.dialled[0].worker.name == "w2"
    assert ([call.worker for call in world.live], world.live.worker_of("c-2")) == (["w1"], "w2")


def test_a_worker_that_does_not_place_it_costs_the_slot_nothing() -> None:
    world = World(slots=(1, 1))
    world.no_answer = True
    with pytest.raises(Refused) as refused:
        world.dial()
    assert (refused.value.kind, refused.value.retryable) == ("failed", True)
    _, closed = world.records
    assert isinstance(closed, LegClosed)
    assert (closed.leg_id, closed.outcome) == ("c-2", Outcome.FAILED)
    assert world.dispatcher.busy == 1


@pytest.mark.parametrize(
    ("order", "kind"),
    [
        (replace(ORDER, to="+19005551234"), "closed_destination"),
        (replace(ORDER, to="+15557001@evil.example"), "closed_destination"),
        (replace(ORDER, to=""), "closed_destination"),
        (replace(ORDER, caller="us>;tag=1"), "closed_destination"),
        (replace(ORDER, trunk="other"), "no_trunk"),
        (replace(ORDER, call_id="unknown", leg_id="unknown-2"), "unknown_call"),
        (replace(ORDER, leg_id="c-1"), "failed"),
    ],
)
def test_what_is_refused_says_why(order: DialOrder, kind: str) -> None:
    assert World().refusal(order) == kind


def test_refusals_of_the_whole_gateway() -> None:
    world = World(slots=(1, 0))
    assert world.refusal() == "no_slot"
    world.draining = True
    assert world.refusal() == "draining"
    assert World().refusal(worker="w2") == "unknown_call", "a worker asks for its own calls only"
    silent = TrunkSettings.model_validate({"name": "local", "allow": ["192.0.2.0/24"]}, strict=False)
    assert World(silent).refusal() == "no_trunk"
    assert World(trunk(destinations=[])).refusal() == "closed_destination"
    misused = World()
    misused.misuse = TelephonyMisuse("no listen address for tcp, so no call can be placed over it")
    assert misused.refusal() == "no_trunk"


def test_the_first_trunk_that_may_call_there_and_the_one_that_is_named() -> None:
    world = World(trunk("a", destinations=["+44"]), trunk("b"), trunk("c", host="192.0.2.9", caller_choice="any"))
    world.dial()
    world.dial(replace(ORDER, leg_id="c-3", trunk="c", caller="+15550199"))
    assert [(dial.trunk, dial.host) for dial in world.dialled] == [("b", "192.0.2.7"), ("c", "192.0.2.9")]
    assert [[then.trunk for then in dial.then] for dial in world.dialled] == [["c"], []]
    assert world.dialled[1].caller == "sip:+15550199@203.0.113.5"


def test_a_trunk_that_is_not_registered_or_has_no_host_that_is_up_comes_last() -> None:
    world = World(trunk("a"), trunk("b"), trunk("c"))
    world.unwell = {"a"}
    world.dial()
    assert [world.dialled[0].trunk, *(then.trunk for then in world.dialled[0].then)] == ["b", "c", "a"]


def test_an_order_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(Refused, match="cannot be read"):
        asyncio.run(World().dialling.dial("w1", {"call_id": "c"}))
