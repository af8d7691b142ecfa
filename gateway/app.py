"""The gateway put together: start, drain, stop. The only place that knows all parts."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import structlog

from agent.stopping import on_stop_signals
from gateway.admission import Admission
from gateway.adoption import Adoption, mended
from gateway.api import ApiDeps, ApiServer, HealthReport, HealthState
from gateway.call_log import CallLog
from gateway.config import Settings
from gateway.control import DigitByInfo, Drain, EndCall, LastWord, Stop
from gateway.dialplan import Dialplan
from gateway.dispatch import Dispatcher
from gateway.edge_settings import edge_settings
from gateway.floods import flood_record
from gateway.metrics import Metrics, sample_loop_lag
from gateway.private_files import tighten, tighten_recordings
from gateway.record import CallClosed, Outcome, RecordMessage, WorkerLost, message_from_dict, refused_record
from gateway.recordings_folder import RecordingsFolder
from gateway.store import CallStore, RecordWriter, Spill, StoreLock, recover
from gateway.summaries import CALL_SUMMARY, SummaryPoster
from gateway.supervisor import Supervisor
from gateway.warm_parent import WarmWorkers
from telephony.call import EndedBy
from telephony.edge import (
    CallerGone,
    DialogEnded,
    DigitPressed,
    Edge,
    Flood,
    RefusedInvite,
)

if TYPE_CHECKING:
    from gateway.api.room_tokens import RoomTokens
    from gateway.livekit.watch import LiveKitWatch
    from gateway.livekit_jobs.hosted import HostedWorker

__all__ = ["Gateway", "Listener"]

log = structlog.get_logger(__name__)

Listener = Callable[[RecordMessage], None]

ORPHAN_GRACE_S = 10.0  # an admitted call that its worker does not hold after this time has lost its owner
POLITE_END_S = 15.0  # what a goodbye may take once the drain limit is over
STOP_LIMIT_S = 4.0
READY_LIMIT_S = 60.0
CLOSING_GRACE_S = 1.0  # from the end of the SIP dialog to the worker's closing record
EDGE_CLOSING_S = 0.3  # from the worker's closing record to the end of a SIP dialog that is still there
EDGE_GRACE_S = 0.5  # for the last responses to BYEs
_PROCESS_ENDED = "the worker's process ended"


class Gateway:
    """One gateway process. `listeners` get every record message as it comes (terminal, bench, tests)."""

    def __init__(self, settings: Settings, dialplan: Dialplan) -> None:
        self.settings = settings
        self.dialplan = dialplan
        self.listeners: list[Listener] = [CallLog().observe]
        self._livekit: LiveKitWatch | None = None
        self._agents = self._agent_worker()
        self._summaries: SummaryPoster | None = None
        # LiveKit's SDK costs a call worker 10 MiB and 1 % of a core, however few calls it has.
        self.dispatcher = Dispatcher(fill=settings.rooms == "livekit")
        self.supervisor = Supervisor(settings, self, self._agents.call_workers if self._agents else WarmWorkers.start)
        self.metrics = Metrics()
        self.recordings = RecordingsFolder(settings.recordings)
        self.listeners.append(self.recordings.observe)
        self._stopping = asyncio.Event()
        self._stop_now = asyncio.Event()
        self._ready = asyncio.Event()
        self._idle = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed_here: set[str] = set()  # calls whose records were closed although a worker may close them too
        self._lag: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._told_last_words: dict[str, set[str]] = {}  # worker -> calls

    # --- life ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the store, bind everything (so that a taken port is said before anything runs), start the workers.

        Raises PortTaken, StoreError, TimeoutError when no worker becomes ready."""
        loop = asyncio.get_running_loop()
        self.admission = Admission(
            self.settings, self.dialplan, self.dispatcher,
            prepare=self.supervisor.send, opened=self._record, now=loop.time,
        )  # fmt: skip
        if self.settings.rooms == "livekit" and self.settings.livekit is not None:
            from gateway.livekit.watch import LiveKitWatch  # a local gateway never loads it

            self._livekit = LiveKitWatch(self.settings.livekit, loop.time)
            self.listeners.append(self._livekit.observe)
        self._store_lock = StoreLock.take(self.settings.store_path)
        tighten(self.settings.store_path, self.settings.recordings)
        self.store = await CallStore.open(self.settings.store, migrate_apart=True)
        self._spill = Spill(self.settings.store_path)
        self.writer = RecordWriter(self.store, spill=self._spill)
        if self.settings.summary is not None:
            self._summaries = SummaryPoster(
                self.settings.summary, self.store.get_call, words_come=self.settings.rooms == "local"
            )
            self.listeners.append(self._summaries.observe)
        self.edge = Edge(
            edge_settings(self.settings), self.admission,
            on_refused=self._refused, on_dialog_ended=self._dialog_ended, on_flood=self._flood,
            on_caller_gone=self._caller_gone, on_digit=self._digit,
        )  # fmt: skip
        listen = self.settings.http.listen
        self.api = ApiServer(self._api_deps(), host=listen.host, port=listen.port)
        snapshots = self.metrics.snapshots
        snapshots.workers = self._workers_by_state
        snapshots.slots_free = lambda: self.dispatcher.free
        snapshots.edge = lambda: {name.replace(".", "_"): n for name, n in self.edge.counters.snapshot().items()}
        snapshots.store = lambda: self.writer.state
        snapshots.recordings = lambda: (not self.recordings.trouble, self.recordings.failed)
        try:
            await self.edge.start()
            await self.api.start()
            await self._end_what_was_left()
            await self.writer.start()
            if self.settings.record_calls or self.dialplan.records:
                await self.recordings.look()
                self._watching = asyncio.create_task(self.recordings.watch(), name="recordings folder")
            self._lag = asyncio.create_task(sample_loop_lag(self.metrics))
            await self.supervisor.start()
            if self._agents is not None:
                await self._agents.start(self.store)
            if self._livekit is not None:
                await self._livekit.start()
            async with asyncio.timeout(READY_LIMIT_S):
                await self._ready.wait()
        except BaseException:
            await self._close()
            raise
        # A full collection over what was loaded would hold the loop for tens of milliseconds.
        gc.collect()
        gc.freeze()
        self._spawn(self._tighten_recordings())

    async def serve(self) -> None:
        """Until SIGTERM, SIGINT or SIGHUP: then drain. A second one of the first two ends at once."""
        on_stop_signals(asyncio.get_running_loop(), self.stop, self._stopping.set)
        await self._stopping.wait()
        await self.drain()

    def stop(self) -> None:
        """Ask once to drain, twice to end at once."""
        if self._stopping.is_set():
            self._stop_now.set()
        self._stopping.set()

    async def drain(self) -> None:
        """Refuse new calls, let live ones finish up to `drain_s`, then end them with a goodbye, then stop."""
        self.admission.draining = True
        log.info("draining", calls=self.dispatcher.busy, limit_s=self.settings.drain_s)
        if not await self._calls_ended(self.settings.drain_s) and not self._stop_now.is_set():
            self.supervisor.broadcast(Drain("the gateway is shutting down"))
            await self._calls_ended(POLITE_END_S)
        await self.supervisor.stop(Stop(), STOP_LIMIT_S)
        if self._agents is not None:
            await self._agents.drain(self._stop_now)
        await asyncio.sleep(EDGE_GRACE_S if self.edge.dialogs else 0)
        await self._close()

    async def _calls_ended(self, limit_s: float) -> bool:
        if not self.dispatcher.busy:
            return True
        self._idle.clear()
        waits = [asyncio.ensure_future(self._idle.wait()), asyncio.ensure_future(self._stop_now.wait())]
        await asyncio.wait(waits, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        return not self.dispatcher.busy

    async def _close(self) -> None:
        await self.supervisor.stop(Stop(), STOP_LIMIT_S)
        if self._agents is not None:
            await self._agents.close()
        for task in (self._lag, self._watching):
            if task is not None:
                task.cancel()
        if self._livekit is not None:
            await self._livekit.close()
        await self.edge.close()
        await self.api.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_LIMIT_S)
        await self.writer.close()
        if self._summaries is not None:
            await self._summaries.close()
        await self.store.close()
        self._store_lock.release()

    # --- what others ask -----------------------------------------------------------------------------------------

    def health(self) -> HealthReport:
        figures = {
            "calls_active": self.dispatcher.busy,
            "slots_free": self.dispatcher.free,
            "slots": self.dispatcher.total,
            "workers_ready": len(self.dispatcher.workers),
            "workers_wanted": self.supervisor.wanted,
        }
        warnings: tuple[str, ...] = ()
        if not self.writer.state.healthy:
            warnings = (f"call records wait to be written: {self.writer.state.error}",)
        if self._livekit is not None:
            warnings += self._livekit.warnings
        if self._agents is not None:
            warnings += self._agents.warnings
        warnings += self.recordings.warnings
        if self.admission.draining:
            return HealthReport(state="draining", reasons=("the gateway is shutting down",), figures=figures)
        if not self.dispatcher.workers:
            state: HealthState = "failing" if self._ready.is_set() else "starting"
            return HealthReport(state=state, reasons=("no call worker is ready",), warnings=warnings, figures=figures)
        return HealthReport(state="ready", warnings=warnings, figures=figures)

    def _api_deps(self) -> ApiDeps:
        return ApiDeps(
            calls=self.store,
            health=self.health,
            metrics=self.metrics,
            recordings=self.settings.recordings,
            api_keys=[key.read() for key in self.settings.http.api_keys],
            store_state=lambda: self.writer.state,
            room_tokens=self._room_tokens(),
            version=version("trunkline"),
        )

    def _agent_worker(self) -> HostedWorker | None:
        if self.settings.livekit is None or not self.settings.livekit.worker.in_gateway:
            return None
        from gateway.livekit_jobs.hosted import HostedWorker  # as above

        return HostedWorker(self.settings, self._record)

    def _room_tokens(self) -> RoomTokens | None:
        if self.settings.rooms != "livekit" or self.settings.livekit is None:
            return None
        from gateway.livekit.tokens import CallRoomTokens

        return CallRoomTokens(self.settings.livekit)

    def _workers_by_state(self) -> dict[str, int]:
        ready = len(self.dispatcher.workers)
        return {"ready": ready, "starting": len(self.supervisor.workers) - ready}

    # --- SupervisorEvents ----------------------------------------------------------------------------------------

    def worker_ready(self, name: str, sip_port: int, slots: int) -> None:
        self.edge.add_worker(name, "127.0.0.1", sip_port)
        self.dispatcher.add(name, sip_port, slots)
        if len(self.dispatcher.workers) >= self.supervisor.wanted:
            self._ready.set()

    def worker_lost(self, name: str, why: str = _PROCESS_ENDED) -> None:
        """Its phones get BYE from the edge, its calls a record, and nobody else notices."""
        self.metrics.worker_restarts.inc()
        self._told_last_words.pop(name, None)
        calls = self.dispatcher.remove(name)
        self.edge.end_worker_calls(name)
        self.edge.remove_worker(name)
        if calls:
            self._record(WorkerLost(call_ids=tuple(calls), at=datetime.now(UTC), reason=why))
            self._spawn(self._save_recordings(calls, why))
        self._check_idle()

    async def _save_recordings(self, calls: list[str], why: str = _PROCESS_ENDED) -> None:
        """What a lost worker had recorded is mended, so that it plays, and put on record."""
        for call_id in calls:
            name = self.admission.recordings.pop(call_id, None)
            if name is None:
                continue
            recording = await asyncio.to_thread(mended, self.settings.recordings, name, "the worker was lost")
            lost = CallClosed(
                call_id=call_id, outcome=Outcome.WORKER_LOST, ended_by=EndedBy.SYSTEM, ended_at=datetime.now(UTC),
                end_reason=why, recording=recording,
            )  # fmt: skip
            self._record(lost)

    def worker_record(self, name: str, body: Mapping[str, Any]) -> None:
        if body.get("message") == CALL_SUMMARY:
            if self._summaries is not None:
                self._summaries.words(body)
            return
        try:
            message = message_from_dict(body)
        except ValueError as error:
            log.error("record_message_refused", worker=name, error=str(error))
            return
        if isinstance(message, CallClosed) and message.call_id in self._closed_here:
            self._closed_here.discard(message.call_id)
            return
        self._record(message)
        if isinstance(message, CallClosed):
            status, reason = message.sip_status or 0, message.end_reason or "the call is over"
            asyncio.get_running_loop().call_later(EDGE_CLOSING_S, self.edge.close_call, message.call_id, status, reason)
            self.dispatcher.release(message.call_id)
            self.admission.recordings.pop(message.call_id, None)
            self._check_idle()

    def worker_heartbeat(self, name: str, calls: set[str], lingering: int = 0) -> None:
        self.dispatcher.linger(name, lingering)
        self._hand_over_last_words(name, calls)
        now = asyncio.get_running_loop().time()
        for call_id in self.dispatcher.orphans(name, calls, now, ORPHAN_GRACE_S):
            log.error("call_without_owner", call_id=call_id, worker=name)
            self.supervisor.send(name, EndCall(call_id, politely=False, reason="lost its owner"))
            self.edge.end_call(call_id)
            self.dispatcher.release(call_id)
            self.admission.recordings.pop(call_id, None)
            self._record(
                WorkerLost(call_ids=(call_id,), at=datetime.now(UTC), reason="the worker does not know the call")
            )
        self._check_idle()

    def _hand_over_last_words(self, name: str, calls: set[str]) -> None:
        """Should this process be killed, the worker ends its calls on the public side by itself."""
        told = self._told_last_words.setdefault(name, set())
        told &= calls
        for call_id in calls - told:
            if (word := self.edge.last_word(call_id)) is not None:
                ip, port, data = word
                self.supervisor.send(name, LastWord(call_id, ip, port, data.decode("latin-1")))
                told.add(call_id)

    # --- records -------------------------------------------------------------------------------------------------

    def _dialog_ended(self, ended: DialogEnded) -> None:
        """The worker's closing record follows at once, as a rule."""
        asyncio.get_running_loop().call_later(CLOSING_GRACE_S, self._see_closed, ended)

    def _see_closed(self, ended: DialogEnded) -> None:
        """PJSIP refuses some INVITEs by itself, and then no call comes of them."""
        worker = self.dispatcher.worker_of(ended.call_id)
        if worker is None:
            return
        status = ended.sip_status
        reason = f"refused by the worker's SIP stack: {status} {ended.reason}" if status else "its SIP dialog is over"
        self.supervisor.send(worker, EndCall(ended.call_id, politely=False, reason=reason, sip_status=status))

    def _caller_gone(self, gone: CallerGone) -> None:
        """The worker has not noticed, so it is told."""
        worker = self.dispatcher.worker_of(gone.call_id)
        if worker is not None:
            self.supervisor.send(worker, EndCall(gone.call_id, politely=False, reason=gone.reason, by_caller=True))

    def _digit(self, pressed: DigitPressed) -> None:
        worker = self.dispatcher.worker_of(pressed.call_id)
        if worker is not None:
            self.supervisor.send(worker, DigitByInfo(pressed.call_id, pressed.digit, pressed.duration_ms))

    def _refused(self, refused: RefusedInvite) -> None:
        info = self.admission.info(refused.info)
        cause = refused.cause_text or refused.rule
        now = datetime.now(UTC)
        if refused.call_id:  # it had been admitted: its record is open, and its slot taken
            worker = self.dispatcher.worker_of(refused.call_id)
            if worker is not None and self.supervisor.send(
                worker, EndCall(refused.call_id, politely=False, reason=cause, sip_status=refused.status)
            ):
                self._closed_here.add(refused.call_id)  # what the worker says of its end comes too late
            self.admission.recordings.pop(refused.call_id, None)
            self.dispatcher.release(refused.call_id)
            self._check_idle()
            closed = CallClosed(
                call_id=refused.call_id, outcome=Outcome.REFUSED, ended_by=EndedBy.SYSTEM, ended_at=now,
                sip_status=refused.status, end_reason=refused.reason, refused_by=cause,
            )  # fmt: skip
            self._record(closed)
            return
        self._record(
            refused_record(info, started_at=now, sip_status=refused.status, refused_by=cause, reason=refused.reason)
        )

    def _flood(self, flood: Flood) -> None:
        record = flood_record(flood, now=asyncio.get_running_loop().time(), wall=datetime.now(UTC))
        log.warning("calls_over_the_rate", source=flood.source, trunk=flood.trunk, attempts=flood.attempts)
        self._record(record)

    def _record(self, message: RecordMessage) -> None:
        self.writer.put(message)
        self.metrics.observe(message)
        for listener in self.listeners:
            try:
                listener(message)
            except Exception as error:  # noqa: BLE001 - a terminal that is gone must not cost a worker its channel
                log.error("listener_failed", error=repr(error))

    async def _end_what_was_left(self) -> None:
        """Calls of a gateway that died: each gets its end, and the recording that its worker left."""
        await recover(self.store, self._spill)
        left = await self.store.open_calls()
        await self.store.fail_open("gateway_lost")
        if left:
            adoption = Adoption(left, self.settings.recordings, self.writer.put)
            await adoption.adopt()
            self._spawn(adoption.run())

    async def _tighten_recordings(self) -> None:
        await asyncio.to_thread(tighten_recordings, self.settings.recordings)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _check_idle(self) -> None:
        if not self.dispatcher.busy:
            self._idle.set()
