"""Creates and connects the parts of a gateway; `gateway.app` starts, drains and stops them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

import structlog

from gateway.admission import Admission
from gateway.after_call import AfterCalls
from gateway.api import ApiDeps, ApiServer, HealthReport
from gateway.api.keyring import KeyRate
from gateway.calls.dialling import DIAL, MOVE_LEG, REFER, REFER_REPORT, DialOrder
from gateway.calls.key_by_info import KEY_BY_INFO
from gateway.calls.queue_terms import QUEUE
from gateway.campaigns.making import make_campaigns
from gateway.campaigns.service import CampaignService
from gateway.config import Settings
from gateway.dialling import LegDialling
from gateway.dialplan import Dialplan
from gateway.dispatch import Dispatcher
from gateway.drain import CallsEnding
from gateway.edge_settings import edge_settings
from gateway.events.asking import HttpAsker
from gateway.events.endpoints import Endpoints
from gateway.events.hub import EventHub
from gateway.events.kinds import EVENTS, EventType
from gateway.events.posting import Poster
from gateway.events.webhooks import Webhooks
from gateway.health import health_report
from gateway.key_infos import KeyInfos
from gateway.live_calls import LiveCalls
from gateway.metrics import Metrics
from gateway.outbound.carriers import carriers_of
from gateway.outbound.originating import Origination
from gateway.outbound.trunks import OutboundTrunks
from gateway.phones.calling import PhoneCalls
from gateway.phones.registry import PhoneRegistry
from gateway.phones.supervision import SupervisionByPhone
from gateway.private_files import tighten
from gateway.queues.desk import QueueDesk
from gateway.queues.making import make_queues
from gateway.queues.service import QueueService
from gateway.reconciler import Reconciler
from gateway.record_flow import Listener, RecordFlow
from gateway.recordings_folder import RecordingsFolder
from gateway.steering import CallSteering
from gateway.store import CallStore, RecordWriter, Spill, StoreLock, StoreUnavailable, open_store
from gateway.summaries import CallSummaries
from gateway.supervisor import Supervisor
from gateway.transfers.between_calls import LegMoves
from gateway.transfers.by_phones import PhoneTransfers
from gateway.transfers.checking import TargetsOfTrunks
from gateway.transfers.referrals import Referrals
from gateway.trunk_keys import TrunkKeys
from gateway.trunk_report import TrunkReport, trunk_reports
from gateway.warm_parent import WarmWorkers
from telephony.edge import DialAttempted, Edge, TrunkChanged

if TYPE_CHECKING:
    from gateway.api.room_tokens import RoomTokens
    from gateway.livekit.server_watch import LiveKitWatch
    from gateway.livekit_jobs.hosted import HostedWorker

__all__ = ["Parts", "hosted_worker", "make_api", "make_parts", "tell_of_trunk"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything a running gateway consists of. Parts not configured are None."""

    lock: StoreLock
    store: CallStore
    spill: Spill
    writer: RecordWriter
    live: LiveCalls
    dispatcher: Dispatcher
    metrics: Metrics
    recordings: RecordingsFolder
    records: RecordFlow
    calls: Reconciler
    supervisor: Supervisor
    admission: Admission
    edge: Edge
    ending: CallsEnding
    originator: Origination
    trunks: OutboundTrunks
    trunk_keys: TrunkKeys
    phones: PhoneRegistry
    steering: CallSteering
    campaigns: CampaignService
    queues: QueueService
    desk: QueueDesk
    asker: HttpAsker
    summaries: CallSummaries | None
    events: EventHub
    webhooks: Webhooks
    livekit: LiveKitWatch | None
    agents: HostedWorker | None

    def health(self) -> HealthReport:
        warnings: list[str] = []
        for part in (self.livekit, self.agents, self.recordings, self.webhooks):
            warnings += part.warnings if part is not None else ()
        return health_report(
            self.dispatcher,
            self.writer.state,
            wanted=self.supervisor.wanted,
            was_ready=self.calls.ready.is_set(),
            draining=self.admission.draining,
            warnings=warnings,
        )


