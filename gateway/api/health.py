"""/healthz and /metrics: for load balancers and Prometheus."""

from __future__ import annotations

from dataclasses import replace

from aiohttp import web
from pydantic import TypeAdapter

from gateway.api.calls import json_response
from gateway.api.deps import DEPS, ApiDeps, HealthReport

__all__ = ["healthz", "metrics", "report_of"]

_report = TypeAdapter(HealthReport)


def report_of(deps: ApiDeps) -> HealthReport:
    """The gateway's report with the store's. A store that cannot be written is a warning, as calls continue without
    it."""
    report = _with_store(deps, deps.health())
    return replace(report, degraded=report.ready and bool(report.warnings))


def _with_store(deps: ApiDeps, report: HealthReport) -> HealthReport:
    if deps.store_state is None:
        return report
    store = deps.store_state()
    warnings = (
        []
        if store.healthy
        else [f"call records cannot be written at the moment; {store.backlog} are waiting in memory"]
    )
    if store.spill_error:
        warnings.append(
            f"waiting records would be lost with the gateway, as they cannot be saved to a file: {store.spill_error}"
        )
    if store.set_aside:
        warnings.append(
            f"{store.set_aside} record messages were refused by the store and set aside in a file next to it"
        )
    if store.dropped_records:
        warnings.append(f"{store.dropped_records} call records were lost since the start")
    return replace(
        report,
        warnings=(*report.warnings, *warnings),
        figures={**report.figures, "store_backlog": store.backlog, "store_failures": store.failures},
    )


async def healthz(request: web.Request) -> web.Response:
    """200 if calls can be taken, else 503 with the reasons. No key needed; query strings, as some probes add, are
    ignored."""
    report = report_of(request.app[DEPS])
    return await json_response(_report, report, 200 if report.ready else 503)


async def metrics(request: web.Request) -> web.Response:
    body = request.app[DEPS].metrics.render()
    return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})
