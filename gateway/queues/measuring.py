"""Metrics of queues and their members."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric

from gateway.queues.desk import MemberReport, QueueReport

__all__ = ["Seen", "queue_metrics"]

Seen = Sequence[tuple[QueueReport, Sequence[MemberReport]]]
_NOW = {
    "waiting": "Callers who wait on the line",
    "callbacks": "Callers who wait to be called back",
    "longest_wait_seconds": "How long the first of those on the line has waited",
    "members_signed_in": "Members who are signed in",
    "members_free": "Members who could be offered a caller",
}
_TODAY = {
    "answered": "Callers answered today",
    "abandoned": "Callers who hung up while they waited, today",
    "overflowed": "Callers who went elsewhere, today",
    "left": "Callers who left by themselves, today",
    "lost": "Callers lost with a worker or a gateway, today",
}


def queue_metrics(seen: Seen) -> Iterable[Metric]:
    for name, text in _NOW.items():
        family = GaugeMetricFamily(f"trunkline_queue_{name}", text, labels=["queue"])
        for report, _ in seen:
            family.add_metric([report.name], _now(report, name))
        yield family
    for name, text in _TODAY.items():
        family = GaugeMetricFamily(f"trunkline_queue_{name}_today", text, labels=["queue"])
        for report, _ in seen:
            family.add_metric([report.name], getattr(report.today, name))
        yield family
    level = GaugeMetricFamily(
        "trunkline_queue_service_level", "Share of today's callers who were answered in time", labels=["queue"]
    )
    for report, _ in seen:
        if report.today.service_level is not None:
            level.add_metric([report.name], report.today.service_level)
    yield level
    yield from _members(seen)


def _now(report: QueueReport, name: str) -> float:
    return {
        "waiting": report.waiting,
        "callbacks": report.callbacks,
        "longest_wait_seconds": report.longest_wait_s,
        "members_signed_in": report.signed_in,
        "members_free": report.free,
    }[name]


def _members(seen: Seen) -> Iterable[Metric]:
    labels = ["queue", "member"]
    talk = GaugeMetricFamily("trunkline_queue_member_talk_seconds_today", "Of a member today", labels=labels)
    wrap_up = GaugeMetricFamily("trunkline_queue_member_wrap_up_seconds_today", "The same", labels=labels)
    for report, members in seen:
        for member in members:
            talk.add_metric([report.name, member.name], member.talk_s)
            wrap_up.add_metric([report.name, member.name], member.wrap_up_s)
    yield from (talk, wrap_up)
