"""Who answered a call that we placed, in its record: the last verdict, what it corrected, and the message."""

from __future__ import annotations

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from gateway.record import CallDetail, CallEvents
from gateway.store import CallStore, migrate
from telephony.call import Direction
from telephony.media.answering.model import AnsweredBy
from tests.unit.store.records import closed, message_left, opened, verdict


async def told(store: CallStore, *events: dict[str, object], times: int = 1) -> CallDetail:
    for _ in range(times):
        await store.apply([CallEvents(call_id="c1", events=tuple(events))], again=times > 1)
    found = await store.get_call("c1")
    assert found is not None
    return found


async def test_nobody_asked_who_answered(store: CallStore) -> None:
    await store.apply([opened(), closed()])
    call = await told(store)
    assert (call.answered_by, call.answering, call.message) == (None, None, None)


async def test_the_last_verdict_counts_and_the_earlier_ones_are_kept(store: CallStore) -> None:
    await store.apply([opened(direction=Direction.OUTBOUND)])
    first = verdict("human", 900.0)
    live = await told(store, first)
    assert (live.answered_by, live.answering and live.answering.corrected) == (AnsweredBy.HUMAN, ())
    second = verdict("voicemail", 2900.0, corrects="human", action="message")
    call = await told(store, first, second, message_left(11_000.0, delivered=True, why="beep"), times=2)
    assert call.answered_by is AnsweredBy.VOICEMAIL
    assert call.answering is not None and call.message is not None
    assert (call.answering.t_ms, call.answering.probability, call.answering.reasons) == (2900.0, 0.9, ("words",))
    assert call.answering.action == "message"
    (before,) = call.answering.corrected
    assert (before.answered_by, before.t_ms, before.reasons) == (AnsweredBy.HUMAN, 900.0, ("words",))
    assert (call.message.delivered, call.message.why, call.message.t_ms) == (True, "beep", 11_000.0)


async def test_a_record_with_a_verdict_is_still_listed_and_found_by_it(store: CallStore) -> None:
    await store.apply([opened(), CallEvents(call_id="c1", events=(verdict("fax", 900.0),)), closed()])
    (listed,) = (await store.list_calls()).calls
    assert listed.answered_by is AnsweredBy.FAX and listed.answering is not None


async def test_verdicts_of_another_version_are_only_events(store: CallStore) -> None:
    await store.apply([opened()])
    odd = ({"type": "who_answered_told", "t_ms": 1.0, "answered_by": "parrot", "probability": 1}, {
        "type": "message_left", "t_ms": None, "delivered": True, "why": "beep"})  # fmt: skip
    call = await told(store, *odd)
    assert (call.answered_by, call.message, len(call.events)) == (None, None, 2)


async def test_a_verdict_of_a_call_that_never_began_makes_no_record(store: CallStore) -> None:
    await store.apply([CallEvents(call_id="c9", events=(verdict("fax", 900.0),))])
    assert await store.get_call("c9") is None


def test_old_records_are_kept_as_they_are(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/old.db"
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).with_name("migrations")))
    engine = create_engine(url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0008")
        connection.execute(
            text(
                "INSERT INTO calls (call_id, direction, trunk, called, sip_call_id, persona, rule, worker, started_at, "
                "outcome, end_reason, refused_by) VALUES ('c1', 'outbound', 'local', '+15550100', 'x@y', 'p', 'r', "
                "'w1', '2026-11-20 09:00:00.000000', 'answered', 'bye', '')"
            )
        )
    engine.dispose()

    async def found() -> CallDetail | None:
        store = await CallStore.open(url)
        try:
            return await store.get_call("c1")
        finally:
            await store.close()

    call = asyncio.run(found())
    assert call is not None
    assert (call.end_reason, call.answered_by, call.answering, call.message) == ("bye", None, None, None)
