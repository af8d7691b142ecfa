"""/v1/calls: lists of calls, and one call with its conversation."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import web
from pydantic import TypeAdapter

from gateway.api.deps import DEPS
from gateway.api.parameters import ListQuery, NoQuery, PageQuery, call_id_of, query_of
from gateway.api.problems import ProblemError
from gateway.record import CallDetail, CallRecord
from gateway.store import BadCursor, CallFilters

__all__ = ["CallList", "call", "calls", "json_response", "live_calls", "no_such_call"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallList:
    """Calls, newest first. `next_cursor` fetches the next page; null: there are no more."""

    calls: tuple[CallRecord, ...]
    next_cursor: str | None = None


_list = TypeAdapter(CallList)
_detail = TypeAdapter(CallDetail)


async def calls(request: web.Request) -> web.Response:
    asked = query_of(request, ListQuery)
    filters = CallFilters(
        called=asked.called,
        caller=asked.caller,
        outcome=asked.outcome,
        persona=asked.persona,
        answered_by=asked.answered_by,
        since=asked.since,
        until=asked.until,
    )
    try:
        page = await request.app[DEPS].calls.list_calls(filters, asked.limit, asked.cursor)
    except BadCursor as error:
        raise ProblemError(HTTPStatus.BAD_REQUEST, f"cursor: {error}") from error
    return await json_response(_list, CallList(calls=page.calls, next_cursor=page.next_cursor))


async def live_calls(request: web.Request) -> web.Response:
    asked = query_of(request, PageQuery)
    page = await request.app[DEPS].calls.list_calls(CallFilters(live=True), asked.limit, asked.cursor)
    return await json_response(_list, CallList(calls=page.calls, next_cursor=page.next_cursor))


async def call(request: web.Request) -> web.Response:
    query_of(request, NoQuery)
    call_id = call_id_of(request)
    found = await request.app[DEPS].calls.get_call(call_id)
    if found is None:
        raise no_such_call(call_id)
    return await json_response(_detail, found)


def no_such_call(call_id: str) -> ProblemError:
    return ProblemError(HTTPStatus.NOT_FOUND, f"There is no call {call_id}.", kind="no_such_call")


async def json_response(model: TypeAdapter[Any], value: Any, status: int = 200) -> web.Response:
    """Runs in a thread, as serialising a long conversation takes milliseconds."""
    body = await asyncio.to_thread(model.dump_json, value, warnings=False)
    return web.Response(body=body, status=status, content_type="application/json")
