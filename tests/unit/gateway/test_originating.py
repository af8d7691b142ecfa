"""What is decided before anything rings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from agent.testing.virtual_clock import run_virtual
from agent.warm.asking import AskTimedOut, Refused
from gateway.calls.dialling import ORIGINATE, LegPlan
from gateway.config import load_settings
from gateway.dialling import LegDialling
from gateway.dialplan import Dialplan
from gateway.dispatch import Dispatcher
from gateway.live_calls import LiveCalls
from gateway.outbound.order import CallOrder, OrderRefused
from gateway.outbound.originating import Origination
from gateway.outbound.trunks import OutboundTrunks
from gateway.record import CallClosed, CallOpened, RecordMessage
from telephony.call import Direction
from telephony.edge import Dial
from telephony.sip.resolving import Place

SETTINGS = """\
sip:
  listen: ["udp://127.0.0.1:5060"]
  trunks:
    - name: lab
      allow: ["127.0.0.0/8"]
      outbound: {host: 127.0.0.1, port: 5090, destinations: ["+1555"], caller: "+15550199"}
dialplans: [plan.yaml]
workers: 1
"""

LIVEKIT = """\
rooms: livekit
livekit:
  url: ws://127.0.0.1:7880
  api_key: {env: K}
  api_secret: {env: S}
  outbound:
    - {name: closed, address: sip.example.net, numbers: ["+15550100"]}
    - {name: far, address: sip.example.net, numbers: ["+15550100", "+15550101"], destinations: ["+44", "+1555"]}
