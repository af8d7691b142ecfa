from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.live_calls import LiveCalls
from gateway.metrics import LoopLag, Metrics, sample_loop_lag
from gateway.record import CallEvents, Outcome, WorkerLost, refused_record
from gateway.record_flow import RecordFlow
from gateway.store import WriterState
from gateway.trunk_keys import TrunkKeysState
from telephony.call import CallInfo, Direction
from telephony.fakes import statistics
from tests.unit.store.records import (
    START,
    closed,
    conversation,
    leg_closed,
    leg_opened,
    message_left,
    opened,
    verdict,
)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"trunkline_{name}", labels)


def measured() -> tuple[Metrics, RecordFlow]:
    live = LiveCalls()
    metrics = Metrics(live)
    return metrics, RecordFlow(lambda _: None, live, watchers=[metrics.observe])


def test_a_call_counts_once_whatever_comes_twice() -> None:
    metrics, flow = measured()
    flow.put(opened())
    assert value(metrics, "calls_active") == 1
    flow.put(CallEvents(call_id="c1", answered_at=START + timedelta(seconds=2)))
    flow.put(CallEvents(call_id="c1", events=tuple(conversation())))
    for _ in range(2):
        flow.put(closed())
    flow.put(WorkerLost(call_ids=("c1", "unknown"), at=START))
    assert value(metrics, "calls_active") == 0
    assert value(metrics, "calls_total", outcome="answered", trunk="local") == 1
    assert value(metrics, "calls_total", outcome="worker_lost", trunk="local") is None
    assert value(metrics, "invite_to_answer_seconds_count") == 1
    assert value(metrics, "invite_to_answer_seconds_sum") == 2.0


def test_the_wait_for_a_reply_and_its_stages() -> None:
    metrics, flow = measured()
    flow.put(CallEvents(call_id="c1", events=tuple(conversation())))
    assert value(metrics, "turn_latency_seconds_count") == 1, "the greeting answers nobody"
    assert value(metrics, "turn_latency_seconds_sum") == pytest.approx(0.6)
    assert value(metrics, "turn_stage_seconds_sum", stage="first_token") == pytest.approx(0.25)
    assert value(metrics, "provider_failures_total", provider="espeak", part="tts") == 1


def test_who_answered_and_what_became_of_messages() -> None:
    metrics, flow = measured()
    told = (
        verdict("human", 900.0),
        verdict("voicemail", 2900.0, corrects="human"),
        verdict("a parrot", 3000.0),
        message_left(9900.0, delivered=True, why="beep"),
        message_left(9900.0, delivered=False, why="hung_up"),
    )
    flow.put(CallEvents(call_id="c1", events=told))
    assert value(metrics, "answered_by_total", answered_by="human") == 1
    assert value(metrics, "answered_by_total", answered_by="voicemail") == 1
    assert value(metrics, "answered_by_total", answered_by="unknown") == 1
    assert value(metrics, "answered_by_corrected_total", was="human", answered_by="voicemail") == 1
    assert value(metrics, "messages_total", delivered="yes", why="beep") == 1
    assert value(metrics, "messages_total", delivered="no", why="hung_up") == 1


def test_media_of_a_call() -> None:
    metrics, flow = measured()
    flow.put(opened())
    flow.put(closed())
    assert value(metrics, "rtp_packets_lost_total", direction="in") == 3
    assert value(metrics, "rtp_packets_lost_total", direction="out") == 2
    assert value(metrics, "rtp_jitter_ms_sum") == 4.5
    assert value(metrics, "media_alarms_total", kind="loss") == 1


def test_packets_that_did_not_count() -> None:
    metrics, flow = measured()
    flow.put(opened())
    figures = replace(statistics(), packets_from_strangers=1400, packets_unknown_payload=7, presses_dropped=30)
    flow.put(replace(closed(), media=figures))
    assert value(metrics, "rtp_packets_from_strangers_total") == 1400
    assert value(metrics, "rtp_packets_unknown_payload_total") == 7
    assert value(metrics, "key_presses_dropped_total") == 30


