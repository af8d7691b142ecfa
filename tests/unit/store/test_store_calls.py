from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from agent.events import UserMessage
from gateway.record import CallEvents, Outcome, Recording, Tokens, event_on_axis, refused_record
from gateway.store import BadCursor, CallFilters, CallStore, SchemaTooNew, StoreDamaged, StoreError, StoreUnavailable
from telephony.call import CallInfo, Direction, EndedBy
from telephony.media.answering.model import AnsweredBy
from tests.unit.store.records import ANSWER, MEDIA, START, closed, conversation, opened, talked, verdict, worker_lost


async def test_a_call_from_begin_to_end(store: CallStore) -> None:
    await store.apply([opened()])
    live = await store.get_call("c1")
    assert live is not None
    assert (live.outcome, live.ended_at, live.duration_ms) == (None, None, None)

    await store.apply([talked("c1", conversation())])
    live = await store.get_call("c1")
    assert live is not None
    assert len(live.turns) == 6, "a live call has a transcript too"

    await store.apply([closed()])
    call = await store.get_call("c1")
    assert call is not None
    assert call.outcome is Outcome.ANSWERED
    assert call.ended_by is EndedBy.CALLER
    assert call.duration_ms == 30_000
    assert call.started_at == START
    assert call.media == MEDIA
    assert call.recording is not None
    assert call.recording.path == "c1.wav"
    assert call.media_alarms[0].kind == "loss"
    assert call.tokens == Tokens(prompt=120, completion=30)
    assert call.turns == live.turns
    assert list(call.events) == conversation()


async def test_twice_is_once(store: CallStore) -> None:
    await store.apply([opened()])
    await store.apply([closed()])
    await store.apply([opened(persona="other.Persona")])
    await store.apply([closed(outcome=Outcome.FAILED, end_reason="again", sip_status=500)])
    page = await store.list_calls()
    assert len(page.calls) == 1
    (call,) = page.calls
    assert (call.persona, call.outcome, call.sip_status) == ("clinic.Reception", Outcome.ANSWERED, 200)


async def test_a_late_end_adds_data_and_leaves_the_outcome(store: CallStore) -> None:
    await store.apply([opened()])
    await store.apply([worker_lost(["c1", "never-began"], at=START + timedelta(seconds=12))])
    lost = await store.get_record("c1")
    assert lost is not None
    assert (lost.outcome, lost.ended_by, lost.duration_ms) == (Outcome.WORKER_LOST, EndedBy.SYSTEM, 0)

    await store.apply([talked("c1", conversation())])
    await store.apply([closed()])
    late = await store.get_call("c1")
    assert late is not None
    assert (late.outcome, late.ended_at) == (Outcome.WORKER_LOST, START + timedelta(seconds=12))
    assert late.end_reason == lost.end_reason
    assert (late.media, late.recording) == (MEDIA, closed().recording)
    assert late.duration_ms == 10_000, "the answer time was the late news"
    assert len(late.turns) == 6, "events after the end are in the transcript"


async def test_worker_lost_leaves_ended_calls_alone(store: CallStore) -> None:
    await store.apply([opened()])
    await store.apply([closed()])
    await store.apply([worker_lost(["c1"])])
    call = await store.get_record("c1")
    assert call is not None
    assert call.outcome is Outcome.ANSWERED


async def test_a_refused_attempt_is_one_record_even_if_it_had_begun(store: CallStore) -> None:
    info = CallInfo("c1", Direction.INBOUND, "+15550100", None, "local")
    record = refused_record(info, started_at=START, sip_status=403, refused_by="numbers: +1555* from anonymous")
    await store.apply([record])
    await store.apply([record])
    await store.apply([opened("c2")])
    info = CallInfo("c2", Direction.INBOUND, "+15550100", None, "local")
    await store.apply([refused_record(info, started_at=START, sip_status=503, refused_by="full")])
    calls = {call.call_id: call for call in (await store.list_calls()).calls}
    assert len(calls) == 2
    assert calls["c1"] == record
    assert (calls["c2"].outcome, calls["c2"].refused_by, calls["c2"].worker) == (Outcome.REFUSED, "full", "w1")


async def test_a_summary_of_many_attempts_keeps_their_number(store: CallStore) -> None:
    info = CallInfo("c1", Direction.INBOUND, "", None, "local")
    await store.apply([refused_record(info, started_at=START, sip_status=503, refused_by="rate", attempts=1234)])
    await store.apply([opened("c2")])
    assert {call.call_id: call.attempts for call in (await store.list_calls()).calls} == {"c1": 1234, "c2": 1}


