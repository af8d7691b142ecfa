from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from gateway.record import (
    CallDetail,
    CallEvents,
    LegMoved,
    LegRecord,
    Outcome,
    RecordMessage,
    TransferKind,
    TransferRecord,
    WorkerLost,
    message_from_dict,
    refused_record,
)
from gateway.store import CallStore, RecordWriter, Spill, migrate, recover
from gateway.store.backlog import Backlog
from gateway.store.deliveries import Delivery
from telephony.call import CallInfo, Direction, EndedBy, LegRole
from telephony.keys import KeyFigures
from tests.unit.store.records import (
    MEDIA,
    START,
    closed,
    leg_closed,
    leg_opened,
    opened,
    transfer_began,
    transfer_ended,
    worker_lost,
)


async def stored(store: CallStore, *messages: RecordMessage) -> CallDetail:
    """The record of call c1 once `messages` are stored, one after the other."""
    for message in messages:
        await store.apply([message])
    found = await store.get_call("c1")
    assert found is not None
    return found


async def test_the_customers_leg_is_made_of_the_call(store: CallStore) -> None:
    (leg,) = (await stored(store, opened())).legs
    assert (leg.leg_id, leg.role, leg.outcome, leg.worker) == ("c1-1", LegRole.CUSTOMER, None, "w1")
    call = await stored(store, closed())
    (leg,) = call.legs
    shared = set(LegRecord.__dataclass_fields__) - {"leg_id", "role"}
    assert {name: getattr(leg, name) for name in shared} == {name: getattr(call, name) for name in shared}
    assert leg.media == MEDIA


async def test_a_refused_attempt_had_a_leg_too(store: CallStore) -> None:
    info = CallInfo("c1", Direction.INBOUND, "+15550000", None, "local")
    record = refused_record(info, started_at=START, sip_status=404, refused_by="no rule")
    (leg,) = (await stored(store, record)).legs
    assert (leg.outcome, leg.sip_status, leg.caller, leg.ended_at) == (Outcome.REFUSED, 404, None, START)


async def test_a_customers_leg_that_tells_of_itself_is_not_there_twice(store: CallStore) -> None:
    beginning = leg_opened(
        number=1, seconds=5, role=LegRole.CUSTOMER, direction=Direction.INBOUND, trunk="other", worker="w9"
    )
    end = leg_closed(number=1, end_reason="the leg says so", ended_by=EndedBy.CALLER)
    (leg,) = (await stored(store, opened(worker=""), beginning, end, closed())).legs
    assert (leg.trunk, leg.started_at) == ("local", START)  # the first facts
    assert leg.worker == "w9"  # what was missing
    assert leg.end_reason == "the leg says so"


async def test_a_leg_that_closes_after_its_call_adds_only_what_is_missing(store: CallStore) -> None:
    lost = closed(outcome=Outcome.FAILED, media=None, first_rtp_ms=None, answered_at=None, end_reason="first")
    (leg,) = (await stored(store, opened(), lost, leg_closed(number=1))).legs
    assert (leg.outcome, leg.end_reason) == (Outcome.FAILED, "first")
    assert (leg.media, leg.first_rtp_ms, leg.answered_at) == (MEDIA, 20.0, START + timedelta(seconds=15))


async def test_legs_come_in_the_order_in_which_they_began(store: CallStore) -> None:
    late = [leg_opened(number=number, seconds=20) for number in (10, 3)]
    legs = (await stored(store, opened(), *late, leg_opened(number=2), closed(), leg_closed())).legs
    assert [leg.leg_id for leg in legs] == ["c1-1", "c1-2", "c1-3", "c1-10"]
    assert legs[1] == LegRecord(
        leg_id="c1-2", call_id="c1", role=LegRole.HUMAN, direction=Direction.OUTBOUND, trunk="desk",
        called="sip:human@desk.example", caller="+15550100", started_at=START + timedelta(seconds=10),
        sip_call_id="c1-2@us", worker="w2", answered_at=START + timedelta(seconds=15),
        ended_at=START + timedelta(seconds=30), outcome=Outcome.ANSWERED, sip_status=200, q850_cause=31,
        ended_by=EndedBy.HUMAN,
        end_reason="the human hung up", media=MEDIA, first_rtp_ms=20.0, media_alarms=leg_closed().media_alarms,
    )  # fmt: skip
    assert legs[2].outcome is None  # its own end is still to come, whatever became of the call


async def test_an_end_is_written_once(store: CallStore) -> None:
    legs = (await stored(store, opened(), leg_opened(), leg_closed(), leg_closed(outcome=Outcome.FAILED))).legs
    assert legs[1].outcome is Outcome.ANSWERED


