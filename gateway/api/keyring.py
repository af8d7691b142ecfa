"""The API's keys: those in the settings, with full access, and those in the store, with their rate limits. Belongs to
the loop."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from gateway.keys import ApiKey, Scope, id_in
from gateway.store import StoreUnavailable

__all__ = ["FakeKeys", "Holder", "KeyRate", "KeyReader", "KeyRing"]

_REREAD_S = 5.0  # a revoked key is rejected by then
_UNKNOWN_REREAD_S = 0.5  # a new key is accepted by then
_READ_WAIT_S = 1.0  # for a slow store; after that the keys last read are used
_MOST_HOLDERS = 10_000
log = structlog.get_logger(__name__)


class KeyReader(Protocol):
    """The part of `StoredKeys` that is needed. May raise StoreUnavailable."""

    async def all(self) -> tuple[ApiKey, ...]: ...


class FakeKeys:
    """Keys in memory. `error` is raised when set."""

    def __init__(self, *keys: ApiKey) -> None:
        self.keys = list(keys)
        self.error: Exception | None = None
        self.reads = 0

    async def all(self) -> tuple[ApiKey, ...]:
        self.reads += 1
        if self.error is not None:
            raise self.error
        return tuple(self.keys)


@dataclass(frozen=True, slots=True)
class KeyRate:
    per_second: float = 50.0
    burst: int = 100


@dataclass(frozen=True, slots=True)
class Holder:
    """The client: a key's ID and its scopes. Keys of the settings are identified by their position there."""

    key_id: str
    scopes: frozenset[Scope]


class KeyRing:
    def __init__(
        self,
        fixed: Sequence[str],
        stored: KeyReader | None,
        *,
        always: bool = False,
        rate: KeyRate | None = None,
        now: Callable[[], float] | None = None,
    ) -> None:
        """`fixed`: the settings' keys. `always`: a key is required even if there is none. `now`: seconds."""
        self._fixed = [hashlib.sha256(key.encode()).digest() for key in fixed]
        self._reader = stored
        self._always = always
        self._rate = rate or KeyRate()
        self._now = now or (lambda: asyncio.get_running_loop().time())
        self._stored: dict[str, ApiKey] | None = None  # None: not read yet
        self._read_at = -math.inf
        self._reading: asyncio.Future[None] | None = None
        self._trouble = ""
        self._spent: OrderedDict[str, tuple[float, float]] = OrderedDict()  # key -> tokens, at

    async def needed(self) -> bool:
        """Whether there is any key. Without one, anyone on the machine may do anything."""
        return bool(self._always or self._fixed or await self._keys(_REREAD_S))

    async def holder(self, header: str) -> Holder | None:
        """The owner of this `Authorization`, or None. Raises StoreUnavailable if the store's keys were never read.
        Constant time, whatever the key's length and position."""
        scheme, _, given = header.partition(" ")
        given = given.strip()
        digest = hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest()
        place = 0
        for number, known in enumerate(self._fixed, 1):
            place |= number * hmac.compare_digest(digest, known)
        if scheme.lower() != "bearer":
            return None
        if place:
            return Holder(f"settings-{place}", frozenset(Scope))
        key_id = id_in(given)
        if not key_id:
            return None
        keys = await self._keys(_REREAD_S)
        if key_id not in keys:
            keys = await self._keys(_UNKNOWN_REREAD_S)
        found = keys.get(key_id)
        return Holder(found.key_id, found.scopes) if found is not None and found.is_of(given) else None

    def wait_s(self, holder: Holder) -> float:
        """Take one request's token; 0.0: allowed, else the seconds to wait for the next one."""
        now = self._now()
        tokens, at = self._spent.get(holder.key_id, (float(self._rate.burst), now))
        tokens = min(float(self._rate.burst), tokens + max(0.0, now - at) * self._rate.per_second)
        allowed = tokens >= 1.0
        self._spent[holder.key_id] = (tokens - 1.0 if allowed else tokens, now)
        self._spent.move_to_end(holder.key_id)
        if len(self._spent) > _MOST_HOLDERS:
            self._spent.popitem(last=False)
        return 0.0 if allowed else (1.0 - tokens) / self._rate.per_second

    async def _keys(self, not_older_s: float) -> dict[str, ApiKey]:
        """The store's active keys by ID; the ones last read while the store is unavailable."""
        if self._reader is None:
            return {}
        if self._reading is None and (self._stored is None or self._now() - self._read_at > not_older_s):
            self._read_at = self._now()
            self._reading = asyncio.ensure_future(self._read(self._reader))
        if self._reading is not None:
            await asyncio.wait({self._reading}, timeout=None if self._stored is None else _READ_WAIT_S)
        if self._stored is None:
            raise StoreUnavailable(self._trouble)
        return self._stored

    async def _read(self, reader: KeyReader) -> None:
        try:
            self._stored = {key.key_id: key for key in await reader.all() if key.revoked_at is None}
        except StoreUnavailable as error:
            self._trouble = str(error)
            log.warning("api_keys_not_read", error=self._trouble)
        finally:
            self._reading = None
