"""Phones that are registered with this gateway, kept over its restart."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from sqlalchemy import Connection, delete, insert, select

from gateway.store.database import Database
from gateway.store.schema import phone_bindings
from telephony.sip.bindings import Binding, Flow
from telephony.sip.resolving import Place

__all__ = ["FakePhoneStore", "KeptBinding", "PhoneStore", "StoredPhones"]


@dataclass(frozen=True, slots=True)
class KeptBinding:
    """The times of `binding` are Unix seconds."""

    binding: Binding

    @property
    def name(self) -> str:
        return self.binding.name


class PhoneStore(Protocol):
    """Both may raise StoreUnavailable."""

    async def keep(self, bindings: Mapping[str, Sequence[KeptBinding]]) -> None:
        """All bindings of these phones, by name: what was kept of them before is forgotten."""

    async def kept(self, now: float) -> list[KeptBinding]:
        """Those that have not expired. `now`: Unix seconds."""


class StoredPhones:
    """Implements `PhoneStore`. A gateway keeps its own: a phone behind a NAT is reached only from where it has
    registered."""

    def __init__(self, database: Database, gateway_id: str) -> None:
        self._database = database
        self._gateway = gateway_id

    async def keep(self, bindings: Mapping[str, Sequence[KeptBinding]]) -> None:
        rows = [_row(self._gateway, each.binding) for kept in bindings.values() for each in kept]
        table = phone_bindings.c

        def write(connection: Connection) -> None:
            these = (table.gateway == self._gateway) & table.name.in_(list(bindings))
            connection.execute(delete(phone_bindings).where(these))
            if rows:
                connection.execute(insert(phone_bindings), rows)

        if bindings:
            await self._database.write(write)

    async def kept(self, now: float) -> list[KeptBinding]:
        table = phone_bindings.c

        def read(connection: Connection) -> list[KeptBinding]:
            mine = table.gateway == self._gateway
            connection.execute(delete(phone_bindings).where(mine & (table.expires_at <= now)))
            return [_read(row.binding) for row in connection.execute(select(table.binding).where(mine))]

        return await self._database.write(read)


def _row(gateway: str, binding: Binding) -> dict[str, Any]:
    return {
        "gateway": gateway,
        "name": binding.name,
        "uri": binding.uri,
        "expires_at": binding.expires_at,
        "binding": json.dumps(asdict(binding)),
    }


def _read(text: str) -> KeptBinding:
    fields = json.loads(text)
    flow = fields.pop("flow")
    place = Place(**flow.pop("place"))
    return KeptBinding(Binding(**{**fields, "flow": Flow(place, **flow), "path": tuple(fields["path"])}))


class FakePhoneStore:
    """In memory. `fail_next`: errors to raise first, one per call."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[KeptBinding, ...]] = {}
        self.fail_next: list[Exception] = []

    def _fail(self) -> None:
        if self.fail_next:
            raise self.fail_next.pop(0)

    async def keep(self, bindings: Mapping[str, Sequence[KeptBinding]]) -> None:
        self._fail()
        for name, kept in bindings.items():
            self.rows[name] = tuple(kept)

    async def kept(self, now: float) -> list[KeptBinding]:
        self._fail()
        return [each for kept in self.rows.values() for each in kept if each.binding.expires_at > now]