"""


class World:
    def __init__(
        self,
        folder: Path,
        slots: int = 2,
        more: str = "",
        settings: str = SETTINGS,
        now: Callable[[], float] = lambda: 0.0,
        outbound: str = "",
    ) -> None:
        (folder / "clinic.py").write_text("from agent import Agent\nclass Reminder(Agent):\n    greeting = 'Hi'\n")
        (folder / "plan.yaml").write_text(
            "outbound:\n  - persona: clinic.Reminder\n    recording: true\n    session: {max_call_s: 60}\n" + outbound
        )
        read = load_settings("s.yaml", settings + more)
        self.now = now
        self.dialled_at: list[float] = []
        self.live = LiveCalls()
        self.dispatcher = Dispatcher(self.live)
        self.dispatcher.add("w1", 6001, slots)
        self.records: list[RecordMessage] = []
        self.dials: list[Dial] = []
        self.asked: list[tuple[str, str, Mapping[str, Any]]] = []
        self.draining = False
        self.unwell: set[str] = set()
        self.dead = False
        self.refuses: Refused | None = None
        self.places = (Place("udp", "127.0.0.1", 5090), Place("tcp", "192.0.2.9", 5060))
        trunks = OutboundTrunks(read, self.live, self.dispatcher, self._record, now=now)
        dialling = LegDialling(trunks, self.live, self.dispatcher, self._record, draining=lambda: False)
        dialling.connect(self, self._ask, "192.0.2.1")
        self.placing = Origination(
            read, Dialplan.load([folder / "plan.yaml"], read), self.live, self.dispatcher, dialling,
            self._record, self._ask, draining=lambda: self.draining,
        )  # fmt: skip

    worker_address = ("127.0.0.1", 5070)

    def trunk_is_well(self, trunk: str) -> bool:
        return trunk not in self.unwell

    def trunk_places(self, trunk: str) -> tuple[Place, ...]:
        return self.places

    def allow_dial(self, dial: Dial) -> None:
        self.dials.append(dial)
        self.dialled_at.append(self.now())

    def _record(self, message: RecordMessage) -> None:
        self.records.append(message)
        self.live.observe(message)

    async def _ask(self, worker: str, topic: str, body: Mapping[str, Any], *, timeout_s: float) -> Mapping[str, Any]:
        if self.refuses is not None:
            raise self.refuses
        if self.dead:
            raise AskTimedOut("originate: no answer within 3 s")
        self.asked.append((worker, topic, body))
        return {}


def order(**changes: Any) -> CallOrder:
    return CallOrder.model_validate({"to": "+15557001234", "persona": "clinic.Reminder"} | changes)


async def test_a_worker_is_told_all_that_it_needs(tmp_path: Path) -> None:
    world = World(tmp_path)
    placed = await world.placing.place(order(variables={"name": "Ada"}, ring_timeout_s=12.0, max_call_s=90), "c1")
    assert (placed.direction, placed.trunk, placed.caller) == (Direction.OUTBOUND, "lab", "+15550199")
    ((worker, topic, body),) = world.asked
    plan = LegPlan.from_dict(body["plan"])
    assert (worker, topic, plan.info.variables) == ("w1", ORIGINATE, {"name": "Ada"})
    assert (body["prepare"]["session"], body["prepare"]["persona_class"]) == ({"max_call_s": 90}, "Reminder")
    assert body["prepare"]["recording"].endswith(f"{placed.call_id}.wav")
    (dial,) = world.dials
    assert (dial.leg_id, dial.uri, dial.ring_s) == (plan.leg_id, "sip:+15557001234@127.0.0.1:5090", 12.0)
    (opened,) = world.records
    assert isinstance(opened, CallOpened)
    assert world.dispatcher.free == 1


async def test_a_worker_is_told_what_to_do_about_whoever_answers(tmp_path: Path) -> None:
    world = World(tmp_path, outbound="    answering: {message: below, actions: {ivr: hang_up}}\n")
    await world.placing.place(order(), "c1")
    await world.placing.place(order(answering={"message": "above", "actions": {"fax": "talk"}}), "c2")
    told = [body["prepare"]["answering"] for _, _, body in world.asked]
    assert told == [
        {"message": "below", "actions": {"ivr": "hang_up"}},
        {"message": "above", "actions": {"ivr": "hang_up", "fax": "talk"}},
    ]
    plain = World(tmp_path)
    await plain.placing.place(order(), "c3")
    assert plain.asked[0][2]["prepare"]["answering"] is None


async def test_a_text_of_the_persona_without_its_variable_is_the_orders_mistake(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.refuses = Refused("invalid_variable", "answering.message: the call has no variable 'name'")
    with pytest.raises(OrderRefused, match="no variable 'name'") as refused:
        await world.placing.place(order(), "c1")
    assert (refused.value.kind, refused.value.retryable) == ("invalid_variable", False)
    assert isinstance(world.records[-1], CallClosed)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"answering": {"message": "Hello {name}"}}, "invalid_variable"),
        ({"answering": {"message": "file:hello.wav"}}, "invalid_message"),
        ({"to": "+442071234567"}, "closed_destination"),
        ({"to": "+15551"}, "invalid_number"),
        ({"persona": "clinic.Nobody"}, "unknown_persona"),
        ({"trunk": "other"}, "no_trunk"),
    ],
)
async def test_what_cannot_be_called_takes_no_slot(tmp_path: Path, changes: dict[str, Any], kind: str) -> None:
    world = World(tmp_path)
    with pytest.raises(OrderRefused) as refused:
        await world.placing.place(order(**changes), "c1")
    assert (refused.value.kind, refused.value.retryable) == (kind, False)
    assert (world.dispatcher.free, world.records, world.dials, world.asked) == (2, [], [], [])


async def test_full_or_draining_is_worth_another_try(tmp_path: Path) -> None:
    world = World(tmp_path, slots=1)
    await world.placing.place(order(), "c8")
    with pytest.raises(OrderRefused) as refused:
        await world.placing.place(order(), "c9")
    assert (refused.value.kind, refused.value.retryable) == ("no_slot", True)
    world.draining = True
    with pytest.raises(OrderRefused) as refused:
        await world.placing.place(order(), "c9")
    assert (refused.value.kind, refused.value.retryable) == ("draining", True)


async def test_a_worker_that_does_not_take_it_leaves_a_record_and_no_slot(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.dead = True
    with pytest.raises(OrderRefused) as refused:
        await world.placing.place(order(), "c9")
    assert refused.value.kind == "failed"
    assert [type(message) for message in world.records] == [CallOpened, CallClosed]
    assert world.dispatcher.free == 2


async def test_all_places_of_the_trunk_are_tried_in_the_edges_order(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.placing.place(order(), "c1")
    assert world.dials[0].places == world.places


async def test_a_trunk_whose_hosts_are_not_known_takes_no_call_and_no_slot(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.places = ()
    with pytest.raises(OrderRefused) as refused:
        await world.placing.place(order(), "c9")
    assert (refused.value.kind, refused.value.retryable) == ("no_trunk", True)
    assert (world.dispatcher.free, world.records) == (2, [])


@pytest.mark.parametrize(
    ("changes", "trunk", "caller"),
    [
        ({}, "lab", "+15550199"),  # a trunk of ours comes first
        ({"to": "+442071234567"}, "far", "+15550100"),
        ({"trunk": "far", "from": "+15550101", "ring_timeout_s": 100}, "far", "+15550101"),
    ],
)
async def test_livekit_sip_dials_what_no_trunk_of_ours_does(
    tmp_path: Path, changes: dict[str, Any], trunk: str, caller: str
) -> None:
    world = World(tmp_path, more=LIVEKIT)
    placed = await world.placing.place(order(**changes), "c1")
    assert (placed.trunk, placed.caller) == (trunk, caller)
    ((_, _, body),) = world.asked
    plan = LegPlan.from_dict(body["plan"])
    assert (plan.carrier, len(world.dials)) == (("", 1) if trunk == "lab" else ("far", 0))
    assert plan.ring_limit_s <= 70
    assert world.dispatcher.free == 1


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"trunk": "closed"}, "closed_destination"),
        ({"trunk": "far", "to": "+33142685300"}, "closed_destination"),
        ({"trunk": "far", "from": "+15550177"}, "caller_not_allowed"),
        ({"to": "+33142685300"}, "closed_destination"),
    ],
)
async def test_what_no_carrier_of_livekit_sip_may_call(tmp_path: Path, changes: dict[str, Any], kind: str) -> None:
    world = World(tmp_path, more=LIVEKIT)
    with pytest.raises(OrderRefused) as refused:
        await world.placing.place(order(**changes), "c1")
    assert refused.value.kind == kind
    assert (world.dispatcher.free, world.records, world.asked) == (2, [], [])


async def test_in_local_rooms_livekit_sip_dials_nobody(tmp_path: Path) -> None:
    world = World(tmp_path, more=LIVEKIT.replace("rooms: livekit", "rooms: local"))
    with pytest.raises(OrderRefused) as refused:
        await world.placing.place(order(trunk="far"), "c1")
    assert refused.value.kind == "no_trunk"


def test_a_batch_of_three_times_the_cap_is_paced_exactly(tmp_path: Path) -> None:
    async def batch() -> None:
        loop = asyncio.get_running_loop()
        capped = SETTINGS.replace("allow:", "cap: {calls_per_second: 4, queue_s: 3}\n      allow:")
        world = World(tmp_path, slots=20, settings=capped, now=loop.time)
        began = loop.time()
        placed = await asyncio.gather(
            *(world.placing.place(order(), f"c{n}") for n in range(14)), return_exceptions=True
        )
        assert [dial.leg_id for dial in world.dials] == [f"c{n}-1" for n in range(13)]
        assert [round(at - began, 3) for at in world.dialled_at] == [n / 4 for n in range(13)]
        *_, last = placed
        assert isinstance(last, OrderRefused) and (last.kind, last.retryable) == ("trunk_full", True)
        assert (len(world.records), world.dispatcher.busy) == (13, 13)

    run_virtual(batch())