def hosted_worker(settings: Settings) -> HostedWorker | None:
    """The agent worker that runs in the gateway. Raises SecretMissing."""
    if settings.livekit is None or not settings.livekit.worker.in_gateway:
        return None
    from gateway.livekit_jobs.hosted import HostedWorker  # a local gateway never loads it

    return HostedWorker(settings)


async def make_parts(
    settings: Settings, dialplan: Dialplan, listeners: list[Listener], agents: HostedWorker | None
) -> Parts:
    """Opens the store; nothing runs yet. Raises StoreError, SecretMissing."""
    now = asyncio.get_running_loop().time
    lock, store = await _own_store(settings)
    spill = Spill(settings.store_path)
    writer = RecordWriter(store, spill=spill)
    recordings = RecordingsFolder(settings.recordings)
    live = LiveCalls()
    metrics = Metrics(live)
    after_calls = AfterCalls(settings, dialplan)
    webhooks = _webhooks(settings, after_calls, store)
    summaries = _summaries(settings, after_calls, store, webhooks)
    events = EventHub(deliver=webhooks.deliver)
    trunk_keys = TrunkKeys(settings.sip.trunks)
    await _remember_keys(trunk_keys, store)
    watchers = (metrics.observe, events.observe, trunk_keys.observe)
    records = RecordFlow(writer.put, live, watchers=watchers, listeners=listeners)
    # LiveKit's SDK costs a call worker 10 MiB and 1 % of a core, however few calls it has.
    dispatcher = Dispatcher(live, fill=settings.rooms == "livekit")
    calls = Reconciler(
        live, dispatcher, records.put, settings.recordings, restarted=metrics.worker_restarts.inc,
        summary_words=summaries.words if summaries is not None else lambda _: None,
    )  # fmt: skip
    supervisor = Supervisor(settings, calls, agents.call_workers if agents is not None else WarmWorkers.start)
    asker = HttpAsker()
    admission = Admission(
        settings, dialplan, dispatcher, live, prepare=supervisor.send, opened=records.put, now=now, asker=asker,
        after_calls=after_calls, key_terms=trunk_keys.terms,
    )  # fmt: skip
    trunks = OutboundTrunks(settings, live, dispatcher, records.put, now=now)
    keys = KeyInfos(live)
    registry = PhoneRegistry(settings.sip.phones, store.phones, events.tell, now=now)
    dialling = LegDialling(
        trunks, live, dispatcher, records.put, draining=lambda: admission.draining, key_terms=trunk_keys.terms,
        phones=PhoneCalls(settings.sip, registry.bindings),
    )  # fmt: skip
    moves = LegMoves(live, records.put)
    phones = PhoneTransfers(settings.sip, live, dialling.check, supervisor.ask, records.put, moves)
    edge = _make_edge(settings, admission, calls, events, trunks, keys, phones, moves, registry)
    keys.connect(edge)
    phones.connect(edge)
    moves.connect(edge)
    registry.connect(edge.phones)
    calls.connect(edge, supervisor, admission.info)

    _serve_workers(settings, supervisor, dialling, live, edge)
    supervisor.serve(KEY_BY_INFO, keys.send)
    supervisor.serve(REFER_REPORT, phones.reported)
    supervisor.serve(MOVE_LEG, moves.asked)
    originator = Origination(
        settings, dialplan, live, dispatcher, dialling, records.put, supervisor.ask, draining=lambda: admission.draining
    )
    queues = make_queues(
        settings, dialplan, store, live, supervisor.ask, records.put, places=originator, phones=registry,
        may_call=lambda number: dialling.check(DialOrder("", "", number)),
    )  # fmt: skip
    supervisor.serve(QUEUE, queues.asked)
    listeners.append(queues.observe)
    targets = TargetsOfTrunks(settings.sip.trunks, dialling.check, carriers_of(settings), queues.queue)
    steering = CallSteering(live, supervisor.ask, targets, agents.steering.ask if agents else None)
    campaigns = make_campaigns(settings, dialplan, store, originator, dispatcher, trunks, steering, queues)
    listeners.append(campaigns.observe)
    ending = CallsEnding(live, supervisor.broadcast)
    livekit = _livekit_watch(settings, now)
    listeners += [each.observe for each in (recordings, livekit, summaries, ending) if each is not None]
    admission.connect(edge.decide, SupervisionByPhone(settings.sip.phones, live, steering.listen).asked)
    parts = Parts(
        lock=lock, store=store, spill=spill, writer=writer, live=live, dispatcher=dispatcher, metrics=metrics,
        recordings=recordings, records=records, calls=calls, supervisor=supervisor, admission=admission, edge=edge,
        ending=ending, originator=originator, trunks=trunks, trunk_keys=trunk_keys, phones=registry, asker=asker,
        steering=steering, queues=queues, desk=QueueDesk(queues, dialplan.timezone or UTC), campaigns=campaigns,
        summaries=summaries, events=events, webhooks=webhooks, livekit=livekit, agents=agents,
    )  # fmt: skip
    _fill_snapshots(parts)
    return parts


