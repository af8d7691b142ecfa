"""API keys: their format, their scopes, and what is stored. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

__all__ = ["ApiKey", "Scope", "id_in", "make_key", "opens"]

_PREFIX = "tk"  # so that a scanner for leaked secrets knows one


class Scope(StrEnum):
    """A key's scope. Each covers only itself, but `admin` covers all."""

    READ = "read"  # records, recordings, transcripts, events
    CALL = "call"  # place calls and steer them
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What is stored of a key. `digest`: SHA-256 of the key, in hex; as a key has 256 random bits, a slow hash would
    add nothing."""

    key_id: str
    name: str
    scopes: frozenset[Scope]
    digest: str
    created_at: datetime
    revoked_at: datetime | None = None

    def is_of(self, key: str) -> bool:
        """Takes as long for a wrong key as for the right one."""
        return hmac.compare_digest(self.digest, _digest(key))


def make_key(name: str, scopes: Iterable[Scope], now: datetime) -> tuple[str, ApiKey]:
    """The key itself, which is shown once, and what is stored."""
    key_id = base64.b32encode(secrets.token_bytes(5)).decode().lower()
    key = f"{_PREFIX}_{key_id}_{secrets.token_urlsafe(32)}"
    return key, ApiKey(key_id=key_id, name=name, scopes=frozenset(scopes), digest=_digest(key), created_at=now)


def id_in(key: str) -> str:
    """The ID in a key; empty if it is not one of our keys."""
    prefix, _, rest = key.partition("_")
    key_id, _, secret = rest.partition("_")
    return key_id if prefix == _PREFIX and secret else ""


def opens(scopes: Iterable[Scope], wanted: Scope) -> bool:
    held = set(scopes)
    return wanted in held or Scope.ADMIN in held


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
