"""Stored answers for `Idempotency-Key`, so that a repeated request is carried out once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import Connection, delete, select, update

from gateway.store.database import Database
from gateway.store.schema import idempotency
from gateway.store.upsert import insert_into

__all__ = ["KEPT", "Attempt", "Attempts", "FakeAttempts", "StoredAttempts"]

KEPT = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A request with its sender's key. `owner`: the sender (an API key's ID). `fingerprint`: of the request.
    `reference`: what it is about to create (a call's ID), so it can be found even if no answer was sent. `status` None:
    it has not been answered."""

    owner: str
    key: str
    fingerprint: str
    reference: str
    created_at: datetime
    status: int | None = None
    location: str = ""
    body: str = ""


class Attempts(Protocol):
    """All may raise StoreUnavailable."""

    async def begin(self, attempt: Attempt) -> Attempt | None:
        """None if it is the first with its key within 24 h; otherwise returns the first."""

    async def answered(self, attempt: Attempt) -> None:
        """Keep its `status`, `location` and `body`."""

    async def forget(self, attempt: Attempt) -> None:
        """It failed without effect, and may be tried again with the same key."""


class StoredAttempts:
    """Implements `Attempts` in the store. Gateways that share it share the keys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, attempt: Attempt) -> Attempt | None:
        row = {
            "owner": attempt.owner,
            "key": attempt.key,
            "fingerprint": attempt.fingerprint,
            "reference": attempt.reference,
            "created_at": attempt.created_at,
            "location": "",
            "body": "",
        }

        def write(connection: Connection) -> Attempt | None:
            connection.execute(delete(idempotency).where(idempotency.c.created_at < attempt.created_at - KEPT))
            # Two at once: the database accepts one of them, and the other finds it.
            new = insert_into(connection, idempotency).values(row).on_conflict_do_nothing()
            if connection.execute(new.execution_options(preserve_rowcount=True)).rowcount:
                return None
            return _found(connection, attempt)

        return await self._database.write(write)

    async def answered(self, attempt: Attempt) -> None:
        answer = {"status": attempt.status, "location": attempt.location, "body": attempt.body}
        this = (idempotency.c.owner == attempt.owner, idempotency.c.key == attempt.key)
        statement = update(idempotency).where(*this).values(answer)
        await self._database.write(lambda connection: connection.execute(statement))

    async def forget(self, attempt: Attempt) -> None:
        this = (idempotency.c.owner == attempt.owner, idempotency.c.key == attempt.key)
        unanswered = (*this, idempotency.c.status.is_(None))
        await self._database.write(lambda connection: connection.execute(delete(idempotency).where(*unanswered)))


def _found(connection: Connection, attempt: Attempt) -> Attempt | None:
    this = (idempotency.c.owner == attempt.owner, idempotency.c.key == attempt.key)
    row = connection.execute(select(idempotency).where(*this)).mappings().first()
    return None if row is None else Attempt(**row)


class FakeAttempts:
    """Attempts in memory."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Attempt] = {}

    async def begin(self, attempt: Attempt) -> Attempt | None:
        self.kept = {at: each for at, each in self.kept.items() if each.created_at >= attempt.created_at - KEPT}
        place = attempt.owner, attempt.key
        if place in self.kept:
            return self.kept[place]
        self.kept[place] = attempt
        return None

    async def answered(self, attempt: Attempt) -> None:
        self.kept[attempt.owner, attempt.key] = attempt

    async def forget(self, attempt: Attempt) -> None:
        self.kept.pop((attempt.owner, attempt.key), None)