def _serve_workers(
    settings: Settings, supervisor: Supervisor, dialling: LegDialling, live: LiveCalls, edge: Edge
) -> None:
    """What call workers may ask for."""
    dialling.connect(edge, supervisor.ask, settings.public_address)
    supervisor.serve(DIAL, dialling.dial)
    supervisor.serve(REFER, Referrals(settings.sip.trunks, live, edge, carriers_of(settings)).refer)


async def _remember_keys(trunk_keys: TrunkKeys, store: CallStore) -> None:
    try:
        trunk_keys.remember(await store.latest_keys())
    except StoreUnavailable as error:  # a damaged row; the trunks' ways are learnt anew
        log.warning("trunk_keys_not_remembered", error=str(error))


async def _own_store(settings: Settings) -> tuple[StoreLock, CallStore]:
    lock = StoreLock.take(settings.store_path) if settings.store.sqlite else StoreLock.beside(settings.store_path)
    tighten(settings.store_path, settings.recordings)
    return lock, await open_store(settings, owner=True, migrate_apart=True)


def _summaries(
    settings: Settings, after_calls: AfterCalls, store: CallStore, webhooks: Webhooks
) -> CallSummaries | None:
    if not after_calls.all:
        return None
    return CallSummaries(after_calls.of, store.get_call, webhooks.put, words_come=settings.rooms == "local")


def make_api(parts: Parts, settings: Settings) -> ApiServer:
    """Raises ExposureError, SecretMissing."""
    deps = ApiDeps(
        calls=parts.store,
        health=parts.health,
        metrics=parts.metrics,
        recordings=settings.recordings,
        api_keys=[key.read() for key in settings.http.api_keys],
        keys=parts.store.keys,
        key_rate=KeyRate(settings.http.key_requests_per_second, settings.http.key_burst),
        require_key=settings.http.require_key,
        store_state=lambda: parts.writer.state,
        room_tokens=_room_tokens(settings),
        events=parts.events.stream,
        webhooks=parts.webhooks,
        attempts=parts.store.attempts,
        originator=parts.originator,
        steering=parts.steering,
        campaigns=parts.campaigns,
        trunks=partial(_trunk_reports, parts.edge, parts.trunks, parts.trunk_keys),
        queues=parts.desk,
        phones=parts.phones.report,
        version=version("trunkline"),
    )
    listen = settings.http.listen
    return ApiServer(deps, host=listen.host, port=listen.port)


def tell_of_trunk(events: EventHub, changed: TrunkChanged) -> None:
    place = changed.place
    host = None if place is None else f"{place.transport}:{place.ip}:{place.port}"
    kind = EVENTS[EventType(f"trunk.{changed.what}")]
    events.tell(kind.model_validate({"trunk": changed.trunk, "detail": changed.text, "host": host}))


