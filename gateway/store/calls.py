"""`CallStore`: the call records of one database. Every method is a coroutine; the work is done in the database's
threads.

Exactly one record per attempt, despite duplicate and late messages:

- the first outcome stands. `finish` after another `finish`, `worker_lost` or `fail_open` changes no outcome, end or
  reason; it only adds missing values (answer time, recording, media figures, tokens);
- a second `begin` of a call changes nothing; events after the end are kept and the transcript is rebuilt;
- events and an end for a call that never began are refused with a log line: they never create a record.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, tzinfo
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

import structlog
from sqlalchemy import ColumnElement, Connection, RowMapping, and_, exc, func, make_url, select

from gateway.record import (
    LIVEKIT_WORKER,
    CallDetail,
    CallRecord,
    Outcome,
    RecordMessage,
)
from gateway.store.call_hooks import StoredHooks
from gateway.store.database import Backend, Database, Result
from gateway.store.deliveries import StoredDeliveries
from gateway.store.errors import StoreError, StoreUnavailable
from gateway.store.idempotency import StoredAttempts
from gateway.store.keys import StoredKeys
from gateway.store.legs import end_of_ended_calls, latest_keys, legs_of, transfers_of
from gateway.store.phones import StoredPhones
from gateway.store.queries import CallFilters, CallPage, detail_of, encode_cursor, record_of, select_calls
from gateway.store.queues import StoredQueueBook
from gateway.store.redact import RedactedCall, redact_rows
from gateway.store.retention import Kept, OldCall, Place, Selection, find_calls, find_old, forget, forget_waits
from gateway.store.schema import calls, events, turns
from gateway.store.sqlite import SqliteFile
from gateway.store.writes import Transaction, decode_conversation

if TYPE_CHECKING:
    from gateway.store.campaign_admin import StoredCampaigns
    from gateway.store.campaigns import StoredCampaignBook
    from telephony.keys import KeyFigures

__all__ = ["CallStore"]

log = structlog.get_logger(__name__)


class CallStore:
    """Created by `CallStore.open`."""

    def __init__(self, database: Database, gateway_id: str = "") -> None:
        self._database = database
        self._gateway_id = gateway_id

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        password: str = "",
        gateway_id: str = "",
        exclusive: bool = False,
        role: str = "",
        busy_timeout_s: float = 5.0,
        migrate_apart: bool = False,
    ) -> Self:
        """Open `sqlite:///relative/path.db` (or `sqlite:////absolute`), created and migrated if necessary, or
        `postgresql://user@host/database`.

        With PostgreSQL `gateway_id` says whose calls are written; `exclusive` is for the gateway and its helpers, each
        in another `role`: only one process may hold each. `migrate_apart`: see `bring_up_to_date`. Raises SchemaTooNew,
        StoreDamaged, StoreInUse, StoreError for another kind of URL or the database of something else, StoreUnavailable
        if it cannot be opened.
        """
        parsed = make_url(url)
        backend: Backend
        if parsed.get_backend_name() == "postgresql":
            from gateway.store.postgres import PostgresDatabase  # a gateway with SQLite never loads it

            backend = PostgresDatabase(url, password=password, owner=gateway_id if exclusive else "", role=role)
        elif parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
            raise StoreError(
                f"the store is a SQLite file, as in sqlite:///var/trunkline.db, or a PostgreSQL database, not {parsed}"
            )
        else:
            backend = SqliteFile(Path(str(parsed.database)), busy_timeout_s=busy_timeout_s)
        database = Database(backend)
        try:
            await database.start(migrate_apart=migrate_apart)
        except (exc.DBAPIError, sqlite3.Error, OSError) as error:
            cause = backend.in_words(error.orig if isinstance(error, exc.DBAPIError) and error.orig else error)
            raise StoreUnavailable(f"{backend.name} cannot be opened as the store: {cause}") from error
        return cls(database, gateway_id)

    @property
    def gateway_id(self) -> str:
        """Among those that share the database; empty with SQLite."""
        return self._gateway_id

    @property
    def deliveries(self) -> StoredDeliveries:
        """To webhooks."""
        return StoredDeliveries(self._database)

    @property
    def call_hooks(self) -> StoredHooks:
        """Webhooks of single calls."""
        return StoredHooks(self._database, self._gateway_id)

    @property
    def phones(self) -> StoredPhones:
        """Phones that are registered with this gateway."""
        return StoredPhones(self._database, self._gateway_id)

    @property
    def keys(self) -> StoredKeys:
        """API keys."""
        return StoredKeys(self._database)

    @property
    def attempts(self) -> StoredAttempts:
        """For `Idempotency-Key`."""
        return StoredAttempts(self._database)

    def queues(self, timezone: tzinfo = UTC) -> StoredQueueBook:
        """Human queues. `timezone`: where a member's calls of today begin at midnight."""
        return StoredQueueBook(self._database, timezone)

    @property
    def campaign_admin(self) -> StoredCampaigns:
        from gateway.store.campaign_admin import StoredCampaigns  # as below

        return StoredCampaigns(self._database)

    @property
    def campaigns(self) -> StoredCampaignBook:
        from gateway.store.campaigns import StoredCampaignBook  # most programs with a store have no use for it

        return StoredCampaignBook(self._database)

    async def close(self) -> None:
        """Idempotent. Waits for a write in progress."""
        await self._database.close()

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """`work` in a thread of the store. Raises StoreUnavailable, and what `work` raises."""
        return await self._database.read(work)

    async def write(self, work: Callable[[Connection], Result]) -> Result:
        """The same, as one transaction."""
        return await self._database.write(work)

    # --- writing ------------------------------------------------------------------------------------------------

    async def apply(self, messages: Sequence[RecordMessage], *, again: bool = False) -> None:
        """Store `messages` in order, in one transaction: all of them or none. `again`: some of them may have been
        stored before; existing events are left out. Raises StoreUnavailable if a retry may work, ValueError or another
        error for a message that cannot be stored at all.
        """
        kept = tuple(messages)  # the caller's list may change if the caller is cancelled

        def store(connection: Connection) -> None:
            transaction = Transaction(connection, again=again, gateway_id=self._gateway_id)
            for message in kept:
                transaction.apply(message)
            transaction.flush()

        await self._database.write(store)

    async def open_calls(self, *, of_livekit_worker: bool = False) -> tuple[CallRecord, ...]:
        """Calls in progress, or left open by a process that died (see `fail_open`)."""

        def found(connection: Connection) -> tuple[CallRecord, ...]:
            query = select(calls).where(calls.c.outcome.is_(None), self._ours(of_livekit_worker))
            return tuple(record_of(row) for row in connection.execute(query).mappings())

        return await self._database.read(found)

    async def latest_keys(self, most: int = 500) -> tuple[tuple[str, KeyFigures], ...]:
        """Of the legs of the latest calls, of all gateways: trunk and keys, oldest first."""
        return await self._database.read(lambda connection: latest_keys(connection, most))

    async def fail_open(self, reason: str = "gateway_lost", *, of_livekit_worker: bool = False) -> int:
        """At startup: end what a previous process left open, as `gateway_lost`; return how many. The end is the last
        sign of life (last event, answer or start), as it is unknown how long the call lasted after that. Open legs and
        transfers end with their calls. Other gateways and LiveKit agent workers may share the store; each ends only its
        own."""

        def end(connection: Connection) -> int:
            transaction = Transaction(connection)
            last = select(func.max(events.c.t_ms)).where(events.c.call_id == calls.c.call_id).scalar_subquery()
            ours = self._ours(of_livekit_worker)
            query = select(calls.c.call_id, calls.c.started_at, calls.c.answered_at, last.label("t_ms")).where(
                calls.c.outcome.is_(None), ours
            )
            open_calls = connection.execute(query).all()
            for call in open_calls:
                transaction.end_lost(call, Outcome.GATEWAY_LOST, reason)
            end_of_ended_calls(connection, ours, reason)
            return len(open_calls)

        left = await self._database.write(end)
        if left:
            log.warning("calls_left_open", calls=left, reason=reason)
        return left

    def _ours(self, of_livekit_worker: bool) -> ColumnElement[bool]:
        """Calls of this gateway, or of its agent worker."""
        mine = (calls.c.worker == LIVEKIT_WORKER) == of_livekit_worker
        return and_(mine, calls.c.gateway_id == self._gateway_id) if self._gateway_id else mine

    async def redact(self, call_id: str, *, digits_only: bool) -> RedactedCall:
        """Remove speech and keyed digits from a call's record. Its old rows remain in the file until `compact`. Raises
        NoSuchCall, CallGoesOn."""
        return await self._database.write(lambda connection: redact_rows(connection, call_id, digits_only=digits_only))

    async def compact(self) -> None:
        """Remove all traces of deleted and redacted data from the file. Other writers wait. Raises StoreUnavailable."""
        await self._database.compact()

    async def old_calls(self, selection: Selection, what: Kept, after: Place | None, limit: int) -> list[OldCall]:
        """Calls that still have `what`, oldest first; `after`: the place of the previous one."""
        return await self._database.read(lambda connection: find_old(connection, selection, what, after, limit))

    async def forget(self, what: Kept, call_ids: Sequence[str]) -> None:
        """Remove it from the tables. The caller removes recordings' files."""
        now = datetime.now(UTC)
        await self._database.write(lambda connection: forget(connection, what, call_ids, now))

    async def forget_waits(self, until: datetime, gateway_id: str, *, dry_run: bool = False) -> int:
        """Waits in queues that began before; how many. `gateway_id`: only this gateway's; empty: all."""
        return await self._database.write(partial(forget_waits, until=until, gateway_id=gateway_id, dry_run=dry_run))

    # --- reading ------------------------------------------------------------------------------------------------

    async def list_calls(
        self, filters: CallFilters | None = None, limit: int = 50, cursor: str | None = None
    ) -> CallPage:
        """Newest first, `limit` (1..200) a page. Raises BadCursor, StoreUnavailable."""
        if not 1 <= limit <= 200:
            raise ValueError(f"limit is 1 to 200, not {limit}")

        def listed(connection: Connection) -> CallPage:
            query = select_calls(filters or CallFilters(), limit, cursor)
            rows = connection.execute(query).mappings().all()
            page = tuple(record_of(row) for row in rows[:limit])
            more = len(rows) > limit
            return CallPage(page, encode_cursor(page[-1].started_at, page[-1].call_id) if more else None)

        return await self._database.read(listed)

    async def find(self, selection: Selection, after: Place | None, limit: int) -> list[str]:
        """Ids of ended calls, oldest first; `after`: the place of the previous one."""
        return await self._database.read(lambda connection: find_calls(connection, selection, after, limit))

    async def get_record(self, call_id: str) -> CallRecord | None:
        """One record without its conversation; None when there is no such call."""

        def found(connection: Connection) -> CallRecord | None:
            row = _row(connection, call_id)
            return None if row is None else record_of(row)

        return await self._database.read(found)

    async def get_call(self, call_id: str) -> CallDetail | None:
        """One call with its legs, transfers, transcript and events; None when there is no such call."""

        def found(connection: Connection) -> CallDetail | None:
            row = _row(connection, call_id)
            if row is None:
                return None
            in_order = select(events.c.event).where(events.c.call_id == call_id).order_by(events.c.id)
            happened = connection.execute(in_order).scalars().all()
            by_place = select(turns.c.turn).where(turns.c.call_id == call_id).order_by(turns.c.place)
            said = None if row["outcome"] is None else connection.execute(by_place).scalars().all()
            turns_said, decoded = decode_conversation(happened, said)
            return detail_of(
                row,
                legs=legs_of(connection, call_id),
                transfers=transfers_of(connection, call_id),
                turns=turns_said,
                events=decoded,
            )

        return await self._database.read(found)


def _row(connection: Connection, call_id: str) -> RowMapping | None:
    return connection.execute(select(calls).where(calls.c.call_id == call_id)).mappings().first()
