"""The phones registered at our edge: kept over restarts, told of as events, and found by the rest of the gateway."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

import structlog

from gateway.config.phones import PhonesSettings
from gateway.events.kinds import EVENTS, EventData, EventType
from gateway.phones.registered import PhoneChanged, PhoneContact
from gateway.store.errors import StoreUnavailable
from gateway.store.phones import KeptBinding, PhoneStore
from telephony.edge import BindingChanged, PhoneStatus
from telephony.sip.bindings import Binding
from telephony.sip.uri import bracketed

__all__ = ["DeviceReport", "PhoneRegistry", "PhoneReport", "PhonesAtEdge"]

log = structlog.get_logger(__name__)

_RETRY_S = 1.0
_NOT_TOLD = "refreshed"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceReport:
    """One device of a phone, best first. `source`: where it is reached; `uri`: its Contact. `reachable` false: it does
    not answer, and is not called."""

    uri: str
    source: str
    agent: str
    q: float
    registered_at: datetime
    expires_at: datetime
    reachable: bool
    round_trip_ms: float | None  # of the last OPTIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneReport:
    """A phone of the settings. `reachable`: whether it can be called now."""

    name: str
    number: str | None
    reachable: bool
    devices: tuple[DeviceReport, ...]


class PhonesAtEdge(Protocol):
    """What we use of `telephony.edge.Edge.phones`."""

    @property
    def status(self) -> tuple[PhoneStatus, ...]: ...

    @property
    def bans(self) -> int: ...

    def reachable(self, name: str) -> tuple[Binding, ...]: ...

    def restore(self, bindings: Iterable[Binding]) -> None: ...


class PhoneRegistry:
    """Implements `RegisteredPhones`. `now`: the loop clock; `wall`: Unix seconds."""

    def __init__(
        self,
        settings: PhonesSettings | None,
        store: PhoneStore,
        tell: Callable[[EventData], None],
        *,
        now: Callable[[], float],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._store = store
        self._tell = tell
        self._now = now
        self._wall = wall
        self._watchers: list[Callable[[PhoneChanged], None]] = []
        self._edge: PhonesAtEdge | None = None
        self._dirty: set[str] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def connect(self, edge: PhonesAtEdge) -> None:
        """Once, before anything is asked."""
        self._edge = edge

    async def start(self) -> None:
        """The edge runs: what was registered is registered again. Raises StoreUnavailable."""
        if self._settings is None or self._edge is None:
            return
        kept = await self._store.kept(self._wall())
        ahead = self._now() - self._wall()
        self._edge.restore([_shifted(each.binding, ahead) for each in kept])
        self._task = asyncio.get_running_loop().create_task(self._keep())
        for user in self._settings.users:
            self._told(PhoneChanged(user.name, bool(self.bindings(user.name)), "start"))

    async def close(self) -> None:
        """Write what has changed, if the store lets us. Idempotent."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        try:
            await self._write()
        except StoreUnavailable as error:
            log.warning("phones_not_kept", error=str(error))

    # What is asked

    @property
    def used(self) -> bool:
        """Whether the settings have phones at all."""
        return self._settings is not None

    def knows(self, name: str) -> bool:
        return self._settings is not None and self._settings.named(name) is not None

    def contacts(self, name: str) -> tuple[PhoneContact, ...]:
        return tuple(
            PhoneContact(each.name, each.uri, _source(each), each.expires_at, each.agent)
            for each in self.bindings(name)
        )

    def bindings(self, name: str) -> tuple[Binding, ...]:
        """Where it is called, best first."""
        return () if self._edge is None or not self.knows(name) else self._edge.reachable(name.lower())

    def watch(self, told: Callable[[PhoneChanged], None]) -> None:
        self._watchers.append(told)

    def report(self) -> tuple[PhoneReport, ...]:
        if self._settings is None or self._edge is None:
            return ()
        found = self._edge.status
        return tuple(
            _report(user.name, user.number, [each for each in found if each.binding.name == user.name], self._at)
            for user in self._settings.users
        )

    @property
    def figures(self) -> tuple[int, int, int]:
        """Devices registered, those of them that answer, and bans of those who guessed passwords."""
        if self._settings is None or self._edge is None:
            return 0, 0, 0
        found = self._edge.status
        return len(found), sum(each.reachable for each in found), self._edge.bans

    def _at(self, loop_time: float) -> datetime:
        return datetime.fromtimestamp(self._wall() + loop_time - self._now(), UTC)

    # What happens

    def changed(self, event: BindingChanged) -> None:
        """The edge reports it."""
        name = event.binding.name
        self._dirty.add(name)
        self._wake.set()
        if event.why == _NOT_TOLD:
            return
        self._tell(_event(event))
        self._told(PhoneChanged(name, bool(self.bindings(name)), event.why))

    def _told(self, changed: PhoneChanged) -> None:
        for watcher in self._watchers:
            watcher(changed)

    async def _keep(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._write()
            except StoreUnavailable as error:
                log.warning("phones_not_kept", error=str(error))
                await asyncio.sleep(_RETRY_S)
                self._wake.set()

    async def _write(self) -> None:
        """Raises StoreUnavailable; what is to be written stays so."""
        if not self._dirty or self._edge is None:
            return
        names, self._dirty = self._dirty, set()
        behind = self._wall() - self._now()
        kept: dict[str, list[KeptBinding]] = {name: [] for name in names}
        for each in self._edge.status:
            if each.binding.name in kept and not each.binding.flow.connection:
                kept[each.binding.name].append(KeptBinding(_shifted(each.binding, behind)))
        try:
            await self._store.keep(kept)
        except BaseException:
            self._dirty |= names
            raise


def _shifted(binding: Binding, by_s: float) -> Binding:
    """On another clock."""
    return replace(binding, expires_at=binding.expires_at + by_s, registered_at=binding.registered_at + by_s)


def _source(binding: Binding) -> str:
    place = binding.flow.place
    return f"{place.transport}:{bracketed(place.ip)}:{place.port}"


def _event(event: BindingChanged) -> EventData:
    kind = {"no answer": EventType.PHONE_UNREACHABLE, "answers again": EventType.PHONE_REACHABLE}.get(
        event.why, EventType.PHONE_REGISTERED if event.reachable else EventType.PHONE_UNREGISTERED
    )
    device = {"phone": event.binding.name, "source": _source(event.binding), "detail": event.why}
    return EVENTS[kind].model_validate(device)


def _report(
    name: str, number: str | None, found: Iterable[PhoneStatus], at: Callable[[float], datetime]
) -> PhoneReport:
    devices = tuple(
        DeviceReport(
            uri=each.binding.uri,
            source=_source(each.binding),
            agent=each.binding.agent,
            q=each.binding.q,
            registered_at=at(each.binding.registered_at),
            expires_at=at(each.binding.expires_at),
            reachable=each.reachable,
            round_trip_ms=None if each.round_trip_ms is None else round(each.round_trip_ms, 1),
        )
        for each in sorted(found, key=lambda each: -each.binding.q)
    )
    return PhoneReport(name=name, number=number, reachable=any(device.reachable for device in devices), devices=devices)
