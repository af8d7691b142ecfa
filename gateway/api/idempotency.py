"""`Idempotency-Key`: a request that is sent twice is carried out once and gets the same answer twice. As in the IETF
draft "The Idempotency-Key HTTP Header Field", the same key with another request gets 422, and 409 while the first one
is running. Answers are kept for 24 h.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import structlog
from aiohttp import web

from gateway.api.problems import ProblemError
from gateway.store import StoreUnavailable
from gateway.store.idempotency import Attempt, Attempts

__all__ = ["KEY", "Answer", "Interrupted", "answer_once", "key_of"]

log = structlog.get_logger(__name__)

KEY = r'^([!#-~][!-~]{0,254}|"[!-~]{1,255}")$'  # with quotes as structured headers have a string
_KEY = re.compile(KEY)
_AT_WORK = timedelta(seconds=60)  # a request without an answer by then has lost its process


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is JSON. `repeated`: it was given before."""

    status: int
    body: str
    location: str = ""
    repeated: bool = False


class Interrupted(Exception):
    """The first request with this key was interrupted before its answer, for example by the end of its gateway.
    `reference` is what it was about to create; the reader must find out whether it did. It is not carried out again."""

    def __init__(self, reference: str) -> None:
        super().__init__(f"the first request under this key was cut off; it was to make {reference}")
        self.reference = reference


def key_of(request: web.Request) -> str | None:
    """None: the request has none. Raises ProblemError 400."""
    given = request.headers.getall("Idempotency-Key", [])
    if not given:
        return None
    key = given[0].strip()
    if len(given) > 1 or not _KEY.fullmatch(key):
        detail = "Idempotency-Key: one value of 1 to 255 printable characters without spaces, such as a UUID."
        raise ProblemError(HTTPStatus.BAD_REQUEST, detail, kind="bad_idempotency_key")
    return key[1:-1] if key[0] == '"' else key


async def answer_once(
    attempts: Attempts,
    work: Callable[[], Awaitable[Answer]],
    *,
    owner: str,
    key: str,
    request: bytes,
    reference: str,
    now: datetime | None = None,
) -> Answer:
    """Runs `work` if this is `owner`'s first request with `key`, else returns the stored answer. `request`: identifies
    the request (method, path, body); `reference`: the id of what `work` is about to create. `work` raises, or answers
    5xx, only if it has created nothing: then the same key may be used again. If it is cancelled, the result is unknown
    and it is not retried (Interrupted). Raises ProblemError 409 and 422, Interrupted, StoreUnavailable, and what `work`
    raises.
    """
    at = now or datetime.now(UTC)
    fingerprint = hashlib.sha256(request).hexdigest()
    attempt = Attempt(owner=owner, key=key, fingerprint=fingerprint, reference=reference, created_at=at)
    before = await attempts.begin(attempt)
    if before is not None:
        return _again(before, attempt)
    try:
        answer = await work()
    except Exception:
        await _noted(attempts.forget(attempt))
        raise
    if answer.status >= 500:
        await _noted(attempts.forget(attempt))
    else:
        kept = replace(attempt, status=answer.status, location=answer.location, body=answer.body)
        await _noted(attempts.answered(kept))
    return answer


async def _noted(note: Awaitable[None]) -> None:
    """Store the answer. If that fails, it is still returned, and a repetition is told to check for itself."""
    try:
        await note
    except StoreUnavailable as error:
        log.warning("idempotency_not_noted", error=str(error))


def _again(before: Attempt, attempt: Attempt) -> Answer:
    if before.fingerprint != attempt.fingerprint:
        detail = "This Idempotency-Key was used for another request within the last 24 hours."
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, detail, kind="idempotency_key_reused")
    if before.status is not None:
        return Answer(before.status, before.body, before.location, repeated=True)
    if attempt.created_at - before.created_at > _AT_WORK:
        raise Interrupted(before.reference)
    detail = "The first request with this Idempotency-Key is still being carried out."
    raise ProblemError(HTTPStatus.CONFLICT, detail, {"Retry-After": "1"}, kind="idempotency_in_progress")
