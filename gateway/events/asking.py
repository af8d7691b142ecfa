"""Asks the user's program about a call, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import aiohttp
import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.before_call import CallQuestion, Said
from gateway.config.fields import SecretMissing
from gateway.events.guard import OwnThreads, PublicResolver, refuse_private_literal
from gateway.events.posting import reason_of, signed_headers, signer
from gateway.outbound.order import VariableName, VariableText

__all__ = ["HttpAsker"]

log = structlog.get_logger(__name__)

MOST_AT_ONCE = 200  # beyond that the dialplan decides
MOST_BYTES = 32 * 1024


class BeforeCallAnswer(BaseModel):
    """All may be left out; an answer with status 204 says nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    persona: str | None = Field(default=None, min_length=1, max_length=256)
    variables: dict[VariableName, VariableText] = Field(default={}, max_length=50)


class HttpAsker:
    """Implements `AsksBeforeCall`. Belongs to the loop. Keeps connections open between calls and follows no
    redirects."""

    def __init__(self) -> None:
        self._sessions: dict[bool, aiohttp.ClientSession] = {}  # by allow_private
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, question: CallQuestion, answered: Callable[[Said], None]) -> bool:
        if len(self._tasks) >= MOST_AT_ONCE:
            log.warning("before_call_not_asked", call_id=question.call_id, error=f"{MOST_AT_ONCE} are asked already")
            return False
        task = asyncio.create_task(self._answer(question, answered), name=f"before call {question.call_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for session in self._sessions.values():
            await session.close()

    async def _answer(self, question: CallQuestion, answered: Callable[[Said], None]) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        limit_ms = question.hook.settings.limit_ms
        try:
            async with asyncio.timeout(limit_ms / 1000):
                said = await self._said(question)
        except TimeoutError:
            said = Said(error=f"no answer within {limit_ms} ms")
        except ValidationError as error:
            wrong = error.errors(include_input=False, include_url=False)[0]
            said = Said(error=f"{'.'.join(map(str, wrong['loc'])) or 'the answer'}: {wrong['msg']}"[:200])
        except (aiohttp.ClientError, OSError, ValueError, SecretMissing) as error:
            said = Said(error=reason_of(error))
        except Exception as error:
            log.error("before_call_failed", call_id=question.call_id, error=repr(error), exc_info=error)
            said = Said(error=type(error).__name__)
        took_ms = round((loop.time() - began) * 1000, 1)
        answered(Said(said.persona, said.variables, said.error, took_ms))

    async def _said(self, question: CallQuestion) -> Said:
        """Raises TimeoutError, OSError, aiohttp.ClientError, ValueError, SecretMissing."""
        settings = question.hook.settings
        if not settings.allow_private:
            refuse_private_literal(settings.url)
        key = signer(settings.secret.read()) if settings.secret is not None else None
        headers = signed_headers(key, question.call_id, question.body, datetime.now(UTC))
        async with self._session(settings.allow_private).post(
            settings.url, data=question.body.encode(), headers=headers, allow_redirects=False
        ) as answer:
            if answer.status == 204:
                return Said()
            if answer.status != 200:
                return Said(error=f"{answer.status} {answer.reason or ''}".strip())
            body = await _whole(answer)
        if body is None:
            return Said(error=f"the answer has more than {MOST_BYTES} bytes")
        found = BeforeCallAnswer.model_validate_json(body)
        return Said(found.persona or "", found.variables)

    def _session(self, allow_private: bool) -> aiohttp.ClientSession:
        session = self._sessions.get(allow_private)
        if session is None:
            resolver = OwnThreads() if allow_private else PublicResolver()
            # Resolved addresses have been checked, so they may be cached for a moment.
            connector = aiohttp.TCPConnector(resolver=resolver, ttl_dns_cache=10, limit=MOST_AT_ONCE)
            session = self._sessions[allow_private] = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar()
            )
        return session


async def _whole(answer: aiohttp.ClientResponse) -> bytes | None:
    """The whole body; None: it is too long."""
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > MOST_BYTES:
            return None
    return bytes(body)
