"""One attempt to post an event, signed according to Standard Webhooks (https://www.standardwebhooks.com)."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol

import aiohttp
from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError

from gateway.config.fields import SecretMissing
from gateway.events.endpoints import Target
from gateway.events.guard import ForbiddenTarget, OwnThreads, PublicResolver, refuse_private_literal
from gateway.store.deliveries import Delivery

__all__ = ["Answer", "EventPoster", "FakePoster", "Poster", "reason_of", "signed_headers", "signer"]


@dataclass(frozen=True, slots=True)
class Answer:
    """`error`: empty if it was accepted. `asked_s`: the requested wait (Retry-After)."""

    error: str = ""
    asked_s: float = 0.0


class EventPoster(Protocol):
    async def post(self, target: Target, delivery: Delivery) -> Answer:
        """One attempt. Never raises, unless cancelled."""

    async def close(self) -> None: ...


@dataclass
class FakePoster:
    """Responds with the items of `answers`, repeating the last one."""

    answers: list[Answer] = field(default_factory=lambda: [Answer()])
    posted: list[tuple[str, Delivery]] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)

    async def post(self, target: Target, delivery: Delivery) -> Answer:
        self.posted.append((target.url, delivery))
        self.targets.append(target)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def close(self) -> None:
        pass


def signer(secret: str) -> Webhook:
    """A secret that begins with `whsec_` continues with base64. Raises SecretMissing if it does not, or is empty."""
    try:
        return Webhook(secret if secret.startswith("whsec_") else secret.encode())
    except (ValueError, EmptyWebhookSecretError):
        raise SecretMissing("a webhook's secret is empty, or begins with whsec_ and is not base64 after that") from None


def signed_headers(key: Webhook | None, message_id: str, body: str, now: datetime) -> dict[str, str]:
    """`now`: aware."""
    now = now.astimezone(UTC)
    headers = {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
    }
    if key is not None:
        headers["webhook-signature"] = key.sign(message_id, now, body)
    return headers


class Poster:
    """Implements `EventPoster`. Keeps connections open between events, and follows no redirects: they could lead
    anywhere."""

    def __init__(self) -> None:
        self._sessions: dict[bool, aiohttp.ClientSession] = {}  # by allow_private

    async def post(self, target: Target, delivery: Delivery) -> Answer:
        """Never raises, unless cancelled."""
        limit = aiohttp.ClientTimeout(total=target.timeout_s)
        try:
            key = signer(target.secret) if target.secret else None
            headers = signed_headers(key, delivery.event_id, delivery.body, datetime.now(UTC))
            if not target.allow_private:
                refuse_private_literal(target.url)
            async with self._session(target.allow_private).post(
                target.url, data=delivery.body.encode(), headers=headers, allow_redirects=False, timeout=limit
            ) as answer:
                if answer.status < 300:
                    return Answer()
                asked_s = _retry_after_s(answer.headers.get("Retry-After", ""))
                return Answer(f"{answer.status} {answer.reason or ''}".strip(), asked_s)
        except TimeoutError:
            return Answer(f"no answer within {target.timeout_s:g} s")
        except (aiohttp.ClientError, OSError, ValueError, SecretMissing) as error:
            return Answer(reason_of(error))

    def _session(self, allow_private: bool) -> aiohttp.ClientSession:
        session = self._sessions.get(allow_private)
        if session is None:
            resolver = OwnThreads() if allow_private else PublicResolver()
            connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, limit_per_host=16)
            session = self._sessions[allow_private] = aiohttp.ClientSession(connector=connector)
        return session

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()


def reason_of(error: Exception) -> str:
    """The reason, without the URL, which may contain the endpoint's secret."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ForbiddenTarget):
            return str(cause)
        cause = getattr(cause, "os_error", None) or cause.__cause__
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno
        return f"cannot connect: {os.strerror(number) if number and number > 0 else type(error.os_error).__name__}"
    return type(error).__name__


def _retry_after_s(text: str) -> float:
    """Seconds or a date (RFC 9110 section 10.2.3); 0 for neither."""
    if text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