async def test_a_transfer_and_its_end(store: CallStore) -> None:
    (transfer,) = (await stored(store, opened(), transfer_began())).transfers
    assert transfer.outcome is None
    again = transfer_ended(outcome=Outcome.FAILED, reason="later")
    (transfer,) = (await stored(store, transfer_began(target="x"), transfer_ended(), again)).transfers
    assert transfer == TransferRecord(
        transfer_id="c1-t1", call_id="c1", kind=TransferKind.WARM, target="sip:human@desk.example", leg_id="c1-2",
        began_at=START + timedelta(seconds=9), ended_at=START + timedelta(seconds=20), outcome=Outcome.ANSWERED,
        sip_status=200, reason="joined",
    )  # fmt: skip


async def test_legs_and_transfers_of_unknown_calls_make_up_no_record(store: CallStore) -> None:
    await store.apply([leg_opened("c9"), leg_closed("c9"), transfer_began("c9"), transfer_ended("c9")])
    assert await store.get_call("c9") is None


async def test_a_lost_worker_takes_the_legs_and_transfers_of_its_calls_along(store: CallStore) -> None:
    at = START + timedelta(seconds=25)
    call = await stored(
        store, opened(), leg_opened(), leg_opened(number=3), leg_closed(), transfer_began(),
        worker_lost(["c1"], at=at),
    )  # fmt: skip
    assert [leg.outcome for leg in call.legs] == [Outcome.WORKER_LOST, Outcome.ANSWERED, Outcome.WORKER_LOST]
    assert {leg.ended_at for leg in call.legs if leg.outcome is Outcome.WORKER_LOST} == {at}
    assert (call.transfers[0].outcome, call.transfers[0].ended_at) == (Outcome.WORKER_LOST, at)
    assert call.legs[2].ended_by is EndedBy.SYSTEM


async def test_a_lost_worker_that_only_had_a_leg_takes_that_and_not_the_call(store: CallStore) -> None:
    at = START + timedelta(seconds=25)
    lost = WorkerLost(call_ids=(), leg_ids=("c1-2",), at=at)
    call = await stored(store, opened(), leg_opened(), leg_opened(number=3), lost, leg_closed())
    assert call.outcome is None
    assert [leg.outcome for leg in call.legs] == [None, Outcome.WORKER_LOST, None]
    assert (call.legs[1].ended_at, call.legs[1].ended_by) == (at, EndedBy.SYSTEM)


async def test_what_a_killed_gateway_left_open_ends_with_its_call(store: CallStore) -> None:
    await stored(store, opened(), leg_opened(), transfer_began())
    ended = opened("c2"), leg_opened("c2"), transfer_began("c2", "c2-t1"), closed("c2")
    await store.apply(ended)  # it died between the end of the call and that of the leg
    assert await store.fail_open() == 1
    for call_id in ("c1", "c2"):
        call = await store.get_call(call_id)
        assert call is not None
        assert (call.legs[1].outcome, call.legs[1].ended_at) == (Outcome.GATEWAY_LOST, call.ended_at)
        assert (call.transfers[0].outcome, call.transfers[0].ended_at) == (Outcome.GATEWAY_LOST, call.ended_at)
    assert call is not None
    assert call.legs[0].outcome is Outcome.ANSWERED


async def test_a_recording_that_shows_a_later_end_shows_the_legs_too(store: CallStore) -> None:
    await stored(store, opened(), CallEvents(call_id="c1", answered_at=START + timedelta(seconds=2)))
    await store.fail_open()
    call = await stored(store, closed(outcome=Outcome.GATEWAY_LOST))
    assert call.legs[0].ended_at == call.ended_at == START + timedelta(seconds=32)


async def test_redaction_takes_words_out_of_legs_and_transfers(store: CallStore) -> None:
    await stored(
        store, opened(), leg_opened(), leg_closed(end_reason="card 4111 1111 said"), transfer_began(),
        transfer_ended(reason="wants 4711 changed"), closed(),
    )  # fmt: skip
    await store.redact("c1", digits_only=True)
    call = await stored(store)
    assert "4111" not in call.legs[1].end_reason
    assert (call.transfers[0].reason[:6], "4711" in call.transfers[0].reason) == ("wants ", False)
    await store.redact("c1", digits_only=False)
    call = await stored(store)
    assert call.transfers[0].reason == "[redacted]"
    assert call.transfers[0].target == "sip:human@desk.example"