async def test_events_and_ends_of_unknown_calls_make_no_record(store: CallStore) -> None:
    await store.apply([talked("ghost", conversation())])
    await store.apply([closed("ghost")])
    assert (await store.list_calls()).calls == ()


async def test_what_a_dead_process_left_open_ends_at_its_last_sign_of_life(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/calls.db"
    store = await CallStore.open(url)
    await store.apply(
        [
            opened("ringing"),
            opened("talking"),
            CallEvents(call_id="talking", events=tuple(conversation()), answered_at=START + timedelta(seconds=2)),
            opened("done"),
            closed("done"),
        ]
    )
    await store.close()
    store = await CallStore.open(url)
    assert await store.fail_open() == 2
    assert await store.fail_open() == 0
    ringing, talking, done = [await store.get_call(name) for name in ("ringing", "talking", "done")]
    await store.close()
    assert ringing is not None and talking is not None and done is not None
    assert (ringing.outcome, ringing.ended_at, ringing.duration_ms) == (Outcome.GATEWAY_LOST, START, 0)
    assert (talking.outcome, talking.end_reason) == (Outcome.GATEWAY_LOST, "gateway_lost")
    assert talking.ended_at == START + timedelta(seconds=2 + 9)
    assert talking.duration_ms == 9000
    assert len(talking.turns) == 6
    assert done.outcome is Outcome.ANSWERED


async def test_a_transaction_is_all_or_nothing(store: CallStore) -> None:
    bad = CallEvents(call_id="c1", events=({"type": "x", "a": {1: 2, (1, 2): 3}},))  # no JSON object
    with pytest.raises(TypeError):
        await store.apply([opened(), bad])
    assert (await store.list_calls()).calls == ()


async def test_text_that_no_database_takes_is_mended(store: CallStore) -> None:
    half = "caf\udce9"
    await store.apply([opened(called=half)])
    await store.apply([talked("c1", [{"type": "odd", "t_ms": float("nan"), "x": float("inf"), "text": half}])])
    await store.apply([closed(end_reason=half)])
    call = await store.get_call("c1")
    assert call is not None
    assert (call.called, call.end_reason) == ("caf?", "caf?")
    assert call.events == ({"type": "odd", "t_ms": None, "x": None, "text": "caf?"},)


async def test_text_with_nul_and_without_end_is_mended(store: CallStore) -> None:
    said = event_on_axis(UserMessage(ANSWER + 1.0, "a\0b", ANSWER, ANSWER + 1.0, "speech"), ANSWER)
    await store.apply([opened(called="1\0" + "2" * 3000, caller="é" * 300, trunk="t" * 100), talked("c1", [said])])
    await store.apply([closed(end_reason="x" * 5000 + "\0", first_rtp_ms=float("nan"))])
    call = await store.get_call("c1")
    assert call is not None
    assert (len(call.called), call.called[:3], call.caller, call.trunk) == (256, "1�2", "é" * 256, "t" * 64)
    assert (len(call.end_reason), call.first_rtp_ms) == (5001, None)
    assert (call.events[0]["text"], call.turns[0].text) == ("a\0b", "a\0b")


async def test_figures_that_are_no_numbers_are_left_out(store: CallStore) -> None:
    media = replace(MEDIA, jitter_ms=float("inf"), round_trip_ms=float("nan"))
    await store.apply([opened(), closed(media=media, recording=Recording(path="é\0\udce9", duration_ms=1))])
    call = await store.get_call("c1")
    assert call is not None and call.recording is not None
    assert call.media is None  # a figure that has to be there is not
    assert call.recording.path == "é\0?"


async def test_times_keep_their_microseconds_in_any_zone(store: CallStore) -> None:
    here = datetime(2026, 3, 29, 2, 30, 0, 123456, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    await store.apply([replace(opened(), started_at=here)])
    (call,) = (await store.list_calls(CallFilters(since=here, until=here + timedelta(microseconds=1)))).calls
    assert call.started_at == here
    assert call.started_at.tzinfo is UTC


async def test_ids_sort_byte_by_byte(store: CallStore) -> None:
    names = ["A", "B", "_", "a", "b", "a-1", "a1", "é"]
    await store.apply([opened(name) for name in names])
    listed: list[str] = []
    cursor = None
    for _ in range(4):
        page = await store.list_calls(limit=2, cursor=cursor)
        listed += [call.call_id for call in page.calls]
        cursor = page.next_cursor
    assert listed == sorted(names, key=str.encode, reverse=True)


async def test_pages_follow_each_other_without_gap_or_repeat(store: CallStore) -> None:
    await store.apply([opened(f"c{n}", minutes=n // 3) for n in range(10)])  # three a minute: ties are broken by id
    seen: list[str] = []
    cursor = None
    for _ in range(4):
        page = await store.list_calls(limit=3, cursor=cursor)
        seen += [call.call_id for call in page.calls]
        cursor = page.next_cursor
    assert cursor is None
    assert seen == ["c9", "c8", "c7", "c6", "c5", "c4", "c3", "c2", "c1", "c0"]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (CallFilters(called="+15550199"), {"b"}),
        (CallFilters(caller="+15557777"), {"a", "b"}),
        (CallFilters(outcome=Outcome.ANSWERED), {"a"}),
        (CallFilters(persona="clinic.AfterHours"), {"c"}),
        (CallFilters(answered_by=AnsweredBy.HUMAN), {"b"}),
        (CallFilters(answered_by=AnsweredBy.VOICEMAIL), set()),
        (CallFilters(since=START + timedelta(minutes=1)), {"b", "c"}),
        (CallFilters(until=START + timedelta(minutes=1)), {"a"}),
        (CallFilters(live=True), {"b", "c"}),
        (CallFilters(called="+15550199", outcome=Outcome.ANSWERED), set()),
        (CallFilters(called="' OR 1=1 --"), set()),
    ],
)
async def test_filters(store: CallStore, filters: CallFilters, found: set[str]) -> None:
    await store.apply(
        [
            opened("a"),
            opened("b", minutes=1, called="+15550199"),
            opened("c", minutes=2, caller=None, persona="clinic.AfterHours"),
            CallEvents(call_id="b", events=(verdict("voicemail", 900.0), verdict("human", 1500.0))),
            closed("a"),
        ]
    )
    assert {call.call_id for call in (await store.list_calls(filters)).calls} == found


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "é", "bnVsbA", "A" * 500, "1.", ".c1", "1.c1\n", "-1.c1", "1.c/1", "9" * 18 + ".c1", "٣.c1"],
)
async def test_a_made_up_cursor_is_refused(store: CallStore, cursor: str) -> None:
    with pytest.raises(BadCursor):
        await store.list_calls(cursor=cursor)


@pytest.mark.parametrize("limit", [0, 201, -1])
async def test_limits_of_a_page(store: CallStore, limit: int) -> None:
    with pytest.raises(ValueError, match="limit"):
        await store.list_calls(limit=limit)


async def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/deep/er/calls.db"
    for _ in range(2):
        store = await CallStore.open(url)
        await store.apply([opened()])
        await store.close()
        await store.close()
    store = await CallStore.open(url)
    assert len((await store.list_calls()).calls) == 1
    await store.close()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://u:secret@h/db"])
async def test_other_databases_are_refused_in_words(url: str) -> None:
    with pytest.raises(StoreError, match="SQLite file") as caught:
        await CallStore.open(url)
    assert "secret" not in str(caught.value)


async def test_a_place_that_cannot_hold_a_store_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreUnavailable, match="file"):
        await CallStore.open(f"sqlite:///{tmp_path}/file/calls.db")
    (tmp_path / "text.db").write_text("no database, but long enough to have a header" * 20)
    with pytest.raises(StoreDamaged, match=r"text\.db"):
        await CallStore.open(f"sqlite:///{tmp_path}/text.db")


