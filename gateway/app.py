"""The gateway's life: start, serve, drain, stop."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine
from typing import Any

import structlog

from agent.stopping import on_stop_signals
from gateway.adoption import Adoption
from gateway.api import ApiServer
from gateway.config import Settings
from gateway.control import Stop
from gateway.dialplan import Dialplan
from gateway.metrics import sample_loop_lag
from gateway.parts import Parts, hosted_worker, make_api, make_parts
from gateway.private_files import tighten_recordings
from gateway.record_flow import Listener
from gateway.store import recover, shorten_thread_turns
from telephony.edge import Edge

__all__ = ["Gateway"]

log = structlog.get_logger(__name__)

STOP_LIMIT_S = 4.0
READY_LIMIT_S = 60.0
EDGE_GRACE_S = 0.5  # for the last responses to BYEs


class Gateway:
    """One gateway process. `listeners` get every record message as it comes (terminal, bench, tests)."""

    def __init__(self, settings: Settings, dialplan: Dialplan) -> None:
        """Raises SecretMissing."""
        self.settings = settings
        self.dialplan = dialplan
        self.listeners: list[Listener] = []
        self._agents = hosted_worker(settings)
        self._made: tuple[Parts, ApiServer] | None = None
        self._stopping = asyncio.Event()
        self._stop_now = asyncio.Event()
        self._background: set[asyncio.Task[None]] = set()  # cancelled at shutdown
        self._work: set[asyncio.Task[None]] = set()  # awaited at shutdown

    @property
    def parts(self) -> Parts:
        assert self._made is not None, "the gateway has been started"
        return self._made[0]

    @property
    def api(self) -> ApiServer:
        assert self._made is not None, "the gateway has been started"
        return self._made[1]

    @property
    def edge(self) -> Edge:
        return self.parts.edge

    async def start(self) -> None:
        """Open the store, bind everything (so that a port in use is reported before anything runs), start the workers.

        Raises PortTaken, StoreError, ExposureError, TimeoutError if no worker becomes ready."""
        shorten_thread_turns()
        parts = await make_parts(self.settings, self.dialplan, self.listeners, self._agents)
        api = make_api(parts, self.settings)
        self._made = parts, api
        try:
            await parts.edge.start()
            await parts.phones.start()
            await api.start()
            await parts.webhooks.load()
            await self._end_what_was_left()
            await parts.writer.start()
            parts.webhooks.start()
            if self.settings.queues:
                self._spawn(self._background, parts.queues.run())
                self._spawn(self._background, parts.desk.look())
            self._spawn(self._background, parts.campaigns.run())
            if self.settings.record_calls or self.dialplan.records:
                await parts.recordings.look()
                self._spawn(self._background, parts.recordings.watch())
            self._spawn(self._background, sample_loop_lag(parts.metrics))
            await parts.supervisor.start()
            if parts.agents is not None:
                await parts.agents.start(parts.store, parts.records.put)
            if parts.livekit is not None:
                await parts.livekit.start()
            async with asyncio.timeout(READY_LIMIT_S):
                await parts.calls.ready.wait()
        except BaseException:
            await self._close()
            raise
        # A full collection over everything loaded would block the loop for tens of milliseconds.
        gc.collect()
        gc.freeze()
        self._spawn(self._work, self._tighten_recordings())

    async def serve(self) -> None:
        """Until SIGTERM, SIGINT or SIGHUP: then drain. A second SIGTERM or SIGINT ends at once."""
        on_stop_signals(asyncio.get_running_loop(), self.stop, self._stopping.set)
        await self._stopping.wait()
        await self.drain()

    def stop(self) -> None:
        """Ask once to drain, twice to end at once."""
        if self._stopping.is_set():
            self._stop_now.set()
        self._stopping.set()

    async def drain(self) -> None:
        """Refuse new calls, let live ones continue for up to `drain_s`, then end them with a goodbye, then stop."""
        parts = self.parts
        parts.admission.draining = True
        log.info("draining", calls=parts.live.in_workers, limit_s=self.settings.drain_s)
        await parts.ending.run(self.settings.drain_s, self._stop_now)
        await parts.supervisor.stop(Stop(), STOP_LIMIT_S)
        if parts.agents is not None:
            await parts.agents.drain(self._stop_now)
        await asyncio.sleep(EDGE_GRACE_S if parts.edge.dialogs else 0)
        await self._close()

    async def _close(self) -> None:
        parts = self.parts
        await parts.supervisor.stop(Stop(), STOP_LIMIT_S)
        if parts.agents is not None:
            await parts.agents.close()
        for task in self._background:
            task.cancel()
        await parts.queues.close()
        if parts.livekit is not None:
            await parts.livekit.close()
        await parts.phones.close()
        await parts.edge.end_trunks()
        await parts.edge.close()
        parts.events.stream.close()
        await self.api.close()
        await parts.calls.close(STOP_LIMIT_S)
        if self._work:
            await asyncio.wait(self._work, timeout=STOP_LIMIT_S)
        await parts.writer.close()
        for poster in (parts.asker, parts.summaries, parts.webhooks):
            if poster is not None:
                await poster.close()
        await parts.store.close()
        parts.lock.release()

    async def _end_what_was_left(self) -> None:
        """End the calls of a gateway that died, and add the recordings that its workers left."""
        parts = self.parts
        await recover(parts.store, parts.spill)
        left = await parts.store.open_calls()
        await parts.store.fail_open("gateway_lost")
        if left:
            parts.events.were_lost(left)
            if parts.summaries is not None:
                parts.summaries.were_lost([call.call_id for call in left])
            adoption = Adoption(left, self.settings.recordings, parts.writer.put)
            await adoption.adopt()
            self._spawn(self._work, adoption.run())

    async def _tighten_recordings(self) -> None:
        await asyncio.to_thread(tighten_recordings, self.settings.recordings)

    def _spawn(self, tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