async def test_redaction_drops_what_waits_for_a_webhook(store: CallStore) -> None:
    await stored(store, opened(), closed())
    for n, call_id in enumerate(("c1", "c10")):
        body = json.dumps({"type": "call.turn", "data": {"call_id": call_id, "text": "my secret"}})
        await store.deliveries.add([Delivery(f"e{n}", "https://example.com", "call.turn", body, 100.0)])
    await store.redact("c1", digits_only=False)
    (left,) = await store.deliveries.claim({"https://example.com": 9}, 200.0, 1.0)
    assert left.event_id == "e1"


async def test_legs_wait_beside_a_sick_store_for_the_next_start(store: CallStore, tmp_path: Path) -> None:
    class Sick:
        async def apply(self, messages: object) -> None:
            raise OSError("no")

    spill = Spill(tmp_path / "other.db")
    writer = RecordWriter(Sick(), spill=spill, every_s=0)
    for message in (opened(), leg_opened(), transfer_began(), transfer_ended(), leg_closed(), closed()):
        writer.put(message)
    await writer.close()
    assert await recover(store, spill) == 6
    assert await recover(store, spill) == 0
    call = await stored(store)
    assert [leg.outcome for leg in call.legs] == [Outcome.ANSWERED, Outcome.ANSWERED]
    assert call.transfers[0].outcome is Outcome.ANSWERED


def test_legs_have_places_of_their_own_among_what_waits() -> None:
    backlog = Backlog(4)
    for number in range(3):
        backlog.put(leg_opened(number=number))
    assert backlog.dropped_records == 1
    backlog.put(opened())
    assert backlog.dropped_records == 1
    assert len(backlog) == backlog.size == 3


@pytest.mark.parametrize("outcome", ["answered", None])
async def test_a_migration_gives_old_calls_their_customers_leg(tmp_path: Path, outcome: str | None) -> None:
    url = f"sqlite:///{tmp_path}/old.db"
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).with_name("migrations")))
    engine = create_engine(url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        connection.execute(
            text(
                "INSERT INTO calls (call_id, direction, trunk, called, caller, sip_call_id, persona, rule, worker, "
                "started_at, answered_at, ended_at, outcome, sip_status, ended_by, end_reason, refused_by, "
                "first_rtp_ms, media_alarms) VALUES ('c1', 'inbound', 'local', '+15550100', NULL, 'x@y', 'p', 'r', "
                "'w1', '2026-11-20 09:00:00.000000', '2026-11-20 09:00:02.000000', '2026-11-20 09:00:32.000000', "
                ":outcome, 200, 'caller', 'bye', '', 12.5, '[]')"
            ),
            {"outcome": outcome},
        )
    engine.dispose()
    store = await CallStore.open(url)
    try:
        call = await stored(store, opened())  # a second beginning makes no second leg
    finally:
        await store.close()
    (leg,) = call.legs
    assert (leg.leg_id, leg.role, leg.outcome, leg.sip_status) == ("c1-1", LegRole.CUSTOMER, call.outcome, 200)
    assert (leg.started_at, leg.ended_at, leg.first_rtp_ms) == (call.started_at, call.ended_at, 12.5)
    assert (leg.end_reason, leg.ended_by, leg.caller) == ("bye", EndedBy.CALLER, None)


async def test_a_leg_that_goes_over_another_trunk_takes_its_call_along_if_it_is_the_customers(store: CallStore) -> None:
    moved = LegMoved(leg_id="c1-1", call_id="c1", trunk="backup", caller="+15550177")
    call = await stored(store, opened(), leg_opened(), moved)
    assert (call.trunk, call.caller) == ("backup", "+15550177")
    assert [leg.trunk for leg in call.legs] == ["backup", "desk"]
    call = await stored(store, LegMoved(leg_id="c1-2", call_id="c1", trunk="other"), closed())
    assert (call.trunk, [(leg.trunk, leg.caller) for leg in call.legs]) == (
        "backup", [("backup", "+15550177"), ("other", None)],
    )  # fmt: skip
    assert message_from_dict(moved.to_dict()) == moved


async def test_the_keys_of_the_latest_legs_oldest_first(store: CallStore) -> None:
    keys = [KeyFigures(rfc4733=number, first="rfc4733", agreed=True) for number in (1, 2, 3)]
    for number, figures in enumerate(keys):
        call_id, media = f"c{number}", replace(MEDIA, keys=figures)
        await store.apply([opened(call_id, minutes=number, trunk="lab"), closed(call_id, media=media)])
    await store.apply([opened("never", minutes=9), closed("never", media=None)])
    assert await store.latest_keys(3) == (("lab", keys[1]), ("lab", keys[2]))
