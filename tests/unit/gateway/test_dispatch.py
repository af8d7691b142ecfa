import pytest

from gateway.dispatch import Dispatcher
from gateway.live_calls import LiveCalls


@pytest.fixture
def dispatcher() -> Dispatcher:
    dispatcher = Dispatcher(LiveCalls())
    dispatcher.add("w1", 7001, 2)
    dispatcher.add("w2", 7002, 1)
    return dispatcher


def test_calls_spread_to_the_worker_with_most_free_slots(dispatcher: Dispatcher) -> None:
    taken = [dispatcher.take(f"c{i}", now=0.0) for i in range(3)]
    assert sorted(slot.worker for slot in taken if slot) == ["w1", "w1", "w2"]


def test_calls_fill_one_worker_before_the_next() -> None:
    dispatcher = Dispatcher(LiveCalls(), fill=True)
    for name in ("w1", "w2", "w3"):
        dispatcher.add(name, 7000, 2)
    taken = [dispatcher.take(f"c{i}", now=0.0) for i in range(5)]
    assert [slot.worker for slot in taken if slot] == ["w3", "w3", "w2", "w2", "w1"]
    dispatcher.release("c2-1")
    dispatcher.release("c4-1")
    slot = dispatcher.take("next", now=0.0)
    assert slot is not None
    assert slot.worker == "w2"


def test_full_is_none_and_a_released_slot_is_free_again(dispatcher: Dispatcher) -> None:
    for i in range(3):
        dispatcher.take(f"c{i}", now=0.0)
    assert dispatcher.take("c3", now=0.0) is None
    assert dispatcher.release("c1-1")
    assert not dispatcher.release("c1-1")
    assert dispatcher.take("c3", now=0.0) is not None
    assert dispatcher.free == 0


def test_one_call_cannot_take_two_slots(dispatcher: Dispatcher) -> None:
    dispatcher.take("c", now=0.0)
    with pytest.raises(ValueError, match="already has a slot"):
        dispatcher.take("c", now=0.0)


def test_further_legs_of_a_call_prefer_its_worker_and_go_elsewhere_when_it_is_full(dispatcher: Dispatcher) -> None:
    first = dispatcher.take("c", now=0.0)
    beside = dispatcher.take("c", now=0.0, leg_id="c-2", prefer="w1")
    elsewhere = dispatcher.take("c", now=0.0, leg_id="c-3", prefer="w1")
    assert first and beside and elsewhere
    assert [(slot.leg_id, slot.worker) for slot in (first, beside, elsewhere)] == [
        ("c-1", "w1"), ("c-2", "w1"), ("c-3", "w2"),
    ]  # fmt: skip
    assert dispatcher.take("c", now=0.0, leg_id="c-4", prefer="w1") is None


def test_a_lost_worker_gives_back_its_calls(dispatcher: Dispatcher) -> None:
    slots = [dispatcher.take(f"c{i}", now=0.0) for i in range(3)]
    of_w1 = [slot.leg_id for slot in slots if slot and slot.worker == "w1"]
    assert sorted(dispatcher.remove("w1")) == sorted(of_w1)
    assert dispatcher.remove("w1") == []
    assert dispatcher.busy == 1
    assert not dispatcher.release(of_w1[0])


def test_orphans_are_calls_that_their_worker_does_not_hold_after_the_grace(dispatcher: Dispatcher) -> None:
    slot = dispatcher.take("a", now=10.0)
    assert slot is not None
    assert dispatcher.orphans(slot.worker, set(), now=12.0, grace_s=5.0) == []
    assert dispatcher.orphans(slot.worker, {"a-1"}, now=16.0, grace_s=5.0) == []
    assert dispatcher.orphans(slot.worker, set(), now=16.0, grace_s=5.0) == ["a-1"]


def test_slots_that_linger_after_their_calls_are_not_given_away(dispatcher: Dispatcher) -> None:
    dispatcher.heard_of("w1", 2)
    dispatcher.heard_of("unknown", 5)
    slot = dispatcher.take("a", now=0.0)
    assert slot is not None
    assert slot.worker == "w2"
    assert dispatcher.take("b", now=0.0) is None
    dispatcher.heard_of("w1", 0)
    assert dispatcher.take("b", now=0.0) is not None


def test_a_leg_whose_invite_was_ahead_of_its_announcement_has_one_slot(dispatcher: Dispatcher) -> None:
    """It was once counted twice, and a caller was refused although a slot was free."""
    slot = dispatcher.take("a", now=0.0)
    assert slot is not None
    free = dispatcher.free
    dispatcher.heard_of(slot.worker, 0, ["a-1"])
    assert dispatcher.free == free


def test_a_leg_that_the_gateway_gave_up_has_a_slot_while_its_worker_says_so(dispatcher: Dispatcher) -> None:
    free = dispatcher.free
    dispatcher.heard_of("w1", 0, ["given-up-1"])
    assert dispatcher.free == free - 1
    dispatcher.heard_of("w1", 0)
    assert dispatcher.free == free


def test_a_worker_that_took_no_call_gets_the_next_only_when_no_other_can(dispatcher: Dispatcher) -> None:
    dispatcher.doubt("w1")
    dispatcher.doubt("unknown")
    taken = [dispatcher.take(f"c{i}", now=0.0) for i in range(2)]
    assert [slot.worker for slot in taken if slot] == ["w2", "w1"]
    dispatcher.release("c0-1")
    dispatcher.release("c1-1")
    dispatcher.heard_of("w1", 0)
    slot = dispatcher.take("c2", now=0.0)
    assert slot is not None and slot.worker == "w1"
