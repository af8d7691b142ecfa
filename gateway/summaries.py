"""Makes each call's summary after the call, and passes it to the webhooks with record and transcript. Nothing waits for
it: the call has been hung up and recorded, and its slot freed, before it begins."""

from __future__ import annotations

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import structlog
from pydantic import TypeAdapter

from gateway.config.summary import SUMMARY_EVENT, SummarySettings
from gateway.record import CallClosed, CallDetail, Outcome, RecordMessage, WorkerLost
from gateway.store.deliveries import Delivery
from gateway.store.errors import StoreUnavailable
from gateway.summary_words import CALL_SUMMARY, Words
from telephony.call import Direction

__all__ = ["CALL_SUMMARY", "CallSummaries", "template_summary"]

log = structlog.get_logger(__name__)

WORDS_LIMIT_S = 25.0  # for the words to come from the worker
TEMPLATE_AFTER_S = WORDS_LIMIT_S + 5.0
RECORD_LIMIT_S = 600.0  # for the record to be written
RECORD_POLL_S = 0.5
CLOSE_LIMIT_S = 3.0
REMEMBERED = 1000
_detail = TypeAdapter(CallDetail)


def template_summary(call: CallDetail) -> str:
    """A call in the gateway's own words."""
    seconds = round((call.duration_ms or 0) / 1000)
    length = f"{seconds // 60} min {seconds % 60} s" if seconds >= 60 else f"{seconds} s"
    by = "with" if call.direction is Direction.OUTBOUND else "answered by"
    how = f"{by} {call.persona}, {length}" if call.answered_at else f"not answered: {call.outcome}"
    lines = [
        f"Call from {call.caller or 'a withheld number'} to {call.called}, {how}.",
        f"Ended by the {call.ended_by.value if call.ended_by else 'system'}: {call.end_reason or 'no reason given'}.",
    ]
    used = dict.fromkeys(tool.name for turn in call.turns for tool in turn.tool_calls)
    if used:
        lines.append(f"Functions used: {', '.join(used)}.")
    said = [turn.text for turn in call.turns if turn.speaker == "caller" and turn.text]
    if said:
        lines.append(f'The caller said first: "{said[0]}"' + (f', and last: "{said[-1]}".' if len(said) > 1 else "."))
    return " ".join(lines)


class CallSummaries:
    """As soon as a call is recorded, the gateway's own summary is queued for delivery, due when the worker's time is
    up. The worker's summary replaces it, so a gateway that dies in between loses none."""

    def __init__(
        self,
        told: Callable[[str, str], SummarySettings | None],
        read: Callable[[str], Awaitable[CallDetail | None]],
        put: Callable[[Delivery], None],
        *,
        words_come: bool = True,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`told`: who is told of a call with this rule and persona in its record; None: nobody. `read`: a call's record
        with its conversation. `words_come`: workers send `summary_message`s. `now`: Unix seconds."""
        self._told = told
        self._begun: OrderedDict[str, None] = OrderedDict()  # the last calls, each once
        self._read = read
        self._put = put
        self._words_come = words_come
        self._now = now
        self._words: dict[str, asyncio.Future[Words]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def observe(self, message: RecordMessage) -> None:
        """A record message: the end of a call begins its summary."""
        if isinstance(message, CallClosed):
            self._begin(message.call_id, self._words_come and message.outcome is Outcome.ANSWERED)
        elif isinstance(message, WorkerLost):
            for call_id in message.call_ids:
                self._begin(call_id, words=False)

    def were_lost(self, call_ids: Iterable[str]) -> None:
        """Calls of a gateway that died, found at the start and on record."""
        for call_id in call_ids:
            self._begin(call_id, words=False)

    def words(self, message: Mapping[str, Any]) -> None:
        """A worker's `summary_message`."""
        waiting = self._words.get(str(message.get("call_id")))
        if waiting is not None and not waiting.done():
            waiting.set_result((str(message.get("text") or ""), str(message.get("by") or "")))

    async def close(self) -> None:
        """Waits for calls that are not on record yet. Call it before the webhooks are closed."""
        for waiting in self._words.values():
            if not waiting.done():
                waiting.set_result(("", ""))
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_LIMIT_S)
        for task in self._tasks:
            log.error("summary_not_made", call_id=task.get_name(), error="the gateway stopped")
            task.cancel()

    def _begin(self, call_id: str, words: bool) -> None:
        if call_id in self._begun:
            return
        self._begun[call_id] = None
        if len(self._begun) > REMEMBERED:
            self._begun.popitem(last=False)
        if words:
            self._words[call_id] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._make(call_id), name=call_id)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _make(self, call_id: str) -> None:
        waiting = self._words.get(call_id)
        try:
            call = await self._record_of(call_id)
            if call is None:
                raise LookupError("its record was not written in time")
            told = self._told(call.rule, call.persona)
            if told is None or not (told.unanswered or call.answered_at):
                return
            template = template_summary(call), "template"
            if waiting is not None:
                await self._queue(told.url, call, template, self._now() + TEMPLATE_AFTER_S)
            words = await _within_limit(waiting) if waiting is not None else ("", "")
            await self._queue(told.url, call, words if words[0] else template, self._now())
        except Exception as error:  # noqa: BLE001 - it concerns only this call
            log.error("summary_not_made", call_id=call_id, error=str(error) or type(error).__name__)
        finally:
            self._words.pop(call_id, None)

    async def _queue(self, url: str, call: CallDetail, words: Words, due: float) -> None:
        # Serialising a long call takes milliseconds, too long for the loop.
        body = await asyncio.to_thread(_body, call, words)
        self._put(Delivery(call.call_id, url, SUMMARY_EVENT, body, due))

    async def _record_of(self, call_id: str) -> CallDetail | None:
        until = self._now() + RECORD_LIMIT_S
        while True:
            try:
                call = await self._read(call_id)
            except StoreUnavailable:
                call = None
            if call is not None and call.outcome is not None:
                return call
            if self._now() >= until:
                return None
            await asyncio.sleep(RECORD_POLL_S)


async def _within_limit(waiting: asyncio.Future[Words]) -> Words:
    try:
        async with asyncio.timeout(WORDS_LIMIT_S):
            return await waiting
    except TimeoutError:
        return "", ""


def _body(call: CallDetail, words: Words) -> str:
    summary = {"text": words[0], "by": words[1]}
    record = _detail.dump_python(call, mode="json")
    return json.dumps({"type": SUMMARY_EVENT, "summary": summary, "call": record}, ensure_ascii=False)
