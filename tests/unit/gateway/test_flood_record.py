"""What is recorded of a flood."""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.floods import flood_record
from gateway.live_calls import LiveCalls
from gateway.metrics import Metrics
from gateway.record import Outcome
from gateway.record_flow import RecordFlow
from telephony.edge import Flood

WALL = datetime(2026, 11, 27, 12, 0, 30, tzinfo=UTC)


def test_a_flood_is_one_record_with_its_source_count_and_times() -> None:
    record = flood_record(Flood("192.0.2.7", "carrier", 1234, 70.0, 99.5), now=100.0, wall=WALL)
    assert (record.outcome, record.sip_status, record.trunk, record.attempts) == (Outcome.REFUSED, 503, "carrier", 1234)
    assert record.refused_by == "too many new calls per second from 192.0.2.7"
    assert record.end_reason == "1234 attempts over the rate, 12:00:00 to 12:00:29 UTC"
    assert record.started_at == datetime(2026, 11, 27, 12, 0, 0, tzinfo=UTC)
    assert record.ended_at == datetime(2026, 11, 27, 12, 0, 29, 500_000, tzinfo=UTC)


def test_strangers_floods_name_no_trunk() -> None:
    record = flood_record(Flood("", None, 1, 99.0, 99.0), now=100.0, wall=WALL)
    assert (record.sip_status, record.trunk, record.refused_by) == (403, "", "no trunk allows source many sources")


def test_each_attempt_of_a_flood_is_counted() -> None:
    live = LiveCalls()
    metrics = Metrics(live)
    RecordFlow(lambda _: None, live, watchers=[metrics.observe]).put(
        flood_record(Flood("192.0.2.7", "carrier", 50, 0.0, 1.0), now=1.0, wall=WALL)
    )
    assert ('outcome="refused",trunk="carrier"} 50.0') in metrics.render().decode()
