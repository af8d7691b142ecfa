"""The gateway's health report. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.api import HealthReport, HealthState
from gateway.dispatch import Dispatcher
from gateway.store import WriterState

__all__ = ["health_report"]


def health_report(
    dispatcher: Dispatcher,
    writer: WriterState,
    *,
    wanted: int,
    was_ready: bool,
    draining: bool,
    warnings: Iterable[str] = (),
) -> HealthReport:
    """`wanted`: workers; `was_ready`: all were ready at some time; `warnings`: sentences from other parts."""
    figures = {
        "calls_active": dispatcher.busy,
        "slots_free": dispatcher.free,
        "slots": dispatcher.total,
        "workers_ready": len(dispatcher.workers),
        "workers_wanted": wanted,
    }
    said = tuple(warnings)
    if not writer.healthy:
        said = (f"call records are waiting to be written: {writer.error}", *said)
    if draining:
        return HealthReport(state="draining", reasons=("the gateway is shutting down",), figures=figures)
    if not dispatcher.workers:
        state: HealthState = "failing" if was_ready else "starting"
        return HealthReport(state=state, reasons=("no call worker is ready",), warnings=said, figures=figures)
    return HealthReport(state="ready", warnings=said, figures=figures)
