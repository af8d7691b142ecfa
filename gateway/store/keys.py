"""API keys in the store: their digests, never the keys."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from gateway.keys import ApiKey, Scope
from gateway.store.database import Database
from gateway.store.schema import api_keys
from gateway.store.values import fitting

__all__ = ["StoredKeys"]


class StoredKeys:
    """All may raise StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, key: ApiKey) -> None:
        row = {
            "key_id": key.key_id,
            "name": key.name,
            "scopes": " ".join(sorted(key.scopes)),
            "digest": key.digest,
            "created_at": key.created_at,
        }
        await self._database.write(lambda connection: connection.execute(insert(api_keys), fitting(api_keys, row)))

    async def all(self) -> tuple[ApiKey, ...]:
        """All keys, including revoked ones, in order of creation."""

        def read(connection: Connection) -> tuple[ApiKey, ...]:
            rows = connection.execute(select(api_keys).order_by(api_keys.c.created_at, api_keys.c.key_id))
            return tuple(_key(row) for row in rows)

        return await self._database.read(read)

    async def revoke(self, key_id: str, now: datetime) -> bool:
        """False if there is no such key, or it was revoked already."""

        def write(connection: Connection) -> bool:
            this = (api_keys.c.key_id == key_id, api_keys.c.revoked_at.is_(None))
            return connection.execute(update(api_keys).where(*this).values(revoked_at=now)).rowcount > 0

        return await self._database.write(write)


def _key(row: Row[Any]) -> ApiKey:
    known = {scope.value for scope in Scope}  # a newer version's scope permits nothing here
    return ApiKey(
        key_id=row.key_id,
        name=row.name,
        scopes=frozenset(Scope(each) for each in row.scopes.split() if each in known),
        digest=row.digest,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
    )
