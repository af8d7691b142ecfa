"""Webhooks that single calls were given, while the calls go on: a gateway that dies amid them tells of their end at its
next start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sqlalchemy import Connection, delete, insert, or_, select

from gateway.store.database import Database
from gateway.store.schema import call_webhooks

__all__ = ["CallHook", "FakeHooks", "HookStore", "StoredHooks"]

_FORGOTTEN_S = 3 * 86_400.0  # longer than any call, and a day


@dataclass(frozen=True, slots=True)
class CallHook:
    """`events`: patterns. `created`: Unix seconds."""

    call_id: str
    url: str
    created: float
    events: tuple[str, ...] = ("*",)
    secret: str = field(default="", repr=False)


class HookStore(Protocol):
    """All may raise StoreUnavailable."""

    async def keep(self, hooks: Sequence[CallHook]) -> None: ...

    async def forget(self, call_ids: Sequence[str]) -> None: ...

    async def kept(self, now: float) -> list[CallHook]:
        """Those of this gateway's calls. `now`: Unix seconds; what nobody has come back for in days is deleted."""


class StoredHooks:
    """Implements `HookStore` in the store."""

    def __init__(self, database: Database, gateway_id: str) -> None:
        self._database = database
        self._gateway_id = gateway_id or None

    async def keep(self, hooks: Sequence[CallHook]) -> None:
        rows = [
            {
                "call_id": each.call_id,
                "gateway_id": self._gateway_id,
                "url": each.url,
                "events": " ".join(each.events),
                "secret": each.secret,
                "created": each.created,
            }
            for each in {hook.call_id: hook for hook in hooks}.values()
        ]

        def write(connection: Connection) -> None:
            ids = [row["call_id"] for row in rows]
            connection.execute(delete(call_webhooks).where(call_webhooks.c.call_id.in_(ids)))
            connection.execute(insert(call_webhooks), rows)

        if rows:
            await self._database.write(write)

    async def forget(self, call_ids: Sequence[str]) -> None:
        these = delete(call_webhooks).where(call_webhooks.c.call_id.in_(list(call_ids)))
        if call_ids:
            await self._database.write(lambda connection: connection.execute(these))

    async def kept(self, now: float) -> list[CallHook]:
        column = call_webhooks.c.gateway_id
        mine = column.is_(None) if self._gateway_id is None else or_(column.is_(None), column == self._gateway_id)

        def work(connection: Connection) -> list[CallHook]:
            connection.execute(delete(call_webhooks).where(call_webhooks.c.created < now - _FORGOTTEN_S))
            return [
                CallHook(row.call_id, row.url, row.created, tuple(row.events.split()), row.secret)
                for row in connection.execute(select(call_webhooks).where(mine))
            ]

        return await self._database.write(work)


class FakeHooks:
    """In memory. `fail_next`: errors to raise first, one per call."""

    def __init__(self) -> None:
        self.rows: dict[str, CallHook] = {}
        self.fail_next: list[Exception] = []

    def _fail(self) -> None:
        if self.fail_next:
            raise self.fail_next.pop(0)

    async def keep(self, hooks: Sequence[CallHook]) -> None:
        self._fail()
        self.rows |= {hook.call_id: hook for hook in hooks}

    async def forget(self, call_ids: Sequence[str]) -> None:
        self._fail()
        for call_id in call_ids:
            self.rows.pop(call_id, None)

    async def kept(self, now: float) -> list[CallHook]:
        self._fail()
        return list(self.rows.values())
