"""The gateway's queue service over a book in memory, with workers that a test answers for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from agent.warm.asking import AskLost, Refused
from gateway.config import MemberSettings, QueueSettings
from gateway.live_calls import LiveCalls
from gateway.outbound.order import CallOrder
from gateway.outbound.originating import FakeOriginator
from gateway.phones.registered import FakePhones, PhoneChanged
from gateway.queues.fake_book import FakeQueueBook
from gateway.queues.of_settings import OpeningHours, members_of
from gateway.queues.service import PATIENCE_S, QueueService
from gateway.queues.signing import KnownMember
from gateway.record import CallClosed, CallEvents, CallRecord, LegClosed, Outcome, RecordMessage, WorkerLost
from gateway.store import StoreUnavailable
from telephony.call import EndedBy

MONDAY_NOON = datetime(2026, 11, 30, 12, 0, tzinfo=UTC).timestamp()


class Places(FakeOriginator):
    async def place(self, order: CallOrder, call_id: str, ours: Any = None) -> CallRecord:
        self.ids = [*getattr(self, "ids", []), call_id]
        return await super().place(order, call_id)


class Gateway:
    def __init__(self, *, members: tuple[str, ...] = ("anna",), **queue: Any) -> None:
        self.now = MONDAY_NOON
        self.told: list[dict[str, Any]] = []
        self.worker_answers = True
        self.events: list[str] = []
        self.book = FakeQueueBook()
        self.places = Places()
        self.phones = FakePhones.of(dict.fromkeys(members, "udp:127.0.0.1:5070"))
        queues = [QueueSettings.model_validate({"name": "desk", "members": members, **queue})]
        queues.append(QueueSettings.model_validate({"name": "other", "members": ()}))
        settings = [MemberSettings(name=name, target=f"phone:{name}") for name in members]
        self.service = QueueService(
            queues, members_of(settings, queues), self.book, LiveCalls(), self._ask, self._record,
            OpeningHours(queues, ZoneInfo("UTC"), lambda day: False), gateway="g1", places=self.places,
            may_call=self._may_call, file_of=lambda name: f"/{name}.py" if name else "",
            phones=self.phones, known=[KnownMember("anna", "phone:anna", "+1555", "1234")], wall=lambda: self.now,
        )  # fmt: skip

    async def _ask(self, worker: str, topic: str, body: Mapping[str, Any], *, timeout_s: float) -> Mapping[str, Any]:
        if not self.worker_answers:
            raise AskLost("gone")
        self.told.append(dict(body))
        return {}

    def _record(self, message: RecordMessage) -> None:
        if isinstance(message, CallEvents):
            self.events += [str(event["type"]) for event in message.events]

    @staticmethod
    def _may_call(number: str) -> None:
        if not number.startswith("+1555"):
            raise Refused("closed_destination", number)

    async def join(self, call_id: str = "c1", queue: str = "desk", **how: Any) -> Mapping[str, Any]:
        body = {"call_id": call_id, "verb": "join", "queue": queue, "priority": 0, "skills": {}, "callback": "", **how}
        return await self.service.asked("w1", body)

    async def say(self, verb: str, call_id: str = "c1", **how: Any) -> Mapping[str, Any]:
        return await self.service.asked("w1", {"call_id": call_id, "verb": verb, **how})

    async def look(self) -> list[dict[str, Any]]:
        """One step; what workers were told."""
        self.told.clear()
        await self.service.step()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return list(self.told)

    async def busy(self, member: str = "anna") -> int:
        return (await self.book.state(self.now)).states[member].busy

    async def waiting(self) -> list[str]:
        return [each.call_id for each in (await self.book.state(self.now)).waiting]


async def test_a_caller_is_offered_and_accepted() -> None:
    gateway = Gateway()
    answer = await gateway.join()
    assert (answer["position"], answer["terms"]["name"]) == (1, "desk")
    (offer,) = await gateway.look()
    assert (offer["do"], [each["name"] for each in offer["ring"]["members"]]) == ("offer", ["anna"])
    assert await gateway.look() == [], "not twice"
    await gateway.say("offer_over", ends={}, accepted="anna", leg_id="c1-2")
    assert (await gateway.waiting(), await gateway.busy()) == ([], 1)
    gateway.service.observe(_leg_over("c1-2"))
    await asyncio.sleep(0)
    assert await gateway.busy() == 0
    assert gateway.events == ["queue_joined", "queue_offered", "queue_answered"]


async def test_two_callers_want_one_member_and_get_them_one_after_the_other() -> None:
    gateway = Gateway()
    await gateway.join("c1")
    await gateway.join("c2")
    assert [each["call_id"] for each in await gateway.look()] == ["c1"]
    await gateway.say("leave", "c1", how="abandoned")
    assert [each["call_id"] for each in await gateway.look()] == ["c2"]


@pytest.mark.parametrize("how", ["declined", "no_answer", "unreachable"])
async def test_who_does_not_take_the_caller_is_asked_again_later(how: str) -> None:
    gateway = Gateway(retry_s=5.0)
    await gateway.join()
    await gateway.look()
    await gateway.say("offer_over", ends={"anna": how}, accepted="", leg_id="")
    assert await gateway.look() == []
    gateway.now += 6
    assert [each["do"] for each in await gateway.look()] == ["offer"]


async def test_a_worker_that_does_not_hear_the_offer_frees_the_member() -> None:
    gateway = Gateway()
    await gateway.join()
    gateway.worker_answers = False
    await gateway.look()
    assert await gateway.busy() == 0


@pytest.mark.parametrize("lost", [True, False])
async def test_the_end_of_a_call_withdraws_everything(lost: bool) -> None:
    gateway = Gateway()
    await gateway.join()
    await gateway.look()
    gateway.service.observe(_worker_lost("c1") if lost else _call_over("c1"))
    await asyncio.sleep(0)
    assert (await gateway.waiting(), await gateway.busy()) == ([], 0)
    assert gateway.events[-1] == "queue_abandoned"


@pytest.mark.parametrize(
    ("settings", "reason", "to"),
    [
        ({"most_wait_s": 10.0}, "too_long", None),
        ({"most_wait_s": 10.0, "overflow": {"number": "+15551"}}, "too_long", {"number": "+15551"}),
        (
            {"most_wait_s": 10.0, "overflow": {"voicemail": True}},
            "too_long",
            {"persona": "MessageTaker", "file": "/queue_personas.MessageTaker.py"},
        ),
        ({"hours": "sat 10:00-12:00"}, "closed", None),
        ({"members": ()}, "no_members", None),
    ],
)
async def test_who_may_not_wait_is_let_go(settings: dict[str, Any], reason: str, to: Any) -> None:
    gateway = Gateway(**settings)
    if "members" not in settings:
        await gateway.book.pause("anna", "lunch", gateway.now)
    await gateway.service.step()
    await gateway.join()
    gateway.now += 11
    (let,) = await gateway.look()
    assert (let["do"], let["reason"], let["to"]) == ("let_go", reason, to)
    assert (await gateway.waiting(), gateway.events[-1]) == ([], "queue_overflowed")


async def test_one_too_many_is_full() -> None:
    gateway = Gateway(most_waiting=1)
    await gateway.book.pause("anna", "lunch", gateway.now)
    await gateway.join("c1")
    gateway.now += 1
    await gateway.join("c2")
    assert [(each["call_id"], each["reason"]) for each in await gateway.look()] == [("c2", "full")]


async def test_an_overflow_to_another_queue_moves_the_caller() -> None:
    gateway = Gateway(members=(), overflow={"queue": "other"})
    await gateway.join()
    moved = (await gateway.look())[0]
    assert (moved["do"], moved["terms"]["name"]) == ("moved", "other")
    assert [each["do"] for each in await gateway.look()] == ["let_go"], "it has no members either"


async def test_an_unknown_queue_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        await Gateway().join(queue="nobody")
    assert refused.value.kind == "unknown_queue"


async def test_without_the_store_callers_wait_on_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Gateway()
    await gateway.book.pause("anna", "lunch", gateway.now)
    await gateway.join()

    async def away(*_: Any) -> Any:
        raise StoreUnavailable("away")

    monkeypatch.setattr(gateway.book, "renew", away)
    gateway.now += 6
    assert await gateway.look() == []
    gateway.now += PATIENCE_S + 1
    assert [(each["do"], each["reason"]) for each in await gateway.look()] == [("let_go", "unavailable")]
    with pytest.raises(Refused):
        monkeypatch.setattr(gateway.book, "join", away)
        await gateway.join("c2")


async def test_what_the_store_was_not_told_is_told_before_anything_is_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Gateway()
    await gateway.join()
    await gateway.look()
    with monkeypatch.context() as patch:

        async def away(*_: Any) -> Any:
            raise StoreUnavailable("away")

        patch.setattr(gateway.book, "offer_ended", away)
        await gateway.say("offer_over", ends={}, accepted="anna", leg_id="c1-2")
    assert await gateway.look() == [], "the caller talks already: nobody is rung"
    assert (await gateway.waiting(), await gateway.busy()) == ([], 1)


async def test_a_caller_is_moved_forward_and_taken_out() -> None:
    gateway = Gateway()
    await gateway.book.pause("anna", "lunch", gateway.now)
    await gateway.join("c1")
    gateway.now += 1
    await gateway.join("c2")
    assert await gateway.service.prioritise("c2", 5)
    assert [each.priority for each in (await gateway.book.state(gateway.now)).waiting if each.call_id == "c2"] == [5]
    gateway.told.clear()
    assert await gateway.service.remove("c1")
    assert [(each["do"], each["reason"]) for each in gateway.told] == [("let_go", "removed")]
    assert await gateway.waiting() == ["c2"]


async def test_a_member_whose_phone_has_gone_is_offered_nobody_until_it_is_back() -> None:
    gateway = Gateway(leave_empty=False)
    await gateway.join()
    gateway.service.phone_changed(PhoneChanged("anna", False, "expired"))
    await asyncio.sleep(0)
    assert await gateway.look() == []
    gateway.service.phone_changed(PhoneChanged("anna", True, "registered"))
    await asyncio.sleep(0)
    assert [each["do"] for each in await gateway.look()] == ["offer"]


# --- callbacks ----------------------------------------------------------------------------------------------------


async def asked_for(first: str) -> Gateway:
    """Somebody has asked to be called back while the member was away, who is here again."""
    gateway = Gateway(callback_first=first)
    await gateway.book.pause("anna", "lunch", gateway.now)
    await gateway.join()
    await gateway.say("callback", number="+15551234")
    assert (await gateway.waiting(), gateway.events[-1]) == (["c1-cb"], "queue_callback")
    await gateway.book.pause("anna", "", gateway.now)
    await gateway.look()
    return gateway


async def test_a_callback_calls_the_member_and_then_the_person() -> None:
    gateway = await asked_for("member")
    (order,) = gateway.places.orders
    assert (order.to, order.variables["number"]) == ("phone:anna", "+15551234")
    await gateway.say("callback_taken", gateway.places.ids[0], callback="c1-cb")
    await gateway.say("callback_reached", gateway.places.ids[0], callback="c1-cb", leg_id="x-2")
    assert (await gateway.waiting(), await gateway.busy()) == ([], 1)
    gateway.service.observe(_leg_over("x-2"))
    await asyncio.sleep(0)
    assert await gateway.busy() == 0


@pytest.mark.parametrize("taken", [True, False])
async def test_a_callback_that_fails_keeps_its_place(taken: bool) -> None:
    gateway = await asked_for("member")
    if taken:
        await gateway.say("callback_taken", gateway.places.ids[0], callback="c1-cb")
    gateway.service.observe(_call_over(gateway.places.ids[0]))
    await asyncio.sleep(0)
    assert (await gateway.waiting(), await gateway.busy()) == (["c1-cb"], 0)


async def test_a_callback_may_call_the_person_first() -> None:
    gateway = await asked_for("caller")
    (order,) = gateway.places.orders
    assert order.to == "+15551234"
    gateway.told.clear()
    await gateway.join("x", callback="c1-cb")
    await asyncio.sleep(0.01)
    assert [each["do"] for each in gateway.told] == ["offer"], "the member who is claimed for them, at once"
    await gateway.say("offer_over", "x", ends={}, accepted="anna", leg_id="x-2")
    assert (await gateway.waiting(), await gateway.busy()) == ([], 1)


async def test_a_number_that_may_not_be_called_is_refused() -> None:
    gateway = Gateway()
    await gateway.join()
    for verb in ("may_call", "callback"):
        with pytest.raises(Refused):
            await gateway.say(verb, number="+4900")


# --- members by telephone -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phone", "number", "pin", "member", "may_be"),
    [
        ("anna", "", "", "anna", True),
        ("ben", "", "", "", False),
        ("", "+1555", "1234", "anna", True),
        ("", "+1555", "4321", "", True),
        ("", "+1555", "", "", True),
        ("", "+1666", "1234", "", False),
    ],
)
async def test_members_are_known_by_their_phone_or_their_number_and_pin(
    phone: str, number: str, pin: str, member: str, may_be: bool
) -> None:
    gateway = Gateway()
    answer = await gateway.say("sign", does="out", phone=phone, number=number, pin=pin)
    assert answer == {"member": member, "may_be": may_be}
    assert (await gateway.book.state(gateway.now)).states["anna"].signed_in is not bool(member)


def _leg_over(leg_id: str) -> LegClosed:
    return LegClosed(leg_id=leg_id, call_id="x", outcome=Outcome.ANSWERED, ended_at=datetime.now(UTC))


def _call_over(call_id: str) -> CallClosed:
    return CallClosed(
        call_id=call_id, outcome=Outcome.ANSWERED, ended_by=EndedBy.CALLER, ended_at=datetime.now(UTC), end_reason=""
    )


def _worker_lost(call_id: str) -> WorkerLost:
    return WorkerLost(call_ids=(call_id,), leg_ids=(), at=datetime.now(UTC), reason="killed")
