"""What every `QueueBook` keeps to: the one in memory, SQLite's and PostgreSQL's. A test class of each derives from this
with a fixture `books`: one book for each of two gateways on one database, and `again`, which makes a third."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gateway.queues.book import QueueBook
from gateway.queues.figures import MemberWork, QueueFigures
from gateway.queues.model import Member, MemberState, OfferEnd, Place, Queue, Skill, Strategy, Waiting, WaitingEnd
from tests.unit.queues.people import caller, member, skills

__all__ = ["DAY", "MEMBERS", "QUEUES", "Books", "QueueBookRules"]

DAY = 86_400.0
T0 = 20_000 * DAY + 12 * 3600  # noon, UTC
LEASE_S = 15.0
QUEUES = (
    Queue("desk", wrap_up_s=10, service_level_s=20, callback_attempts=2, callback_retry_s=300),
    Queue("all", Strategy.RING_ALL),
    Queue("sales"),
)
MEMBERS = (member("anna"), member("ben", 1, queues=("desk", "all")), member("cleo", 2, queues=("all",), at_once=2))


class Books:
    """`one` and `two`: of gateways g1 and g2. `again()`: another book, as a gateway has it after a restart."""

    def __init__(self, make: Callable[[], QueueBook]) -> None:
        self._make = make
        self.one, self.two = self.again(), self.again()

    def again(self) -> QueueBook:
        book = self._make()
        book.configure(QUEUES, MEMBERS)
        return book


def at(call_id: str, joined_at: float = T0, **more: object) -> Waiting:
    return caller(call_id, joined_at, **more)  # type: ignore[arg-type]


async def calls(book: QueueBook) -> list[str]:
    return [each.call_id for each in (await book.state(T0)).waiting]


async def of(book: QueueBook, name: str, now: float = T0) -> MemberState:
    return (await book.state(now)).states[name]


async def joined(book: QueueBook, *callers: Waiting) -> None:
    for each in callers:
        await book.join(each, each.joined_at, LEASE_S)


async def talk(book: QueueBook, call_id: str, name: str, start: float, talked_s: float) -> None:
    """A whole call: offered, accepted, ended."""
    assert await book.claim(call_id, name, start, LEASE_S)
    assert await book.offer_ended(call_id, name, OfferEnd.ACCEPTED, start)
    await book.call_ended(call_id, name, talked_s, start + talked_s)


class QueueBookRules:
    # --- callers ---

    async def test_all_of_a_caller_is_kept(self, books: Books) -> None:
        a = at("a", priority=3, skills=skills(german=4, billing=1), announced_at=T0 + 1)
        b = at("b", T0 + 2, gateway="g2", callback_to="+15550100", callback_member_first=False, callback_at=T0 + 9)
        await joined(books.one, a, b)
        state = await books.two.state(T0)
        assert (state.waiting, state.queues, state.members) == ((a, b), QUEUES, MEMBERS)

    async def test_joining_twice_keeps_the_first_place(self, books: Books) -> None:
        await joined(books.one, at("a"), at("b", T0 + 1), at("a", T0 + 5, priority=9))
        assert (await books.one.state(T0)).waiting == (at("a"), at("b", T0 + 1))

    async def test_leaving_is_once(self, books: Books) -> None:
        await joined(books.one, at("a"))
        assert await books.one.leave("a", WaitingEnd.ABANDONED, T0 + 5)
        assert not await books.two.leave("a", WaitingEnd.LEFT, T0 + 6)
        assert not await books.one.leave("never there", WaitingEnd.LEFT, T0 + 6)
        assert await calls(books.one) == []

    async def test_a_call_may_wait_again_in_another_queue(self, books: Books) -> None:
        await joined(books.one, at("a"))
        await books.one.leave("a", WaitingEnd.OVERFLOWED, T0 + 60, "too_long")
        await joined(books.one, at("a", T0 + 60, queue="sales"))
        assert (await books.two.state(T0)).waiting == (at("a", T0 + 60, queue="sales"),)

    async def test_a_callers_priority_can_be_changed_from_any_gateway(self, books: Books) -> None:
        await joined(books.one, at("a"), at("b", T0 + 1))
        assert await books.two.prioritise("b", 5)
        assert not await books.two.prioritise("never there", 5)
        assert (await books.one.state(T0)).waiting == (at("a"), at("b", T0 + 1, priority=5))

    async def test_an_announcement_is_remembered(self, books: Books) -> None:
        await joined(books.one, at("a"))
        await books.one.announced("a", T0 + 7)
        await books.one.announced("never there", T0 + 7)
        assert (await books.two.state(T0)).waiting == (at("a", announced_at=T0 + 7),)

    # --- offers ---

    async def test_a_member_is_claimed_once_over_all_gateways(self, books: Books) -> None:
        await joined(books.one, at("a"), at("b", gateway="g2"))
        assert await books.one.claim("a", "anna", T0, LEASE_S)
        assert not await books.two.claim("b", "anna", T0, LEASE_S)
        assert not await books.one.claim("a", "anna", T0, LEASE_S)
        assert (await books.two.state(T0)).waiting[0] == at("a", offered_to=("anna",), offers=1)
        it = await of(books.two, "anna")
        assert (it.busy, it.ringing, it.last_offered_at) == (1, True, T0)

    async def test_a_caller_is_offered_to_one_member_at_a_time(self, books: Books) -> None:
        await joined(books.one, at("a"), at("r", queue="all"))
        assert await books.one.claim("a", "anna", T0, LEASE_S)
        assert not await books.one.claim("a", "ben", T0, LEASE_S)
        assert await books.one.claim("r", "ben", T0, LEASE_S) and await books.one.claim("r", "cleo", T0, LEASE_S)
        assert (await books.one.state(T0)).waiting[1].offered_to == ("ben", "cleo")

    async def test_nobody_is_claimed_who_cannot_take_a_call(self, books: Books) -> None:
        book = books.one
        await joined(book, at("a"))
        await book.pause("anna", "lunch", T0)
        assert not await book.claim("a", "anna", T0, LEASE_S)
        await book.pause("anna", "", T0)
        await book.sign("anna", T0, signed_in=False)
        assert not await book.claim("a", "anna", T0, LEASE_S)
        await book.sign("anna", T0, signed_in=True)
        await book.reachable("anna", is_reachable=False)
        assert not await book.claim("a", "anna", T0, LEASE_S)
        await book.reachable("anna", is_reachable=True)
        assert not await book.claim("a", "nobody", T0, LEASE_S)
        assert not await book.claim("never there", "anna", T0, LEASE_S)
        assert await book.claim("a", "anna", T0, LEASE_S)

    async def test_nobody_is_claimed_in_wrap_up(self, books: Books) -> None:
        book = books.one
        await joined(book, at("a"), at("b"))
        await talk(book, "a", "anna", T0, 60)
        assert (await of(book, "anna")).wraps_up_until == T0 + 70
        assert not await books.two.claim("b", "anna", T0 + 69, LEASE_S)
        assert await books.two.claim("b", "anna", T0 + 70, LEASE_S)

    async def test_wrap_up_can_end_early_and_counts_as_long_as_it_was(self, books: Books) -> None:
        book = books.one
        await joined(book, at("a"), at("b"))
        await talk(book, "a", "anna", T0, 60)
        await book.wrapped_up("anna", T0 + 64)
        await book.wrapped_up("anna", T0 + 65)  # once is enough
        assert await book.claim("b", "anna", T0 + 65, LEASE_S)
        assert (await book.history(T0, T0 + DAY)).members == (MemberWork("anna", "desk", 1, 60, 4),)

    async def test_several_calls_at_once_but_one_offer(self, books: Books) -> None:
        book = books.one
        await joined(book, *(at(name, queue="all") for name in "abc"))
        assert await book.claim("a", "cleo", T0, LEASE_S)
        assert not await book.claim("b", "cleo", T0, LEASE_S)
        await book.offer_ended("a", "cleo", OfferEnd.ACCEPTED, T0)
        assert await book.claim("b", "cleo", T0, LEASE_S)
        await book.offer_ended("b", "cleo", OfferEnd.ACCEPTED, T0)
        assert not await book.claim("c", "cleo", T0, LEASE_S)
        assert (await of(book, "cleo")).busy == 2

    async def test_a_refusal_keeps_the_callers_place_and_is_remembered_of_the_member(self, books: Books) -> None:
        book = books.one
        await joined(book, at("a"), at("b", T0 + 1))
        for how in (OfferEnd.DECLINED, OfferEnd.NO_ANSWER, OfferEnd.UNREACHABLE):
            assert await book.claim("a", "anna", T0, LEASE_S)
            assert await book.offer_ended("a", "anna", how, T0 + 8)
        assert (await books.two.state(T0)).waiting == (at("a", offers=3), at("b", T0 + 1))
        it = await of(books.two, "anna")
        assert (it.busy, it.ringing, dict(it.refused_at)) == (0, False, {"desk": T0 + 8})

    async def test_a_withdrawn_offer_is_no_refusal(self, books: Books) -> None:
        book = books.one
        await joined(book, at("a"))
        assert await book.claim("a", "anna", T0, LEASE_S)
        assert await book.leave("a", WaitingEnd.ABANDONED, T0 + 2)
        assert (await of(book, "anna")).ringing  # until the phone is silent
        assert await book.offer_ended("a", "anna", OfferEnd.WITHDRAWN, T0 + 3)
        assert await of(book, "anna") == MemberState("anna", last_offered_at=T0)
        assert not await book.offer_ended("a", "anna", OfferEnd.WITHDRAWN, T0 + 3)

    async def test_acceptance_ends_the_wait_and_occupies_the_member(self, books: Books) -> None:
        book = books.one
        await joined(book, at("a"))
        assert await book.claim("a", "anna", T0, LEASE_S)
        assert await book.offer_ended("a", "anna", OfferEnd.ACCEPTED, T0 + 4)
        assert await calls(book) == []
        it = await of(books.two, "anna")
        assert (it.busy, it.ringing, it.taken_today) == (1, False, 1)
        await book.call_ended("a", "anna", 100, T0 + 104)
        await book.call_ended("a", "anna", 999, T0 + 1000)  # once
        it = await of(books.two, "anna")
        assert (it.busy, it.last_ended_at, it.wraps_up_until) == (0, T0 + 104, T0 + 114)
        assert (await book.state(T0)).service_s == {"desk": 110}

    async def test_the_first_of_two_who_accept_has_the_caller(self, books: Books) -> None:
        book = books.one
        await joined(book, at("r", queue="all"))
        assert await book.claim("r", "ben", T0, LEASE_S) and await book.claim("r", "cleo", T0, LEASE_S)
        assert await book.offer_ended("r", "ben", OfferEnd.ACCEPTED, T0 + 4)
        assert not await book.offer_ended("r", "cleo", OfferEnd.ACCEPTED, T0 + 4)
        assert ((await of(book, "ben")).busy, (await of(book, "cleo")).busy) == (1, 0)

    async def test_who_accepts_as_the_caller_hangs_up_is_free_again(self, books: Books) -> None:
        book = books.one
        await joined(book, at("a"))
        assert await book.claim("a", "anna", T0, LEASE_S)
        assert await book.leave("a", WaitingEnd.ABANDONED, T0 + 2)
        assert not await book.offer_ended("a", "anna", OfferEnd.ACCEPTED, T0 + 2)
        it = await of(book, "anna")
        assert (it.busy, it.taken_today) == (0, 0)

    # --- leases ---

    async def test_a_dead_gateway_frees_its_members_and_its_callers_are_lost_but_callbacks_go_on(
        self, books: Books
    ) -> None:
        one, two = books.one, books.two
        await joined(one, at("a"), at("r", queue="all"), at("k", T0 + 1, callback_to="+1555"), at("t"))
        await joined(two, at("theirs", T0 + 2, gateway="g2"))
        assert await one.claim("t", "ben", T0, LEASE_S) and await one.offer_ended("t", "ben", OfferEnd.ACCEPTED, T0)
        assert await one.claim("k", "anna", T0, LEASE_S) and await one.claim("r", "cleo", T0, LEASE_S)
        for now in range(0, 16, 5):
            await two.renew("g2", T0 + now, LEASE_S)
        assert len(await calls(two)) == 4
        await two.renew("g2", T0 + 17, LEASE_S)
        k = at("k", T0 + 1, callback_to="+1555", gateway="g2", offers=1)
        assert (await two.state(T0)).waiting == (k, at("theirs", T0 + 2, gateway="g2"))
        assert [(await of(two, name)).busy for name in ("anna", "ben", "cleo")] == [0, 0, 0]
        assert await two.claim("k", "anna", T0 + 17, LEASE_S)
        assert not await one.offer_ended("r", "cleo", OfferEnd.ACCEPTED, T0 + 17)  # it was not dead after all
        (desk,) = [each for each in (await two.history(T0, T0 + DAY)).queues if each.queue == "desk"]
        assert (desk.answered, desk.lost) == (1, 1)

    async def test_what_is_renewed_lives_on(self, books: Books) -> None:
        await joined(books.one, at("a"))
        assert await books.one.claim("a", "anna", T0, LEASE_S)
        for now in range(0, 60, 5):
            await books.one.renew("g1", T0 + now, LEASE_S)
            await books.two.renew("g2", T0 + now + 1, LEASE_S)
        assert (await books.two.state(T0)).waiting == (at("a", offers=1, offered_to=("anna",)),)

    async def test_after_the_store_was_away_nobody_is_taken_for_dead_at_once(self, books: Books) -> None:
        await joined(books.one, at("a"))
        for book, name in ((books.one, "g1"), (books.two, "g2")):
            await book.renew(name, T0, LEASE_S)
        later = T0 + 600
        await books.two.renew("g2", later, LEASE_S)
        assert await calls(books.two) == ["a"]
        await books.one.renew("g1", later + 1, LEASE_S)
        await books.two.renew("g2", later + 5, LEASE_S)
        assert await calls(books.two) == ["a"]

    async def test_a_lost_caller_who_lives_goes_on_in_the_same_place(self, books: Books) -> None:
        await joined(books.one, at("a", announced_at=T0 + 1, priority=2))
        await books.two.renew("g2", T0 + 20, LEASE_S)
        await books.two.renew("g2", T0 + 25, LEASE_S)
        assert await calls(books.two) == []
        await books.one.join(at("a", T0 + 30), T0 + 30, LEASE_S)
        assert (await books.two.state(T0)).waiting == (at("a", announced_at=T0 + 1, priority=2),)
        assert (await books.two.history(T0, T0 + DAY)).queues == ()

    async def test_a_restarted_gateway_keeps_its_living_calls_and_its_callbacks(self, books: Books) -> None:
        one = books.one
        await joined(one, at("a"), at("b", T0 + 1), at("k", T0 + 2, callback_to="+1555"), at("t"), at("u"))
        await joined(books.two, at("theirs", T0 + 3, gateway="g2"))
        assert await one.claim("t", "anna", T0, LEASE_S) and await one.offer_ended("t", "anna", OfferEnd.ACCEPTED, T0)
        assert await one.claim("u", "ben", T0, LEASE_S) and await one.offer_ended("u", "ben", OfferEnd.ACCEPTED, T0)
        again = books.again()
        await again.resume("g1", ["a", "t"], T0 + 100, LEASE_S)
        assert await calls(again) == ["a", "k", "theirs"]
        assert ((await of(again, "anna")).busy, (await of(again, "ben")).busy) == (1, 0)
        await books.two.renew("g2", T0 + 104, LEASE_S)
        await books.two.renew("g2", T0 + 109, LEASE_S)
        assert await calls(again) == ["a", "k", "theirs"]
        await again.call_ended("t", "anna", 50, T0 + 110)
        assert (await of(again, "anna")).busy == 0

    # --- callbacks ---

    async def test_a_callback_is_tried_as_often_as_the_queue_says(self, books: Books) -> None:
        book = books.one
        await joined(book, at("k", callback_to="+1555"))
        assert await book.claim("k", "anna", T0, LEASE_S)
        assert await book.callback_missed("k", "anna", T0 + 30)
        (k,) = (await book.state(T0)).waiting
        assert (k.joined_at, k.callback_attempts, k.callback_at, k.offered_to) == (T0, 1, T0 + 330, ())
        it = await of(book, "anna")
        assert (it.busy, dict(it.refused_at)) == (0, {})
        assert await book.claim("k", "anna", T0 + 330, LEASE_S)
        assert not await book.callback_missed("k", "anna", T0 + 360)
        assert not await book.callback_missed("k", "anna", T0 + 360)
        assert await calls(book) == []
        assert (await book.history(T0, T0 + DAY)).queues == (QueueFigures("desk", callbacks_missed=1),)

    async def test_a_members_refusal_is_no_attempt_of_the_callback(self, books: Books) -> None:
        await joined(books.one, at("k", callback_to="+1555"))
        for _ in range(3):
            assert await books.one.claim("k", "anna", T0, LEASE_S)
            assert await books.one.offer_ended("k", "anna", OfferEnd.NO_ANSWER, T0 + 5)
        (k,) = (await books.one.state(T0)).waiting
        assert (k.callback_attempts, k.callback_at, k.offers) == (0, 0, 3)

    async def test_a_callback_never_has_two_members(self, books: Books) -> None:
        await joined(books.one, at("k", callback_to="+1555", queue="all"))
        assert await books.one.claim("k", "ben", T0, LEASE_S)
        assert not await books.one.claim("k", "cleo", T0, LEASE_S)

    # --- members ---

    async def test_a_restart_forgets_nothing_of_members(self, books: Books) -> None:
        book = books.one
        await joined(book, at("a"), at("b"))
        await talk(book, "a", "anna", T0, 60)
        assert await book.claim("b", "ben", T0 + 70, LEASE_S)
        await book.sign("anna", T0, signed_in=False)
        await book.pause("ben", "lunch", T0)
        await book.reachable("cleo", is_reachable=False)
        before = await book.state(T0 + 80)
        assert before.states["anna"] == MemberState(
            "anna", False, wraps_up_until=T0 + 70, last_ended_at=T0 + 60, last_offered_at=T0, taken_today=1
        )
        assert (before.states["ben"].paused, before.states["cleo"].reachable) == ("lunch", False)
        assert (before.last_member, before.service_s) == ({"desk": "ben"}, {"desk": 70})
        assert await books.again().state(T0 + 80) == before

    async def test_a_member_is_signed_in_as_the_settings_say_until_they_say_otherwise(self, books: Books) -> None:
        book = books.one
        await joined(book, at("a"))
        zoe = replace(member("zoe"), signed_in=False)
        await book.member(zoe)
        assert not (await of(book, "zoe")).signed_in
        await book.reachable("zoe", is_reachable=True)
        assert not (await of(book, "zoe")).signed_in and not await book.claim("a", "zoe", T0, LEASE_S)
        await book.sign("zoe", T0, signed_in=True)
        assert await book.claim("a", "zoe", T0, LEASE_S)
        await book.member(replace(zoe, at_once=2))
        assert (await of(books.two, "zoe")).signed_in

    async def test_calls_are_counted_by_day(self, books: Books) -> None:
        await joined(books.one, at("a"), at("b"), at("c"))
        await talk(books.one, "a", "anna", T0, 60)
        await talk(books.one, "b", "anna", T0 + 100, 60)
        assert (await of(books.one, "anna", T0 + 3600)).taken_today == 2
        assert (await of(books.one, "anna", T0 + DAY)).taken_today == 0
        await talk(books.one, "c", "anna", T0 + DAY, 60)
        assert (await of(books.one, "anna", T0 + DAY)).taken_today == 1

    async def test_members_of_rest_go_before_those_of_the_settings_and_outlive_a_restart(self, books: Books) -> None:
        places = (Place("desk", 2, 5, 7), Place("sales"))
        anna = Member("anna", "+15550123", places, (Skill("german", 4),), at_once=3)
        assert await books.one.member(anna) == MemberState("anna")
        zoe = replace(anna, name="zoe")
        await books.one.member(zoe)
        assert (await books.again().state(T0)).members == (anna, *MEMBERS[1:], zoe)
        await joined(books.one, at("a"))
        assert await books.one.claim("a", "zoe", T0, LEASE_S)
        assert await books.two.forget("zoe") and not await books.two.forget("zoe") and await books.two.forget("anna")
        assert not await books.two.forget("ben")
        assert (await books.again().state(T0)).members == MEMBERS

    # --- what became of waits ---

    async def test_the_service_level_of_a_small_day(self, books: Books) -> None:
        """By hand: 3 answered, 2 of them within 20 s; 2 hung up, 1 of them within 20 s; 1 waited too long; 1 lost.
        Who found no room, left by a key or asked for a callback does not count: 2 / (3 + 1 + 1 + 1)."""
        book = books.one
        names = ("quick", "edge", "slow", "soon", "late", "long", "full", "key", "asks", "k", "dies")
        await joined(book, *(at(name, T0, callback_to="+1555" if name == "k" else "") for name in names))
        for name, waited, talked in (("quick", 5, 100), ("edge", 20, 40), ("slow", 21, 60)):
            assert await book.claim(name, "anna" if name != "slow" else "ben", T0 + waited, LEASE_S)
            assert await book.offer_ended(name, "anna" if name != "slow" else "ben", OfferEnd.ACCEPTED, T0 + waited)
            await book.call_ended(name, "anna" if name != "slow" else "ben", talked, T0 + waited)
            await book.wrapped_up("anna", T0 + waited)
        for name, how, waited, reason in (
            ("soon", WaitingEnd.ABANDONED, 20, ""),
            ("late", WaitingEnd.ABANDONED, 90, ""),
            ("long", WaitingEnd.OVERFLOWED, 300, "too_long"),
            ("full", WaitingEnd.OVERFLOWED, 0, "full"),
            ("key", WaitingEnd.LEFT, 50, ""),
            ("asks", WaitingEnd.CALLBACK, 60, ""),
            ("dies", WaitingEnd.LOST, 70, ""),
        ):
            assert await book.leave(name, how, T0 + waited, reason)
        assert await book.claim("k", "cleo", T0 + 400, LEASE_S) and await book.offer_ended(
            "k", "cleo", OfferEnd.ACCEPTED, T0 + 400
        )
        history = await books.two.history(T0, T0 + DAY)
        assert history.queues == (
            QueueFigures(
                "desk", answered=3, in_time=2, abandoned=2, abandoned_soon=1, left=1, overflowed=2, too_long=1,
                lost=1, callbacks_asked=1, callbacks_reached=1, wait_s=46, longest_wait_s=300,
            ),
        )  # fmt: skip
        assert history.queues[0].service_level == 2 / 6
        assert history.queues[0].mean_wait_s == 46 / 3
        assert history.members == (MemberWork("anna", "desk", 2, 140, 0), MemberWork("ben", "desk", 1, 60, 10))
        assert (await book.history(T0 + 301, T0 + 399)).queues == ()

    async def test_the_service_time_is_a_mean_in_which_old_calls_fade(self, books: Books) -> None:
        await joined(books.one, *(at(f"c{n}", queue="sales") for n in range(3)))
        sara = Member("sara", "+1555", (Place("sales"),))
        await books.one.member(sara)
        for n, talked in enumerate((60.0, 120.0, 180.0)):
            await talk(books.one, f"c{n}", "sara", T0 + 1000 * n, talked)
        assert (await books.two.state(T0)).service_s == {"sales": 120}
