"""What the API needs from the gateway, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from aiohttp import web

from gateway.api.keyring import KeyRate, KeyReader, KeyRing
from gateway.events.endpoints import EndpointState
from gateway.events.following import FakeFollower, Follower
from gateway.metrics import Metrics
from gateway.outbound.originating import FakeOriginator, Originator
from gateway.phones.registry import PhoneReport
from gateway.queues.desk import FakeQueueDesk, Queues
from gateway.record import CallDetail, CallRecord
from gateway.steering import FakeSteering, Steering
from gateway.store import CallFilters, CallPage, WriterState
from gateway.store.idempotency import Attempts, FakeAttempts
from gateway.trunk_report import TrunkReport

if TYPE_CHECKING:
    from gateway.api.room_tokens import RoomTokens
    from gateway.campaigns.service import CampaignService
    from gateway.events.stream import EventStream

__all__ = ["DEPS", "KEYS", "ApiDeps", "CallReader", "FakeCalls", "FakeWebhooks", "HealthReport", "HealthState"]

HealthState = Literal["starting", "ready", "draining", "failing"]


class CallReader(Protocol):
    """The reading half of `CallStore`. All methods may raise StoreUnavailable."""

    async def list_calls(
        self, filters: CallFilters | None = None, limit: int = 50, cursor: str | None = None
    ) -> CallPage: ...

    async def get_record(self, call_id: str) -> CallRecord | None: ...

    async def get_call(self, call_id: str) -> CallDetail | None: ...


class FakeCalls:
    """Calls in memory. Supports only the `live` filter and a single page. `error` is raised if set."""

    def __init__(self, *calls: CallDetail) -> None:
        self.calls = list(calls)
        self.asked: list[tuple[CallFilters | None, int, str | None]] = []
        self.error: Exception | None = None

    async def list_calls(
        self, filters: CallFilters | None = None, limit: int = 50, cursor: str | None = None
    ) -> CallPage:
        self.asked.append((filters, limit, cursor))
        if self.error:
            raise self.error
        live_only = filters is not None and filters.live
        return CallPage(tuple(call for call in self.calls if not live_only or call.outcome is None)[:limit], None)

    async def get_record(self, call_id: str) -> CallRecord | None:
        return await self.get_call(call_id)

    async def get_call(self, call_id: str) -> CallDetail | None:
        if self.error:
            raise self.error
        return next((call for call in self.calls if call.call_id == call_id), None)


class WebhookStates(Follower, Protocol):
    """Implemented by `gateway.events.webhooks.Webhooks`."""

    async def states(self) -> tuple[EndpointState, ...]:
        """Raises StoreUnavailable."""


class FakeWebhooks(FakeFollower):
    async def states(self) -> tuple[EndpointState, ...]:
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthReport:
    """Whether calls can be taken. `reasons`: why not, each a sentence. `warnings`: problems that don't prevent calls;
    they set `degraded`."""

    state: HealthState
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    figures: Mapping[str, int] = field(default_factory=dict)  # calls_active, slots_free, workers_ready, …
    degraded: bool = False

    @property
    def ready(self) -> bool:
        return self.state == "ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiDeps:
    """`api_keys`: any of them opens /v1 (and /metrics if `protect_metrics`); none: anyone on this machine may use it.

    `keys`: those of `trunkline keys`, each with its scopes; `require_key`: also where there is none at all.
    `health` and `store_state` return at once. `recordings`: the only directory to serve recordings from.
    `room_tokens`: None with local rooms.
    """

    calls: CallReader
    health: Callable[[], HealthReport]
    metrics: Metrics
    recordings: Path
    api_keys: Sequence[str] = ()
    keys: KeyReader | None = None
    key_rate: KeyRate = field(default_factory=KeyRate)
    require_key: bool = False
    protect_metrics: bool = False
    store_state: Callable[[], WriterState] | None = None
    room_tokens: RoomTokens | None = None
    events: EventStream | None = None
    webhooks: WebhookStates = field(default_factory=FakeWebhooks)
    attempts: Attempts = field(default_factory=FakeAttempts)
    originator: Originator = field(default_factory=FakeOriginator)
    steering: Steering = field(default_factory=FakeSteering)
    trunks: Callable[[], tuple[TrunkReport, ...]] = tuple
    queues: Queues = field(default_factory=FakeQueueDesk)
    phones: Callable[[], tuple[PhoneReport, ...]] = tuple
    campaigns: CampaignService | None = None
    version: str = ""


DEPS = web.AppKey("deps", ApiDeps)
KEYS = web.AppKey("keys", KeyRing)
