"""Who is offered to whom, who may wait no longer, and who is told what."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace

import pytest

from gateway.queues.deciding import decide, due
from gateway.queues.model import (
    Absent,
    Action,
    Announce,
    CallBack,
    LetGo,
    MemberState,
    Offer,
    Overflow,
    Queue,
    QueueState,
    Strategy,
)
from tests.unit.queues.people import caller, member, skills, state, with_state


def pairs(actions: tuple[Action, ...]) -> list[tuple[str, ...]]:
    return [(each.call_id, *each.members) for each in actions if isinstance(each, Offer)]


def offered(it: QueueState, now: float = 100.0, gateway: str = "g1") -> list[tuple[str, ...]]:
    return pairs(decide(it, now, gateway))


def ended(*names_and_times: tuple[str, float]) -> list[MemberState]:
    return [MemberState(name, last_ended_at=at) for name, at in names_and_times]


# --- strategies -----------------------------------------------------------------------------------------------------

THREE = [member("anna", 0), member("ben", 1), member("cleo", 2)]


def test_ring_all_rings_all_who_are_free() -> None:
    it = state(THREE, [caller("a"), caller("b", 1)], Queue("desk", Strategy.RING_ALL, ring_s=7))
    assert offered(with_state(it, "ben", paused="lunch")) == [("a", "anna", "cleo")]
    assert decide(it, 100, "g1")[0] == Offer("a", "desk", ("anna", "ben", "cleo"), 7)


def test_least_recent_takes_whose_last_call_ended_longest_ago() -> None:
    it = state(THREE, [caller("a")], states=ended(("anna", 50), ("ben", 20), ("cleo", 30)))
    assert offered(it) == [("a", "ben")]


def test_a_member_who_has_taken_no_call_yet_is_least_recent() -> None:
    assert offered(state(THREE, [caller("a")], states=ended(("anna", 50), ("ben", 20)))) == [("a", "cleo")]


def test_fewest_calls_counts_those_of_today() -> None:
    states = [MemberState("anna", taken_today=4), MemberState("ben", taken_today=3), MemberState("cleo", taken_today=9)]
    assert offered(state(THREE, [caller("a")], Queue("desk", Strategy.FEWEST_CALLS), states=states)) == [("a", "ben")]


@pytest.mark.parametrize(("last", "expected"), [("anna", "ben"), ("ben", "cleo"), ("cleo", "anna"), ("gone", "anna")])
def test_round_robin_goes_on_after_the_last(last: str, expected: str) -> None:
    it = state(THREE, [caller("a")], Queue("desk", Strategy.ROUND_ROBIN), last_member={"desk": last})
    assert offered(it) == [("a", expected)]


def test_round_robin_remembers_within_one_decision_and_passes_over_who_is_busy() -> None:
    it = state(THREE, [caller("a"), caller("b", 1)], Queue("desk", Strategy.ROUND_ROBIN), last_member={"desk": "anna"})
    assert offered(with_state(it, "cleo", busy=1)) == [("a", "ben"), ("b", "anna")]


def test_linear_takes_the_order_of_the_settings() -> None:
    it = state(reversed(THREE), [caller("a")], Queue("desk", Strategy.LINEAR), states=ended(("anna", 99)))
    assert offered(it) == [("a", "anna")]


def test_random_takes_each_about_as_often() -> None:
    queue = Queue("desk", Strategy.RANDOM)
    taken = Counter(offered(state(THREE, [caller(f"c{n}")], queue))[0][1] for n in range(600))
    assert set(taken) == {"anna", "ben", "cleo"} and min(taken.values()) > 160


def test_weighted_takes_members_in_proportion() -> None:
    members = [member("anna", weight=3), member("ben", weight=1), member("cleo", weight=0)]
    queue = Queue("desk", Strategy.WEIGHTED)
    taken = Counter(offered(state(members, [caller(f"c{n}")], queue))[0][1] for n in range(800))
    assert taken["cleo"] == 0 and 2.4 < taken["anna"] / taken["ben"] < 3.8


def test_chance_falls_anew_for_the_next_offer_and_alike_at_every_gateway() -> None:
    queue = Queue("desk", Strategy.RANDOM)
    drawn = [offered(state(THREE, [caller("a", offers=n)], queue))[0][1] for n in range(20)]
    assert set(drawn) == {"anna", "ben", "cleo"}
    assert drawn == [offered(state(reversed(THREE), [caller("a", offers=n)], queue))[0][1] for n in range(20)]


@pytest.mark.parametrize("strategy", Strategy)
def test_the_lowest_penalty_goes_first_in_all_strategies(strategy: Strategy) -> None:
    members = [member("anna", penalty=2), member("ben", penalty=1), member("cleo", penalty=5)]
    it = state(members, [caller("a")], Queue("desk", strategy), states=ended(("ben", 99)))
    assert offered(it) == [("a", "ben")]
    assert offered(with_state(it, "ben", busy=1)) == [("a", "anna")]


@pytest.mark.parametrize("strategy", Strategy)
def test_each_strategy_offers_nobody_who_is_away(strategy: Strategy) -> None:
    away = [
        MemberState("anna", signed_in=False),
        MemberState("ben", reachable=False),
        MemberState("cleo", wraps_up_until=101),
    ]
    assert offered(state(THREE, [caller("a")], Queue("desk", strategy), states=away)) == []
    assert len(offered(state(THREE, [caller("a")], Queue("desk", strategy)))) == 1


def test_members_with_several_calls_at_once_are_offered_one_at_a_time_and_idle_ones_first() -> None:
    two = [member("anna", at_once=2), member("ben", 1, at_once=2)]
    it = state(two, [caller("a"), caller("b", 1), caller("c", 2)], Queue("desk", Strategy.LINEAR))
    assert offered(it) == [("a", "anna"), ("b", "ben")]
    assert offered(with_state(it, "anna", busy=1)) == [("a", "ben"), ("b", "anna")]
    assert offered(with_state(it, "anna", busy=1, ringing=True)) == [("a", "ben")]
    assert offered(with_state(it, "anna", busy=2)) == [("a", "ben")]


# --- skills -----------------------------------------------------------------------------------------------------------

SKILLED = [
    member("anna", 0, skills=skills(german=3, billing=9)),
    member("ben", 1, skills=skills(german=8)),
    member("cleo", 2),
]


def test_a_member_needs_the_levels_of_the_queue_and_of_the_caller() -> None:
    queue = Queue("desk", Strategy.LINEAR, skills=skills(german=2))
    assert offered(state(SKILLED, [caller("a")], queue)) == [("a", "anna")]
    assert offered(state(SKILLED, [caller("a", skills=skills(german=5))], queue)) == [("a", "ben")]
    assert offered(state(SKILLED, [caller("a", skills=skills(german=5, billing=1))], queue)) == []


def test_a_queue_widens_to_who_lacks_least() -> None:
    queue = Queue("desk", Strategy.LINEAR, skills=skills(german=9), widen_after_s=60)
    it = state(SKILLED, [caller("a", 50)], queue)
    assert offered(it, 109.9) == []
    assert due(it, 100) == 110
    assert offered(it, 110) == [("a", "ben")]
    assert offered(with_state(it, "ben", busy=1), 110) == [("a", "anna")]
    penalised = replace(SKILLED[1], places=member("ben", penalty=5).places)
    assert offered(state([SKILLED[0], penalised], [caller("a", 50)], queue), 110) == [("a", "ben")]


# --- the order of callers -------------------------------------------------------------------------------------------


def test_priority_goes_before_weight_and_weight_before_waiting() -> None:
    both = member("anna", queues=("desk", "vip"))
    queues = (Queue("desk", weight=1), Queue("vip", weight=5))
    late, early, urgent = caller("late", 50, "vip"), caller("early", 10), caller("urgent", 90, priority=1)
    assert offered(state([both], [late, early, urgent], *queues)) == [("urgent", "anna")]
    assert offered(state([both], [late, early], *queues)) == [("late", "anna")]
    assert offered(state([both], [early, caller("b", 20)], *queues)) == [("early", "anna")]


def test_a_caller_whom_nobody_suits_holds_nobody_up() -> None:
    waiting = [caller("first", 0, skills=skills(german=9)), caller("second", 1)]
    assert offered(state([SKILLED[2]], waiting)) == [("second", "cleo")]


def test_another_gateways_caller_who_comes_first_gets_the_member() -> None:
    waiting = [caller("theirs", 0, gateway="g2"), caller("ours", 1)]
    assert offered(state(THREE[:1], waiting), gateway="g1") == []
    assert offered(state(THREE[:1], waiting), gateway="g2") == [("theirs", "anna")]
    assert offered(state(THREE[:2], waiting), gateway="g1") == [("ours", "ben")]


def test_who_is_being_offered_waits_for_the_answer() -> None:
    waiting = [caller("a", 0, offered_to=("anna",)), caller("b", 1)]
    it = with_state(state(THREE[:2], waiting), "anna", busy=1, ringing=True)
    assert offered(it) == [("b", "ben")]


def test_a_refused_caller_keeps_the_place_and_the_member_is_left_alone_for_a_while() -> None:
    it = state(THREE[:1], [caller("a", offers=1), caller("b", 1)], Queue("desk", retry_s=5), Queue("sales"))
    it = with_state(it, "anna", refused_at={"desk": 98})
    assert offered(it, 102.9) == [] and due(it, 100) == 103
    assert offered(it, 103) == [("a", "anna")]
    elsewhere = replace(it, members=(member("anna", queues=("desk", "sales")),), waiting=(caller("c", 2, "sales"),))
    assert offered(elsewhere, 100) == [("c", "anna")]


def test_wrap_up_ends_by_itself() -> None:
    it = with_state(state(THREE[:1], [caller("a")]), "anna", wraps_up_until=120)
    assert offered(it, 119.9) == [] and due(it, 100) == 120 and offered(it, 120) == [("a", "anna")]


# --- limits -----------------------------------------------------------------------------------------------------------

SALES = Overflow(queue="sales")


def let_go(it: QueueState, now: float = 100.0, gateway: str = "g1") -> dict[str, str]:
    return {each.call_id: each.reason for each in decide(it, now, gateway) if isinstance(each, LetGo)}


def busy(it: QueueState) -> QueueState:
    for each in it.members:
        it = with_state(it, each.name, busy=1)
    return it


def test_who_finds_no_room_is_let_go_and_nobody_who_was_let_in() -> None:
    queue = Queue("desk", most_waiting=2, overflow=SALES)
    waiting = [caller("a", 1), caller("b", 2), caller("c", 3, priority=9), caller("d", 4)]
    it = busy(state(THREE, waiting, queue))
    assert decide(it, 100, "g1") == (LetGo("c", "full", SALES), LetGo("d", "full", SALES))
    assert let_go(replace(it, waiting=(*waiting[:2], caller("c", 3, offers=1)))) == {}  # was let in for a member
    assert let_go(replace(it, waiting=(caller("k", 0, callback_to="+1555"), *waiting[:2]))) == {}
    assert let_go(it, gateway="g2") == {}


def test_a_full_queue_refuses_nobody_for_whom_a_member_is_free() -> None:
    it = state(THREE[:2], [caller("a", 1, offered_to=("anna",)), caller("b", 2)], Queue("desk", most_waiting=1))
    assert decide(with_state(it, "anna", busy=1, ringing=True), 100, "g1") == (Offer("b", "desk", ("ben",), 20),)


def test_who_has_waited_too_long_is_let_go_once_no_phone_rings_for_them() -> None:
    it = busy(state(THREE, [caller("a", 40)], Queue("desk", most_wait_s=60, overflow=SALES)))
    assert let_go(it, 99.9) == {} and due(it, 99) == 100
    assert let_go(it, 100) == {"a": "too_long"}
    assert let_go(replace(it, waiting=(caller("a", 40, offered_to=("anna",)),)), 100) == {}
    assert let_go(replace(it, waiting=(caller("a", 40, callback_to="+1555"),)), 100) == {}


def test_who_is_let_go_is_not_offered() -> None:
    it = state(THREE[:1], [caller("a", 40), caller("b", 90)], Queue("desk", most_wait_s=60))
    assert decide(it, 100, "g1") == (LetGo("a", "too_long", None), Offer("b", "desk", ("anna",), 20))


def test_a_closed_queue_takes_nobody_new_and_rings_nobody_back() -> None:
    queue = Queue("desk", closed_since=50.0)
    waiting = [caller("k", 1, callback_to="+1555"), caller("before", 49), caller("after", 50)]
    assert decide(state(THREE, waiting, queue), 100, "g1") == (
        LetGo("after", "closed", None),
        Offer("before", "desk", ("anna",), 20),
    )


@pytest.mark.parametrize(
    ("setting", "change", "gone"),
    [
        (Absent.NEVER, {"signed_in": False}, False),
        (Absent.SIGNED_OUT, {"signed_in": False}, True),
        (Absent.SIGNED_OUT, {"paused": "lunch"}, False),
        (Absent.AWAY, {"paused": "lunch"}, True),
        (Absent.AWAY, {"reachable": False}, True),
        (Absent.AWAY, {"busy": 1}, False),
    ],
)
def test_an_empty_queue_lets_its_callers_go_as_it_is_set(
    setting: Absent, change: dict[str, object], gone: bool
) -> None:
    it = state([*THREE[:1], member("zoe", queues=("sales",))], [caller("a")], Queue("desk", overflow_if=setting))
    assert let_go(with_state(it, "anna", **change)) == ({"a": "no_members"} if gone else {})


def test_a_queue_that_the_settings_no_longer_have_lets_go() -> None:
    assert let_go(state(THREE, [caller("a", queue="gone")])) == {"a": "no_queue"}


# --- callbacks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", Strategy)
def test_a_callback_is_made_in_its_place_with_one_member(strategy: Strategy) -> None:
    back = caller("k", 5, callback_to="+15550100", callback_member_first=False)
    it = state(THREE[:2], [caller("a", 4), back, caller("c", 6)], Queue("desk", strategy))
    actions = decide(it, 100, "g1")
    if strategy is Strategy.RING_ALL:
        assert pairs(actions) == [("a", "anna", "ben")]
        actions = decide(replace(it, waiting=(back,)), 100, "g1")
    (made,) = [each for each in actions if isinstance(each, CallBack)]
    assert (made.call_id, made.to, made.member_first) == ("k", "+15550100", False)
    assert made.member in ("anna", "ben") and "c" not in [each.call_id for each in actions]


def test_a_callback_that_is_tried_again_later_holds_nobody_up() -> None:
    waiting = [caller("k", 1, callback_to="+1555", callback_at=160, callback_attempts=1), caller("b", 2)]
    it = state(THREE[:1], waiting)
    assert offered(it, 100) == [("b", "anna")] and due(it, 100) == 160
    assert isinstance(decide(it, 160, "g1")[0], CallBack)


# --- what callers are told --------------------------------------------------------------------------------------------


def told(it: QueueState, now: float, gateway: str = "g1") -> list[Announce]:
    return [each for each in decide(it, now, gateway) if isinstance(each, Announce)]


def test_callers_hear_their_place_at_once_and_every_so_often() -> None:
    queue = Queue("desk", announce_every_s=30)
    waiting = [caller("a", 10), caller("b", 20, gateway="g2"), caller("k", 25, callback_to="+1"), caller("c", 30)]
    it = busy(state(THREE, waiting, queue, service_s={"desk": 120}))
    assert told(it, 30) == [Announce("a", 1, 40), Announce("c", 4, 160)]
    heard = replace(it, waiting=(caller("a", 10, announced_at=11),))
    assert told(heard, 40.9) == [] and due(heard, 30) == 41 and told(heard, 41) == [Announce("a", 1, 40)]


def test_who_is_offered_at_once_is_not_told_a_place() -> None:
    it = state(THREE, [caller("a", 100)], Queue("desk", announce_every_s=30))
    assert [type(each) for each in decide(it, 100, "g1")] == [Offer]
    ringing = with_state(replace(it, waiting=(caller("a", 100, offered_to=("anna",)),)), "anna", busy=1, ringing=True)
    assert decide(ringing, 100, "g1") == ()


def test_nobody_is_told_a_time_that_nothing_is_known_about() -> None:
    queue = Queue("desk", announce_every_s=30, overflow_if=Absent.NEVER)
    assert told(busy(state(THREE, [caller("a", 10)], queue)), 30) == [Announce("a", 1, None)]
    nobody = state([], [caller("a", 10)], queue, service_s={"desk": 60})
    assert told(nobody, 30) == [Announce("a", 1, None)]


def test_a_member_counts_in_part_where_other_queues_have_callers() -> None:
    queues = (Queue("desk", announce_every_s=30), Queue("sales"))
    members = [member("anna"), member("ben", queues=("desk", "sales"), at_once=2), member("out")]
    it = busy(state(members, [caller("a", 10)], *queues, service_s={"desk": 90}))
    it = with_state(it, "ben", busy=2)
    it = with_state(it, "out", signed_in=False)
    assert told(it, 30) == [Announce("a", 1, 30)]  # 90 s / 3
    assert told(replace(it, waiting=(*it.waiting, caller("s", 11, "sales"))), 30) == [Announce("a", 1, 45)]  # / 2


def test_nothing_is_due_when_nothing_will_change_by_itself() -> None:
    assert due(state(THREE, [caller("a")]), 100) is None


def test_a_decision_over_many_callers_takes_little_time() -> None:
    """It is made on the event loop: 500 callers and 100 busy members, one of whom is free."""
    members = [member(f"m{n}") for n in range(100)]
    it = busy(state(members, [caller(f"c{n}", n) for n in range(500)], Queue("desk", announce_every_s=30)))
    it = with_state(it, "m7", busy=0)
    took = []
    for _ in range(5):
        began = time.perf_counter()
        assert offered(it, 1000) == [("c0", "m7")]
        took.append(time.perf_counter() - began)
    assert min(took) < 0.02
