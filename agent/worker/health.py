"""The worker's own HTTP port: `/healthz` and `/metrics`."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agent.worker.worker import Worker, WorkerState

__all__ = ["WorkerHttp", "WorkerMetrics"]


class WorkerMetrics(Collector):
    """The worker's figures, read when Prometheus asks."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.registry = CollectorRegistry()
        self.registry.register(self)
        ProcessCollector(namespace="trunkline_worker", registry=self.registry)

    def collect(self) -> Iterable[Metric]:
        worker, counts = self._worker, self._worker.counts
        gauges = {
            "registered": ("1 while LiveKit knows this worker", worker.machine.state is WorkerState.REGISTERED),
            "load": ("As reported to LiveKit, 0 to 1", worker.load.effective),
            "jobs_running": ("Running jobs", len(worker.jobs)),
            "processes": ("Job processes, idle ones included", worker.processes.count),
            "processes_idle": ("Job processes that wait for a job", worker.processes.idle),
            "loop_lag_seconds": (
                "Worst delay of an event loop among job processes",
                worker.processes.worst_lag_ms / 1000,
            ),
        }
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(f"trunkline_worker_{name}", text, float(value))
        jobs = CounterMetricFamily("trunkline_worker_jobs", "Jobs by what became of them", labels=["outcome"])
        for outcome in ("accepted", "refused", "succeeded", "failed", "restarted"):
            jobs.add_metric([outcome], getattr(counts, outcome))
        yield jobs

    def render(self) -> bytes:
        """Prometheus text format 0.0.4."""
        return generate_latest(self.registry)


class WorkerHttp:
    """Serves on `host:port`; port 0: the system picks one, `url` names it once started."""

    def __init__(self, worker: Worker, host: str, port: int) -> None:
        self._worker = worker
        self._metrics = WorkerMetrics(worker)
        self._host, self._port = host, port
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/metrics", self._render)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)

    @property
    def url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    async def start(self) -> None:
        """Raises OSError when the address is taken or not of this machine."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError:
            await self._runner.cleanup()
            raise
        self._port = self._runner.addresses[0][1]

    async def close(self) -> None:
        await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        worker = self._worker
        trouble = worker.trouble
        body = {
            "status": "ok" if not trouble else "unavailable",
            "reason": trouble,
            "worker_id": worker.machine.worker_id,
            "jobs": {job_id: worker.processes.pid_of(job_id) for job_id in worker.jobs},
            "load": round(worker.load.effective, 3),
        }
        return web.json_response(body, status=200 if not trouble else 503)

    async def _render(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.render(), headers={"Content-Type": "text/plain; version=0.0.4"})