async def test_a_newer_schema_is_left_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/calls.db"
    await (await CallStore.open(url)).close()
    connection = sqlite3.connect(tmp_path / "calls.db")
    connection.execute("UPDATE alembic_version SET version_num = '0099'")
    connection.commit()
    with pytest.raises(SchemaTooNew, match="0099"):
        await CallStore.open(url)
    assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0099",)
    connection.close()


async def test_what_another_version_wrote_does_not_break_the_rest(tmp_path: Path) -> None:
    store = await CallStore.open(f"sqlite:///{tmp_path}/calls.db")
    await store.apply([opened(), CallEvents(call_id="c1", events=tuple(conversation())), closed()])
    connection = sqlite3.connect(tmp_path / "calls.db")
    with connection:
        connection.execute("""UPDATE calls SET media = '{"codec": "opus"}'""")
        connection.execute("""UPDATE turns SET turn = '{"who": "caller"}' WHERE place = 1""")
    connection.close()
    (listed,) = (await store.list_calls()).calls
    call = await store.get_call("c1")
    await store.close()
    assert (listed.media, listed.recording) == (None, closed().recording)
    assert call is not None
    assert [turn.speaker for turn in call.turns][:2] == ["agent", "caller"]


async def test_postgresql_without_its_driver_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.store.postgres.find_spec", lambda _: None)
    with pytest.raises(StoreError, match=r"pip install 'trunkline\[postgres\]'"):
        await CallStore.open("postgresql://trunkline@127.0.0.1:1/trunkline")
