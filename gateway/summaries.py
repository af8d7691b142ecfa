"""Posts each call's record, transcript and summary to a URL when the call is over. Nothing waits for it: a call is hung
up, on record, and its slot free, before it begins."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp
import structlog
from pydantic import TypeAdapter

from gateway.config.summary import SummarySettings
from gateway.events.posting import signed_headers, signer
from gateway.record import CallClosed, CallDetail, Outcome, RecordMessage, WorkerLost
from gateway.summary_words import CALL_SUMMARY, Words

__all__ = ["CALL_SUMMARY", "SummaryPoster", "template_summary"]

log = structlog.get_logger(__name__)

WORDS_LIMIT_S = 25.0  # for the words to come from the worker
RECORD_LIMIT_S = 30.0  # for the record to be written
CLOSE_LIMIT_S = 3.0
LONGEST_WAIT_S = 600.0
MOST_AT_ONCE = 500
_detail = TypeAdapter(CallDetail)


def template_summary(call: CallDetail) -> str:
    """A call in the gateway's own words."""
    seconds = round((call.duration_ms or 0) / 1000)
    length = f"{seconds // 60} min {seconds % 60} s" if seconds >= 60 else f"{seconds} s"
    lines = [
        f"Call from {call.caller or 'a withheld number'} to {call.called}, answered by {call.persona}, {length}.",
        f"Ended by the {call.ended_by.value if call.ended_by else 'system'}: {call.end_reason or 'no reason given'}.",
    ]
    used = dict.fromkeys(tool.name for turn in call.turns for tool in turn.tool_calls)
    if used:
        lines.append(f"Functions used: {', '.join(used)}.")
    said = [turn.text for turn in call.turns if turn.speaker == "caller" and turn.text]
    if said:
        lines.append(f'The caller said first: "{said[0]}"' + (f', and last: "{said[-1]}".' if len(said) > 1 else "."))
    return " ".join(lines)


class SummaryPoster:
    def __init__(
        self,
        settings: SummarySettings,
        read: Callable[[str], Awaitable[CallDetail | None]],
        *,
        words_come: bool = True,
        first_wait_s: float = 2.0,
    ) -> None:
        """`read`: a call's record with its conversation. `words_come`: workers send `summary_message`s.
        `first_wait_s`: before the second attempt; it doubles. Raises SecretMissing."""
        self._settings = settings
        self._key = signer(settings.secret.read()) if settings.secret is not None else None
        self._read = read
        self._words_come = words_come
        self._first_wait_s = first_wait_s
        self._words: dict[str, asyncio.Future[Words]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def observe(self, message: RecordMessage) -> None:
        """A record message: the end of an answered call begins its post."""
        if isinstance(message, CallClosed) and message.outcome is Outcome.ANSWERED:
            self._begin(message.call_id, self._words_come)
        elif isinstance(message, WorkerLost):
            for call_id in message.call_ids:
                self._begin(call_id, words=False)

    def words(self, message: Mapping[str, Any]) -> None:
        """A worker's `summary_message`."""
        waiting = self._words.get(str(message.get("call_id")))
        if waiting is not None and not waiting.done():
            waiting.set_result((str(message.get("text") or ""), str(message.get("by") or "")))

    async def close(self) -> None:
        """What can't be posted now is not posted at all, and the log says so."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_LIMIT_S)
        for task in self._tasks:
            log.error("summary_not_posted", call_id=task.get_name(), error="the gateway stopped")
            task.cancel()

    def _begin(self, call_id: str, words: bool) -> None:
        if len(self._tasks) >= MOST_AT_ONCE:
            log.error("summary_not_posted", call_id=call_id, error=f"{MOST_AT_ONCE} others wait to be posted")
            return
        if words:
            self._words[call_id] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._post(call_id), name=call_id)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _post(self, call_id: str) -> None:
        try:
            text, by = await self._words_of(call_id)
            call = await self._record_of(call_id)
            if call is None:
                raise LookupError("its record was not written in time")
            summary = {"text": text, "by": by} if text else {"text": template_summary(call), "by": "template"}
            # A long call's JSON takes milliseconds, which the loop must not be kept from its packets.
            body = await asyncio.to_thread(_body, call, summary)
            await self._deliver(call_id, body)
        except Exception as error:  # noqa: BLE001 - it concerns this call alone
            log.error("summary_not_posted", call_id=call_id, error=str(error) or type(error).__name__)

    async def _words_of(self, call_id: str) -> Words:
        waiting = self._words.get(call_id)
        if waiting is None:
            return "", ""
        try:
            async with asyncio.timeout(WORDS_LIMIT_S):
                return await waiting
        except TimeoutError:
            return "", ""
        finally:
            del self._words[call_id]

    async def _record_of(self, call_id: str) -> CallDetail | None:
        loop = asyncio.get_running_loop()
        until = loop.time() + RECORD_LIMIT_S
        while True:
            call = await self._read(call_id)
            if call is not None and call.outcome is not None:
                return call
            if loop.time() >= until:
                return None
            await asyncio.sleep(0.5)

    async def _deliver(self, call_id: str, body: bytes) -> None:
        """Raises when it was refused, or after the last attempt."""
        limit = aiohttp.ClientTimeout(total=self._settings.timeout_s)
        async with aiohttp.ClientSession(timeout=limit) as http:
            for attempt in range(self._settings.retries + 1):
                if attempt:
                    await asyncio.sleep(min(self._first_wait_s * 2 ** (attempt - 1), LONGEST_WAIT_S))
                try:
                    said = await self._attempt(http, call_id, body)
                except (aiohttp.ClientError, TimeoutError) as error:
                    said = str(error) or type(error).__name__
                if not said:
                    log.info("summary_posted", call_id=call_id, attempts=attempt + 1)
                    return
            raise ConnectionError(f"{self._settings.url} did not take it: {said}")

    async def _attempt(self, http: aiohttp.ClientSession, call_id: str, body: bytes) -> str:
        """Empty when it was taken, else why not. Raises ValueError when trying again is of no use."""
        headers = signed_headers(self._key, call_id, body.decode(), datetime.now(UTC))
        async with http.post(self._settings.url, data=body, headers=headers, allow_redirects=False) as answer:
            if answer.status < 300:
                return ""
            said = f"{answer.status} {answer.reason}"
            if answer.status < 500 and answer.status not in (408, 425, 429):
                raise ValueError(f"{self._settings.url} refuses it: {said}")
            return said


def _body(call: CallDetail, summary: Mapping[str, str]) -> bytes:
    import json

    record = _detail.dump_python(call, mode="json")
    return json.dumps({"type": "call.summary", "summary": dict(summary), "call": record}, ensure_ascii=False).encode()
