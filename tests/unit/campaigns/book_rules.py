"""What campaigns in a store are held to, in SQLite and in PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.campaigns.book import LEASE, NewAttempt
from gateway.campaigns.model import CampaignState, Contact, Done, DoneReason, Later, Number
from gateway.campaigns.order import CampaignOrder
from gateway.record import Outcome
from gateway.store import CallStore
from telephony.call import Direction, EndedBy
from tests.unit.store.records import closed, message_left, opened, talked, verdict

NOW = datetime(2026, 12, 1, 10, tzinfo=UTC)
LONDON = ("Europe/London",)


def people(count: int) -> list[Contact]:
    return [
        Contact(0, f"k{n}", (Number(f"+4420794600{n:02d}", LONDON, "GB"),), {"name": f"Ada {n}"}, consent="contract")
        for n in range(count)
    ]


async def begun(store: CallStore, contacts: int = 5, **pacing: Any) -> str:
    order = CampaignOrder(name="x", persona="a.B", pacing={"calls_per_second": 100, **pacing})  # type: ignore[arg-type]
    await store.campaign_admin.create("c", order, NOW - timedelta(seconds=10))
    assert await store.campaign_admin.add("c", people(contacts), NOW) == contacts
    await store.campaigns.set_state("c", CampaignState.RUNNING, "", NOW)
    return "c"


def attempt(contact: Contact, call_id: str = "call-1", place: int = 1, at: datetime = NOW) -> NewAttempt:
    return NewAttempt("c", contact.contact_id, place, contact.numbers[0].number, call_id, at, "all rules allow it")


async def called(store: CallStore, call_id: str = "call-1", gateway: str = "g1") -> Contact:
    """One contact, with its call under way."""
    (contact,) = (await store.campaigns.take("c", gateway, 1, NOW)).contacts
    assert await store.campaigns.dialling(attempt(contact, call_id), gateway)
    await store.apply([opened(call_id, direction=Direction.OUTBOUND, called=contact.numbers[0].number)])
    return contact


class CampaignBookRules:
    async def test_what_was_added_is_what_is_taken(self, store: CallStore) -> None:
        await begun(store)
        taken = await store.campaigns.take("c", "g1", 2, NOW)
        ids = [contact.contact_id for contact in taken.contacts]
        expected = [replace(each, contact_id=one, added_at=NOW) for one, each in zip(ids, people(2), strict=True)]
        assert list(taken.contacts) == expected
        (campaign,) = await store.campaigns.active(NOW)
        assert (campaign.live, campaign.next_at) == (2, NOW)

    async def test_nobody_is_taken_twice_or_above_the_pace(self, store: CallStore) -> None:
        await begun(store, calls_per_second=3, at_once=100)
        first = await store.campaigns.take("c", "g1", 10, NOW)
        again = await store.campaigns.take("c", "g2", 10, NOW)
        assert (len(first.contacts), len(again.contacts), round(again.due_s, 2)) == (3, 0, 0.33)
        later = await store.campaigns.take("c", "g2", 10, NOW + timedelta(seconds=5))
        assert len({contact.contact_id for contact in (*first.contacts, *later.contacts)}) == 5

    async def test_calls_at_once_are_bounded(self, store: CallStore) -> None:
        await begun(store, at_once=2)
        assert len((await store.campaigns.take("c", "g1", 10, NOW)).contacts) == 2
        assert len((await store.campaigns.take("c", "g2", 10, NOW + timedelta(seconds=9))).contacts) == 0

    async def test_what_is_paused_is_neither_taken_nor_dialled(self, store: CallStore) -> None:
        await begun(store)
        (contact,) = (await store.campaigns.take("c", "g1", 1, NOW)).contacts
        assert await store.campaigns.set_state("c", CampaignState.PAUSED, "by hand", NOW)
        assert not await store.campaigns.dialling(attempt(contact), "g1")
        assert (await store.campaigns.take("c", "g1", 1, NOW)).contacts == ()
        assert await store.campaigns.active(NOW) == ()
        assert not await store.campaigns.set_state("c", CampaignState.DONE, "", NOW, only=[CampaignState.RUNNING])

    async def test_an_attempt_is_made_once(self, store: CallStore) -> None:
        await begun(store)
        contact = await called(store)
        assert not await store.campaigns.dialling(attempt(contact, "call-2"), "g1")
        assert not await store.campaigns.dialling(attempt(contact, "call-3"), "g2")

    async def test_what_its_record_says_became_of_it(self, store: CallStore) -> None:
        await begun(store)
        contact = await called(store)
        assert await store.campaigns.ended("g1", NOW) == ()
        events = [verdict("voicemail", 900), message_left(9000, delivered=True, why="beep")]
        await store.apply([talked("call-1", events), closed("call-1")])
        assert await store.campaigns.ended("g2", NOW) == ()
        (ended,) = await store.campaigns.ended("g1", NOW)
        made = ended.attempt
        assert (made.outcome, made.answered_by, made.delivered) == (Outcome.ANSWERED, "voicemail", True)
        assert ended.contact.attempts == (made,) and not ended.our_fault
        await store.campaigns.settled("c", contact.contact_id, made, Done(DoneReason.REACHED, "message_left"))
        await store.campaigns.settled("c", contact.contact_id, made, Later(NOW, "again"))  # as if two had seen it
        assert await store.campaigns.ended("g1", NOW) == ()
        (campaign,) = await store.campaigns.active(NOW)
        assert campaign.live == 0
        rest = await store.campaigns.take("c", "g1", 10, NOW)
        assert contact.contact_id not in [each.contact_id for each in rest.contacts] and len(rest.contacts) == 4

    async def test_who_waits_is_taken_when_it_is_time(self, store: CallStore) -> None:
        await begun(store, contacts=1)
        contact = await called(store)
        await store.apply([closed("call-1", outcome=Outcome.BUSY, sip_status=486, answered_at=None)])
        (ended,) = await store.campaigns.ended("g1", NOW)
        again_at = NOW + timedelta(minutes=5)
        await store.campaigns.settled("c", contact.contact_id, ended.attempt, Later(again_at, "retry after busy"))
        assert (await store.campaigns.take("c", "g1", 10, again_at - timedelta(seconds=1))).contacts == ()
        (again,) = (await store.campaigns.take("c", "g1", 10, again_at)).contacts
        assert [made.outcome for made in again.attempts] == [Outcome.BUSY]
        assert await store.campaigns.dialling(attempt(again, "call-2", place=2), "g1")

    async def test_a_gateway_that_dies_frees_what_it_had(self, store: CallStore) -> None:
        await begun(store, contacts=2)
        (undialled,) = (await store.campaigns.take("c", "g1", 1, NOW)).contacts
        dialled = await called(store)
        late = NOW + LEASE + timedelta(seconds=1)
        assert await store.campaigns.ended("g2", NOW + LEASE) == ()
        (ended,) = await store.campaigns.ended("g2", late)
        assert (ended.contact.contact_id, ended.attempt.outcome) == (dialled.contact_id, None)
        assert await store.campaigns.ended("g3", late + timedelta(days=1)) == (), "it is another's already"
        await store.campaigns.settled("c", dialled.contact_id, ended.attempt, Later(late, "retry after lost"))
        taken = (await store.campaigns.take("c", "g2", 10, late)).contacts
        assert {contact.contact_id for contact in taken} == {undialled.contact_id, dialled.contact_id}

    async def test_a_gateway_that_lives_keeps_what_it_has(self, store: CallStore) -> None:
        await begun(store, contacts=1)
        await called(store)
        for minutes in range(10):
            await store.campaigns.renew("g1", NOW + timedelta(minutes=minutes) / 2)
            assert await store.campaigns.ended("g2", NOW + timedelta(minutes=minutes) / 2) == ()

    async def test_what_was_refused_on_our_side_is_no_attempt(self, store: CallStore) -> None:
        await begun(store, contacts=1, calls_per_second=1)
        contact = await called(store)
        await store.campaigns.not_dialled("call-1", Later(NOW, "all slots are taken"), NOW)
        (again,) = (await store.campaigns.take("c", "g2", 1, NOW)).contacts  # the pace has the call back
        assert (again.contact_id, again.attempts) == (contact.contact_id, ())

    async def test_faults_on_our_side_are_told_apart(self, store: CallStore) -> None:
        await begun(store, contacts=7)
        ends: list[tuple[dict[str, Any], bool]] = [
            ({"outcome": Outcome.WORKER_LOST, "ended_by": EndedBy.SYSTEM}, True),
            ({"ended_by": EndedBy.SYSTEM, "end_reason": "error"}, True),
            ({"ended_by": EndedBy.SYSTEM, "end_reason": "FactoryFailed: broken failed: RuntimeError: no"}, True),
            ({"outcome": Outcome.FAILED, "ended_by": EndedBy.SYSTEM, "end_reason": "Bad: x", "sip_status": 487}, True),
            ({"ended_by": EndedBy.SYSTEM, "end_reason": "ended over the API"}, False),
            ({"outcome": Outcome.FAILED, "ended_by": EndedBy.CALLER, "sip_status": 503, "answered_at": None}, False),
            ({"ended_by": EndedBy.AGENT, "end_reason": "agent"}, False),
        ]
        for number, (end, ours) in enumerate(ends):
            await called(store, f"call-{number}")
            await store.apply([closed(f"call-{number}", **end)])
            (ended,) = await store.campaigns.ended("g1", NOW)
            assert ended.our_fault is ours, end
            assert not ours or ended.attempt.outcome is Outcome.FAILED, "nobody was reached"
            assert ended.sip_status == end.get("sip_status", 200)
            await store.campaigns.settled("c", ended.contact.contact_id, ended.attempt, Done(DoneReason.REACHED, ""))

    async def test_an_overload_slows_all_gateways_down(self, store: CallStore) -> None:
        await begun(store, contacts=9, calls_per_second=4)
        await store.campaigns.take("c", "g1", 1, NOW)
        await store.campaigns.overloaded("c", NOW, 30.0)
        assert (await store.campaigns.take("c", "g2", 9, NOW + timedelta(seconds=29))).contacts == ()
        assert len((await store.campaigns.take("c", "g2", 9, NOW + timedelta(seconds=31))).contacts) == 2

    async def test_who_opts_out_in_a_call_is_never_called_again(self, store: CallStore) -> None:
        await begun(store, contacts=1)
        contact = await called(store)
        assert await store.campaign_admin.opt_out("call-1", "said in call call-1", NOW)
        await store.apply([closed("call-1", outcome=Outcome.BUSY, sip_status=486, answered_at=None)])
        (ended,) = await store.campaigns.ended("g1", NOW)
        await store.campaigns.settled("c", contact.contact_id, ended.attempt, Later(NOW, "retry after busy"))
        assert (await store.campaigns.take("c", "g1", 10, NOW + timedelta(days=9))).contacts == ()
        (row,) = (await store.campaign_admin.contacts("c", 10, None)).rows
        assert (row.state, row.done, row.rule) == ("done", "opted_out", "said in call call-1")
        (listed,) = (await store.campaign_admin.listed(10, None)).rows
        assert (listed.number, listed.list, listed.campaign_id) == (contact.numbers[0].number, "opted out", "")

    async def test_an_opt_out_in_any_call_is_kept(self, store: CallStore) -> None:
        await begun(store)
        number = people(1)[0].numbers[0].number
        await store.apply([opened("other", direction=Direction.INBOUND, caller=number)])
        assert not await store.campaign_admin.opt_out("other", "said", NOW)
        taken = await store.campaigns.take("c", "g1", 1, NOW)
        assert taken.listed == {number: "opted out"}

    async def test_who_asked_to_be_called_back_is(self, store: CallStore) -> None:
        await begun(store, contacts=1)
        await called(store)
        at = NOW + timedelta(hours=6)
        assert await store.campaign_admin.call_back("call-1", at)
        assert await store.campaign_admin.result("call-1", {"booked": False})
        await store.apply([closed("call-1")])
        (ended,) = await store.campaigns.ended("g1", NOW)
        assert ended.contact.callback_at == at
        (made,) = (await store.campaign_admin.attempts("c", 10, None)).rows
        assert (made.key, made.result) == ("k0", {"booked": False})
        assert not await store.campaign_admin.call_back("other", at)
        assert not await store.campaign_admin.result("other", {})

    async def test_figures_and_decisions(self, store: CallStore) -> None:
        await begun(store, contacts=3)
        contact = await called(store)
        await store.apply([closed("call-1")])
        (ended,) = await store.campaigns.ended("g1", NOW)
        await store.campaigns.settled("c", contact.contact_id, ended.attempt, Done(DoneReason.REACHED, "human"))
        record = await store.campaign_admin.find("c")
        assert record is not None and record.figures is not None
        figures = record.figures
        assert (figures.contacts, figures.done) == ({"done": 1, "waiting": 2}, {"reached": 1})
        assert (figures.attempts, figures.live, figures.next_at) == ({"human": 1}, 0, NOW)
        decisions = await store.campaign_admin.decisions(contact.numbers[0].number)
        assert [(each.verdict, each.rule) for each in decisions] == [("dial", "all rules allow it")]

    async def test_who_is_forgotten_leaves_nothing(self, store: CallStore) -> None:
        await begun(store, contacts=1)
        contact = await called(store)
        assert await store.campaign_admin.forget("c", "k0")
        assert not await store.campaign_admin.forget("c", "k0")
        assert await store.campaign_admin.decisions(contact.numbers[0].number) == ()
        assert (await store.campaign_admin.attempts("c", 10, None)).rows == []

    async def test_a_campaign_that_runs_is_not_deleted(self, store: CallStore) -> None:
        await begun(store)
        assert not await store.campaign_admin.delete("c")
        await store.campaigns.set_state("c", CampaignState.STOPPED, "", NOW)
        assert await store.campaign_admin.delete("c")
        assert await store.campaign_admin.find("c") is None

    async def test_a_key_is_added_once(self, store: CallStore) -> None:
        await begun(store, contacts=2)
        assert await store.campaign_admin.add("c", people(3), NOW) == 1