def _make_edge(
    settings: Settings,
    admission: Admission,
    calls: Reconciler,
    events: EventHub,
    trunks: OutboundTrunks,
    keys: KeyInfos,
    phones: PhoneTransfers,
    moves: LegMoves,
    registry: PhoneRegistry,
) -> Edge:
    def attempted(attempt: DialAttempted) -> None:
        trunks.attempted(attempt)
        calls.attempted(attempt)

    return Edge(
        edge_settings(settings), admission,
        on_refused=calls.refused, on_dialog_ended=calls.dialog_ended, on_flood=calls.flood,
        on_caller_gone=calls.caller_gone, on_digit=calls.digit, on_attempt=attempted, on_refer=calls.referred,
        on_key=keys.answered, on_peer_refers=phones.begin, refer_refused=phones.refused,
        on_replaced=phones.replaced, replace_refused=phones.replace_refused, on_moved=moves.ended,
        on_trunk=partial(tell_of_trunk, events), may_dial_over=trunks.may_dial_over,
        may_redirect=trunks.may_redirect, on_phone=registry.changed,
    )  # fmt: skip


def _trunk_reports(edge: Edge, trunks: OutboundTrunks, keys: TrunkKeys) -> tuple[TrunkReport, ...]:
    loop_now, dialogs, states = asyncio.get_running_loop().time(), edge.dialogs, trunks.states()
    expiries = {each.trunk: each.expires_at for each in edge.certificates}
    statuses = [each for each in edge.trunks if each.name in states]  # without the phones'
    return trunk_reports(
        statuses, (dialog.trunk for dialog in dialogs), states, loop_now, datetime.now(UTC), expiries, keys.states,
    )  # fmt: skip


def _fill_snapshots(parts: Parts) -> None:
    snapshots = parts.metrics.snapshots

    def workers() -> dict[str, int]:
        ready = len(parts.dispatcher.workers)
        return {"ready": ready, "starting": len(parts.supervisor.workers) - ready}

    snapshots.workers = workers
    if parts.phones.used:
        snapshots.phones = lambda: parts.phones.figures
    snapshots.trunks = parts.trunks.states
    snapshots.trunk_keys = lambda: parts.trunk_keys.states
    snapshots.slots_free = lambda: parts.dispatcher.free
    snapshots.edge = lambda: {name.replace(".", "_"): n for name, n in parts.edge.counters.snapshot().items()}
    snapshots.certificates = lambda: [
        (each.file, each.trunk, (each.expires_at - datetime.now(UTC)).total_seconds())
        for each in parts.edge.certificates
    ]
    snapshots.queues = lambda: parts.desk.seen
    snapshots.webhooks = lambda: parts.webhooks.counts
    snapshots.store = lambda: parts.writer.state
    snapshots.recordings = lambda: (not parts.recordings.trouble, parts.recordings.failed)


def _webhooks(settings: Settings, after_calls: AfterCalls, store: CallStore) -> Webhooks:
    """Raises SecretMissing."""
    told = tuple(each.as_webhook() for each in after_calls.all)
    endpoints = Endpoints(settings.webhooks + told, settings.call_webhooks)
    return Webhooks(endpoints, store.deliveries, store.call_hooks, Poster())


def _livekit_watch(settings: Settings, now: Callable[[], float]) -> LiveKitWatch | None:
    if settings.rooms != "livekit" or settings.livekit is None:
        return None
    from gateway.livekit.server_watch import LiveKitWatch  # as above

    return LiveKitWatch(settings.livekit, now)


def _room_tokens(settings: Settings) -> RoomTokens | None:
    if settings.rooms != "livekit" or settings.livekit is None:
        return None
    from gateway.livekit.tokens import CallRoomTokens

    return CallRoomTokens(settings.livekit)
