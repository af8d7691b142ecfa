"""The Prometheus metrics: typed, named `trunkline_…`, in a separate registry. All methods run on the loop."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.live_calls import CallAnswered, CallEnded, CallFact, LiveCalls
from gateway.outbound.trunks import TrunkState
from gateway.queues.measuring import Seen, queue_metrics
from gateway.record import CallClosed, CallEvents, LegClosed, RecordMessage
from gateway.record.answering import MESSAGE, VERDICT
from gateway.store.writer import WriterState
from gateway.trunk_keys import TrunkKeysState
from telephony.call import MediaStatistics
from telephony.media.answering.model import AnsweredBy

__all__ = ["LoopLag", "Metrics", "Snapshots", "sample_loop_lag"]

_ANSWER_S = (0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 40)
_TURN_S = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1, 1.25, 1.5, 2, 3, 5, 10)
_JITTER_MS = (1, 2, 5, 10, 20, 40, 80, 160)
_STAGES = ("decided", "transcript", "first_token", "first_audio", "first_packet")


class Snapshots(Collector):
    """Figures kept elsewhere, read when Prometheus scrapes. Each is a callable that returns at once."""

    def __init__(self) -> None:
        self.workers: Callable[[], Mapping[str, int]] | None = None  # state -> how many
        self.slots_free: Callable[[], int] | None = None
        self.edge: Callable[[], Mapping[str, float]] | None = None  # counter name, as in requests_refused -> count
        self.store: Callable[[], WriterState] | None = None
        self.trunks: Callable[[], Mapping[str, TrunkState]] | None = None
        self.trunk_keys: Callable[[], Mapping[str, TrunkKeysState]] | None = None
        self.phones: Callable[[], tuple[int, int, int]] | None = None  # registered, of these reachable; bans
        self.webhooks: Callable[[], Mapping[str, int]] | None = None  # result -> deliveries since the start
        self.certificates: Callable[[], Iterable[tuple[str, str, float]]] | None = None  # file, trunk, seconds left
        self.queues: Callable[[], Seen] | None = None
        self.recordings: Callable[[], tuple[bool, int]] | None = None  # the folder can be used; calls that failed

    def collect(self) -> Iterable[Metric]:
        if self.workers is not None:
            family = GaugeMetricFamily("trunkline_workers", "Call workers by state", labels=["state"])
            for state, count in self.workers().items():
                family.add_metric([state], count)
            yield family
        if self.slots_free is not None:
            yield GaugeMetricFamily("trunkline_slots_free", "Calls that could be taken now", self.slots_free())
        if self.edge is not None:
            for name, total in self.edge().items():
                metric = re.sub(r"[^a-zA-Z0-9_]", "_", name)  # counters may be called as in refused.source
                yield CounterMetricFamily(f"trunkline_edge_{metric}", f"SIP edge: {name.replace('_', ' ')}", total)
        if self.certificates is not None:
            left = GaugeMetricFamily(
                "trunkline_certificate_expires_seconds",
                "Time until a certificate of ours expires; less than 0: it has",
                labels=["file", "trunk"],
            )
            for file, trunk, seconds in self.certificates():
                left.add_metric([file, trunk], seconds)
            yield left
        if self.recordings is not None:
            up, failed = self.recordings()
            yield GaugeMetricFamily("trunkline_recordings_up", "1 unless the folder of recordings is unusable", int(up))
            yield CounterMetricFamily("trunkline_recordings_failed", "Calls not recorded, or only partly", failed)
        if self.webhooks is not None:
            deliveries = CounterMetricFamily(
                "trunkline_webhook_deliveries", "Attempts to post an event, and events dropped", labels=["result"]
            )
            for result, total in self.webhooks().items():
                deliveries.add_metric([result], total)
            yield deliveries
        if self.queues is not None:
            yield from queue_metrics(self.queues())
        if self.trunks is not None:
            yield from _trunk_metrics(self.trunks())
        if self.phones is not None:
            registered, reachable, bans = self.phones()
            devices = GaugeMetricFamily("trunkline_phones", "Devices registered with us", labels=["state"])
            devices.add_metric(["reachable"], reachable)
            devices.add_metric(["unreachable"], registered - reachable)
            yield devices
            yield GaugeMetricFamily("trunkline_phone_bans", "Who has guessed phones' passwords, and is refused", bans)
        if self.trunk_keys is not None:
            yield from _key_metrics(self.trunk_keys())
        if self.store is not None:
            yield from _store_metrics(self.store())


def _trunk_metrics(states: Mapping[str, TrunkState]) -> Iterable[Metric]:
    calls = GaugeMetricFamily("trunkline_trunk_calls", "Calls over a trunk now", labels=["trunk", "direction"])
    cap = GaugeMetricFamily("trunkline_trunk_cap", "Calls at once that a trunk takes", labels=["trunk"])
    waiting = GaugeMetricFamily("trunkline_trunk_waiting", "Calls that wait for a trunk", labels=["trunk"])
    full = CounterMetricFamily("trunkline_trunk_full", "Calls refused for want of room on a trunk", labels=["trunk"])
    for name, state in states.items():
        calls.add_metric([name, "outbound"], state.cap.placed)
        calls.add_metric([name, "inbound"], state.cap.came_in)
        waiting.add_metric([name], state.cap.waiting)
        full.add_metric([name], state.cap.refused)
        if state.cap.calls is not None:
            cap.add_metric([name], state.cap.calls)
    yield from (calls, cap, waiting, full)


def _key_metrics(states: Mapping[str, TrunkKeysState]) -> Iterable[Metric]:
    presses = CounterMetricFamily("trunkline_trunk_keys", "Key presses from a trunk", labels=["trunk", "way"])
    unused = CounterMetricFamily(
        "trunkline_trunk_events_not_used", "Calls that agreed to telephone-event and sent tones", labels=["trunk"]
    )
    for name, state in states.items():
        for way, count in state.presses.items():
            presses.add_metric([name, way], count)
        unused.add_metric([name], state.not_used)
    yield from (presses, unused)


def _store_metrics(state: WriterState) -> Iterable[Metric]:
    yield GaugeMetricFamily("trunkline_store_backlog", "Record messages that wait to be written", state.backlog)
    yield GaugeMetricFamily("trunkline_store_up", "1 unless the last write failed", int(state.healthy))
    yield CounterMetricFamily("trunkline_store_written", "Record messages written", state.written)
    yield CounterMetricFamily("trunkline_store_failures", "Writes that failed and were retried", state.failures)
    yield CounterMetricFamily(
        "trunkline_store_set_aside", "Record messages refused by the store, kept in a file next to it", state.set_aside
    )
    dropped = CounterMetricFamily("trunkline_store_dropped", "Dropped for lack of space", labels=["what"])
    dropped.add_metric(["events"], state.dropped_events)
    dropped.add_metric(["records"], state.dropped_records)
    dropped.add_metric(["refusals"], state.dropped_refusals)
    yield dropped


class Metrics:
    """Feed it every record message with the result of `live.observe`; set `snapshots` for the rest."""

    def __init__(self, live: LiveCalls) -> None:
        self.registry = CollectorRegistry()
        self.snapshots = Snapshots()
        self.registry.register(self.snapshots)
        ProcessCollector(namespace="trunkline", registry=self.registry)

        self.calls = self._counter("calls", "Attempts that have ended", "outcome", "trunk")
        self.calls_active = self._gauge("calls_active", "Attempts in progress")
        self.calls_active.set_function(lambda: len(live))
        self.answer = self._histogram("invite_to_answer_seconds", "INVITE to 200 OK", _ANSWER_S)
        self.turn = self._histogram("turn_latency_seconds", "End of speech to first packet", _TURN_S)
        self.stage = self._histogram("turn_stage_seconds", "End of speech to each stage of a reply", _TURN_S, "stage")
        self.lost = self._counter("rtp_packets_lost", "RTP packets that never arrived, by direction", "direction")
        self.received = self._counter("rtp_packets_received", "RTP packets received")
        self.strangers = self._counter("rtp_packets_from_strangers", "Media packets from sources other than the peer")
        self.unknown_payload = self._counter(
            "rtp_packets_unknown_payload", "RTP packets with a payload type that was not negotiated"
        )
        self.presses_dropped = self._counter("key_presses_dropped", "Key presses faster than a person can type")
        self.jitter = self._histogram("rtp_jitter_ms", "Interarrival jitter of a call, RFC 3550 6.4.1", _JITTER_MS)
        self.media_alarms = self._counter("media_alarms", "Audio problems in calls", "kind")
        self.provider_failures = self._counter("provider_failures", "Speech and language failures", "provider", "part")
        self.answered_by = self._counter("answered_by", "Verdicts on who answered", "answered_by")
        self.corrections = self._counter("answered_by_corrected", "Verdicts put right", "was", "answered_by")
        self.messages = self._counter("messages", "Messages for voicemails", "delivered", "why")
        self.worker_restarts = self._counter("worker_restarts", "Workers replaced after they died")
        self.loop_lag = self._gauge("loop_lag_seconds", "Worst delay of the event loop in the last 10 s")

    def render(self) -> bytes:
        """Prometheus text format 0.0.4."""
        return generate_latest(self.registry)

    def observe(self, message: RecordMessage, facts: Iterable[CallFact]) -> None:
        """Count a record message. Each call counts once, by its first end."""
        ended = False
        for fact in facts:
            match fact:
                case CallAnswered():
                    self.answer.observe(fact.after_s)
                case CallEnded(opened=True):
                    ended = True
                    self.calls.labels(outcome=fact.outcome.value, trunk=fact.trunk or "none").inc(fact.attempts)
                case CallEnded():
                    pass
        if isinstance(message, CallEvents):
            for event in message.events:
                self._event(event)
        elif isinstance(message, LegClosed) or (isinstance(message, CallClosed) and ended):
            # The customer's leg is told by its call's end, the others by their own.
            self._media(message.media)
            for alarm in message.media_alarms:
                self.media_alarms.labels(kind=alarm.kind).inc()

    def _event(self, event: Mapping[str, Any]) -> None:
        if event.get("type") == "provider_failed":
            provider, part = str(event.get("provider", "")), str(event.get("part", ""))
            self.provider_failures.labels(provider=provider, part=part).inc()
        elif event.get("type") == VERDICT:
            answered_by, was = _known(event.get("answered_by")), event.get("corrects")
            self.answered_by.labels(answered_by=answered_by).inc()
            if was:
                self.corrections.labels(was=_known(was), answered_by=answered_by).inc()
        elif event.get("type") == MESSAGE:
            delivered = "yes" if event.get("delivered") is True else "no"
            self.messages.labels(delivered=delivered, why=str(event.get("why", ""))).inc()
        elif event.get("type") == "turn_latency" and isinstance(event.get("speech_ended_at"), int | float):
            for stage in _STAGES:
                at = event.get(f"{stage}_at")
                if isinstance(at, int | float):
                    self.stage.labels(stage=stage).observe(max(0.0, at - event["speech_ended_at"]))
            if isinstance(event.get("first_packet_at"), int | float):
                self.turn.observe(max(0.0, event["first_packet_at"] - event["speech_ended_at"]))

    def _media(self, media: MediaStatistics | None) -> None:
        if media is None:
            return
        self.lost.labels(direction="in").inc(max(0, media.packets_lost))
        self.lost.labels(direction="out").inc(max(0, media.remote_packets_lost))
        self.received.inc(max(0, media.packets_received))
        self.strangers.inc(max(0, media.packets_from_strangers))
        self.unknown_payload.inc(max(0, media.packets_unknown_payload))
        self.presses_dropped.inc(max(0, media.presses_dropped))
        self.jitter.observe(media.jitter_ms)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"trunkline_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"trunkline_{name}", text, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"trunkline_{name}", text, labels, buckets=buckets, registry=self.registry)


def _known(answered_by: object) -> str:
    """As a label: an agent of another version may say anything."""
    return str(answered_by) if answered_by in {each.value for each in AnsweredBy} else "unknown"


class LoopLag:
    """The worst delay within a window. Pure: times are loop-clock seconds."""

    def __init__(self, window_s: float = 10.0) -> None:
        self._window_s = window_s
        # decreasing delays: a later, larger one replaces earlier ones
        self._delays: deque[tuple[float, float]] = deque()

    def add(self, delay_s: float, now: float) -> float:
        """Note a delay; return the worst of the window."""
        while self._delays and self._delays[-1][1] <= delay_s:
            self._delays.pop()
        self._delays.append((now, delay_s))
        while self._delays[0][0] < now - self._window_s:
            self._delays.popleft()
        return self._delays[0][1]


async def sample_loop_lag(
    metrics: Metrics,
    *,
    every_s: float = 0.1,
    now: Callable[[], float] | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Run as a task for as long as the process lives: how late the loop wakes a sleeper."""
    clock = now or asyncio.get_running_loop().time
    lag = LoopLag()
    while True:
        before = clock()
        await sleep(every_s)
        after = clock()
        metrics.loop_lag.set(lag.add(max(0.0, after - before - every_s), after))
