"""GET /v1/events: events as they happen, as server-sent events. GET /v1/webhooks: the state of deliveries to
webhooks."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web
from pydantic import TypeAdapter

from gateway.api.calls import json_response
from gateway.api.deps import DEPS
from gateway.api.parameters import EventsQuery, NoQuery, query_of
from gateway.api.problems import ProblemError
from gateway.events.endpoints import EndpointState
from gateway.events.stream import SentEvent, Subscription

__all__ = ["ID", "WebhookList", "events", "webhooks"]

_ALIVE_EVERY_S = 15.0  # proxies close connections that are silent for longer
_MOST_LISTENERS = 64
ID = r"^[0-9a-f]{12}-[0-9a-f]{5}-[0-9a-f]{8}$"
_ID = re.compile(ID)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookList:
    webhooks: tuple[EndpointState, ...]


_list = TypeAdapter(WebhookList)


async def events(request: web.Request) -> web.StreamResponse:
    """https://html.spec.whatwg.org/multipage/server-sent-events.html. A reconnecting browser sends the last ID it has
    seen as `Last-Event-ID`; if later events are lost, the first event is `missed`."""
    asked = query_of(request, EventsQuery)
    stream = request.app[DEPS].events
    if stream is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "This gateway has no event stream.")
    if len(stream) >= _MOST_LISTENERS:
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "Too many listeners.", {"Retry-After": "10"})
    after = request.headers.get("Last-Event-ID", "")
    if after and not _ID.fullmatch(after):
        raise ProblemError(HTTPStatus.BAD_REQUEST, "Last-Event-ID is not an ID of one of our events.")
    listener = stream.subscribe(tuple(asked.types.split(",")), asked.call_id or "", after)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
    try:
        await response.prepare(request)
        await _send_all(response, listener)
    except ConnectionError:
        pass  # the listener is gone
    finally:
        listener.close()
    return response


async def _send_all(response: web.StreamResponse, listener: Subscription) -> None:
    await response.write(b"retry: 2000\n\n")
    if listener.missed:
        await response.write(b"event: missed\ndata: {}\n\n")
    while True:
        try:
            async with asyncio.timeout(_ALIVE_EVERY_S):
                event = await listener.next()
        except TimeoutError:
            await response.write(b": alive\n\n")
            continue
        if event is None:
            return
        await response.write(_lines(event))


def _lines(event: SentEvent) -> bytes:
    """The JSON contains no line ends."""
    return f"id: {event.id}\nevent: {event.type}\ndata: {event.text}\n\n".encode()


async def webhooks(request: web.Request) -> web.Response:
    query_of(request, NoQuery)
    return await json_response(_list, WebhookList(webhooks=await request.app[DEPS].webhooks.states()))
