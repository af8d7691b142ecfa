from __future__ import annotations

from gateway.events import stream as stream_module
from gateway.events.catalogue import EventType
from gateway.events.hub import EventHub
from gateway.events.reference import example


def hub_with(*call_ids: str) -> EventHub:
    hub = EventHub()
    for call_id in call_ids:
        hub.tell(example(EventType.CALL_ENDED, call_id=call_id))
    return hub


async def test_a_listener_hears_what_comes_after_it() -> None:
    hub = hub_with("before")
    listener = hub.stream.subscribe()
    hub.tell(example(EventType.CALL_ENDED, call_id="c1"))
    event = await listener.next()
    assert event is not None
    assert (event.type, event.call_id, listener.missed) == ("call.ended", "c1", False)


async def test_one_who_comes_back_goes_on_where_it_was() -> None:
    hub = EventHub()
    first = hub.stream.subscribe()
    for call_id in ("c1", "c2", "c3"):
        hub.tell(example(EventType.CALL_ENDED, call_id=call_id))
    seen = await first.next()
    first.close()
    assert seen is not None
    back = hub.stream.subscribe(after=seen.id)
    events = [await back.next(), await back.next()]
    assert [event.call_id for event in events if event] == ["c2", "c3"]
    assert back.missed is False


async def test_one_who_comes_back_too_late_is_told_so() -> None:
    old = EventHub(now_ms=lambda: 1_000)
    old.tell(example(EventType.CALL_ENDED, call_id="c1"))
    last = old.stream._recent[-1].id
    hub = hub_with("c2")
    listener = hub.stream.subscribe(after=last)
    event = await listener.next()
    assert event is not None
    assert (listener.missed, event.call_id) == (True, "c2")


async def test_a_listener_that_does_not_keep_up_is_let_go_and_costs_nobody_else_anything() -> None:
    hub = EventHub()
    slow, quick = hub.stream.subscribe(), hub.stream.subscribe(call_id="c1")
    for _ in range(stream_module._WAITING + 1):
        hub.tell(example(EventType.CALL_ENDED, call_id="c2"))
    hub.tell(example(EventType.CALL_ENDED, call_id="c1"))
    assert slow.over
    heard = 0
    while await slow.next() is not None:
        heard += 1
    assert heard == stream_module._WAITING
    event = await quick.next()
    assert event is not None
    assert event.call_id == "c1"


async def test_only_what_is_asked_for() -> None:
    hub = EventHub()
    listener = hub.stream.subscribe(patterns=("recording.*", "call.answered"))
    for kind in (EventType.CALL_TURN, EventType.CALL_ANSWERED, EventType.CALL_ENDED, EventType.RECORDING_READY):
        hub.tell(example(kind))
    events = [await listener.next(), await listener.next()]
    assert [event.type for event in events if event] == ["call.answered", "recording.ready"]


async def test_what_is_kept_is_bounded() -> None:
    hub = EventHub()
    for _ in range(30):
        hub.tell(example(EventType.CALL_TURN, text="x" * 300_000))
    assert hub.stream._bytes <= stream_module._KEPT_BYTES
    for _ in range(stream_module._KEPT + 10):
        hub.tell(example(EventType.CALL_DIGIT))
    assert len(hub.stream._recent) <= stream_module._KEPT


async def test_at_the_end_listeners_are_let_go() -> None:
    hub = EventHub()
    listener = hub.stream.subscribe()
    hub.stream.close()
    assert await listener.next() is None
    listener.close()
    assert len(hub.stream) == 0
