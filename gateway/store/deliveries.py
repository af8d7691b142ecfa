"""Pending deliveries to webhooks. They are in the store so that a restart loses none.

A delivery is claimed by postponing it (a lease): if the gateway dies, the next one to look finds it, and two gateways
on one database never post the same one at once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from gateway.store.database import Database
from gateway.store.schema import deliveries

__all__ = ["Delivery", "DeliveryQueue", "FakeDeliveries", "Retry", "StoredDeliveries"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one endpoint. Times are Unix seconds. `url` and `secret`: of a call's own webhook; empty: those
    that the settings have for the endpoint."""

    event_id: str
    endpoint: str  # of the settings: its URL
    type: str
    body: str  # JSON
    created: float
    attempts: int = 0
    number: int = 0  # the queue's own name for it
    url: str = ""
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Retry:
    """A failed delivery: when it is due again. `due` None: give up and drop it."""

    delivery: Delivery
    due: float | None
    error: str


class DeliveryQueue(Protocol):
    """All may raise StoreUnavailable."""

    async def add(self, new: Sequence[Delivery]) -> None:
        """Add deliveries, due when they were created. They replace existing ones (same event and endpoint)."""

    async def claim(self, shares: Mapping[str, int], now: float, lease_s: float) -> list[Delivery]:
        """Due deliveries, oldest first, with a limit per endpoint; nobody else gets them for `lease_s`."""

    async def settle(self, delivered: Sequence[Delivery], failed: Sequence[Retry]) -> None: ...

    async def next_due(self, endpoints: Sequence[str]) -> float | None:
        """When the next one of these endpoints is due; None: nothing waits for them."""

    async def waiting(self) -> Mapping[str, int]:
        """Waiting deliveries by endpoint, including endpoints no longer in the settings."""


class StoredDeliveries:
    """Implements `DeliveryQueue` in the store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, new: Sequence[Delivery]) -> None:
        rows = [
            {
                "event_id": each.event_id,
                "endpoint": each.endpoint,
                "type": each.type,
                "body": each.body,
                "created": each.created,
                "attempts": 0,
                "due": each.created,
                "error": "",
                "url": each.url or None,
                "secret": each.secret or None,
            }
            for each in {(each.event_id, each.endpoint): each for each in new}.values()
        ]

        def write(connection: Connection) -> None:
            new_keys = {(row["event_id"], row["endpoint"]) for row in rows}
            same_events = select(deliveries.c.id, deliveries.c.event_id, deliveries.c.endpoint).where(
                deliveries.c.event_id.in_([event_id for event_id, _ in new_keys])
            )
            replaced = [row.id for row in connection.execute(same_events) if (row.event_id, row.endpoint) in new_keys]
            if replaced:
                connection.execute(delete(deliveries).where(deliveries.c.id.in_(replaced)))
            connection.execute(insert(deliveries), rows)

        if rows:
            await self._database.write(write)

    async def claim(self, shares: Mapping[str, int], now: float, lease_s: float) -> list[Delivery]:
        def write(connection: Connection) -> list[Delivery]:
            found: list[Delivery] = []
            for endpoint, most in shares.items():
                due = (  # SQLite, whose writers are serialised, has no row locks
                    select(deliveries)
                    .where(deliveries.c.endpoint == endpoint, deliveries.c.due <= now)
                    .order_by(deliveries.c.due, deliveries.c.id)
                    .limit(max(0, most))
                    .with_for_update(skip_locked=True)
                )
                found += [_delivery(row) for row in connection.execute(due)]
            if found:
                numbers = [each.number for each in found]
                connection.execute(update(deliveries).where(deliveries.c.id.in_(numbers)).values(due=now + lease_s))
            return found

        return await self._database.write(write) if any(most > 0 for most in shares.values()) else []

    async def settle(self, delivered: Sequence[Delivery], failed: Sequence[Retry]) -> None:
        done = [each.number for each in delivered] + [each.delivery.number for each in failed if each.due is None]
        again = [
            {"number": each.delivery.number, "tried": each.delivery.attempts + 1, "at": each.due, "why": each.error}
            for each in failed
            if each.due is not None
        ]

        def write(connection: Connection) -> None:
            if done:
                connection.execute(delete(deliveries).where(deliveries.c.id.in_(done)))
            if again:
                row = update(deliveries).where(deliveries.c.id == bindparam("number"))
                row = row.values(attempts=bindparam("tried"), due=bindparam("at"), error=bindparam("why"))
                connection.execute(row, again)

        if done or again:
            await self._database.write(write)

    async def next_due(self, endpoints: Sequence[str]) -> float | None:
        soonest = select(func.min(deliveries.c.due)).where(deliveries.c.endpoint.in_(list(endpoints)))
        return await self._database.read(lambda connection: connection.execute(soonest).scalar())

    async def waiting(self) -> Mapping[str, int]:
        count = select(deliveries.c.endpoint, func.count().label("number")).group_by(deliveries.c.endpoint)

        def read(connection: Connection) -> Mapping[str, int]:
            return {row.endpoint: row.number for row in connection.execute(count)}

        return await self._database.read(read)


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(
        row.event_id, row.endpoint, row.type, row.body, row.created, row.attempts, row.id, row.url or "",
        row.secret or "",
    )  # fmt: skip


class FakeDeliveries:
    """A queue in memory. `fail_next`: errors to raise first, one per call."""

    def __init__(self) -> None:
        self.rows: OrderedDict[int, tuple[Delivery, float]] = OrderedDict()  # with when they are due
        self.given_up: list[Delivery] = []
        self.fail_next: list[Exception] = []

    def _fail(self) -> None:
        if self.fail_next:
            raise self.fail_next.pop(0)

    async def add(self, new: Sequence[Delivery]) -> None:
        self._fail()
        numbers = {(each.event_id, each.endpoint): number for number, (each, _) in self.rows.items()}
        for each in new:
            self.rows.pop(numbers.get((each.event_id, each.endpoint), 0), None)
            number = max(self.rows, default=0) + 1
            self.rows[number] = replace(each, number=number), each.created

    async def claim(self, shares: Mapping[str, int], now: float, lease_s: float) -> list[Delivery]:
        self._fail()
        found: list[Delivery] = []
        for endpoint, most in shares.items():
            due = sorted((at, n) for n, (each, at) in self.rows.items() if each.endpoint == endpoint and at <= now)
            found += [self.rows[n][0] for _, n in due[: max(0, most)]]
        for each in found:
            self.rows[each.number] = each, now + lease_s
        return found

    async def settle(self, delivered: Sequence[Delivery], failed: Sequence[Retry]) -> None:
        self._fail()
        for each in delivered:
            self.rows.pop(each.number, None)
        for retry in failed:
            if retry.due is None:
                self.given_up.append(retry.delivery)
                self.rows.pop(retry.delivery.number, None)
            else:
                tried = replace(retry.delivery, attempts=retry.delivery.attempts + 1)
                self.rows[tried.number] = tried, retry.due

    async def next_due(self, endpoints: Sequence[str]) -> float | None:
        self._fail()
        return min((at for each, at in self.rows.values() if each.endpoint in endpoints), default=None)

    async def waiting(self) -> Mapping[str, int]:
        counts: dict[str, int] = {}
        for each, _ in self.rows.values():
            counts[each.endpoint] = counts.get(each.endpoint, 0) + 1
        return counts