def test_packets_of_a_further_leg_count_too() -> None:
    metrics, flow = measured()
    flow.put(opened())
    flow.put(leg_opened())
    flow.put(leg_closed(media=replace(statistics(), packets_from_strangers=60)))
    flow.put(replace(closed(), media=replace(statistics(), packets_from_strangers=40)))
    assert value(metrics, "rtp_packets_from_strangers_total") == 100


def test_deliveries_to_webhooks() -> None:
    metrics, _ = measured()
    metrics.snapshots.webhooks = lambda: {"delivered": 3, "dropped": 1}
    assert value(metrics, "webhook_deliveries_total", result="delivered") == 3
    assert value(metrics, "webhook_deliveries_total", result="dropped") == 1


def test_refused_and_lost_calls() -> None:
    metrics, flow = measured()
    info = CallInfo("c2", Direction.INBOUND, "+1", None, "")
    flow.put(refused_record(info, started_at=START, sip_status=404, refused_by="no rule"))
    flow.put(opened("c3"))
    flow.put(WorkerLost(call_ids=("c3",), at=START))
    assert value(metrics, "calls_total", outcome="refused", trunk="none") == 1
    assert value(metrics, "calls_total", outcome="worker_lost", trunk="local") == 1
    assert value(metrics, "calls_active") == 0


def test_a_call_that_never_was_answered_has_no_answer_time() -> None:
    metrics, flow = measured()
    flow.put(opened())
    flow.put(closed(outcome=Outcome.CANCELLED, answered_at=None, media=None))
    assert value(metrics, "invite_to_answer_seconds_count") == 0


def test_figures_that_others_keep_are_read_when_asked_for() -> None:
    metrics = Metrics(LiveCalls())
    states = {"ready": 2, "starting": 0}
    metrics.snapshots.workers = lambda: states
    metrics.snapshots.slots_free = lambda: 8
    metrics.snapshots.edge = lambda: {"requests_refused": 5, "refused.source-acl": 2}
    metrics.snapshots.store = lambda: WriterState(7, 100, 3, 1, 2, "disk full")
    metrics.worker_restarts.inc()
    assert value(metrics, "workers", state="ready") == 2
    states["ready"] = 1
    assert value(metrics, "workers", state="ready") == 1
    assert value(metrics, "slots_free") == 8
    assert value(metrics, "edge_requests_refused_total") == 5
    assert value(metrics, "edge_refused_source_acl_total") == 2
    assert (value(metrics, "store_backlog"), value(metrics, "store_up")) == (7, 0)
    assert value(metrics, "store_dropped_total", what="records") == 2
    assert value(metrics, "worker_restarts_total") == 1


def test_every_name_is_ours_and_two_gateways_do_not_meet() -> None:
    Metrics(LiveCalls())
    lines = Metrics(LiveCalls()).render().decode().splitlines()
    assert len(lines) > 20
    assert all(line.startswith(("trunkline_", "# HELP trunkline_", "# TYPE trunkline_")) for line in lines)


def test_loop_lag_is_the_worst_of_its_window() -> None:
    lag = LoopLag(window_s=10)
    assert [lag.add(delay, now) for now, delay in [(0, 0.01), (1, 0.5), (2, 0.02), (10, 0.0), (11.5, 0.03)]] == [
        0.01,
        0.5,
        0.5,
        0.5,
        0.03,
    ]


async def test_the_sampler_measures_how_late_it_wakes() -> None:
    metrics = Metrics(LiveCalls())
    time = 0.0
    seen: list[float | None] = []

    async def sleep(seconds: float) -> None:
        nonlocal time
        seen.append(value(metrics, "loop_lag_seconds"))
        if len(seen) == 3:
            raise EOFError
        time += seconds + 0.25

    with pytest.raises(EOFError):
        await sample_loop_lag(metrics, now=lambda: time, sleep=sleep)
    assert seen == [0.0, pytest.approx(0.25), pytest.approx(0.25)]


def test_keys_of_a_trunk_by_way() -> None:
    metrics, _ = measured()
    state = TrunkKeysState(presses={"rfc4733": 3, "info": 0, "inband": 8}, not_used=2)
    metrics.snapshots.trunk_keys = lambda: {"lab": state}
    assert value(metrics, "trunk_keys_total", trunk="lab", way="inband") == 8
    assert value(metrics, "trunk_events_not_used_total", trunk="lab") == 2
