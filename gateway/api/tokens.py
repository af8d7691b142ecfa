"""POST /v1/calls/{id}/token: a token that lets a person join a call's LiveKit room from a browser."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web
from pydantic import TypeAdapter

from gateway.api.calls import json_response, no_such_call
from gateway.api.deps import DEPS
from gateway.api.parameters import NoQuery, body_of, call_id_of, query_of
from gateway.api.problems import ProblemError
from gateway.api.room_tokens import RoomToken, TokenRequest

__all__ = ["token"]

_answer = TypeAdapter(RoomToken)


async def token(request: web.Request) -> web.Response:
    query_of(request, NoQuery)
    call_id = call_id_of(request)
    asked = await body_of(request, TokenRequest)
    deps = request.app[DEPS]
    if deps.room_tokens is None:
        raise ProblemError(
            HTTPStatus.CONFLICT,
            "Calls of this gateway are in local rooms; tokens need rooms: livekit.",
            kind="not_possible",
        )
    found = await deps.calls.get_record(call_id)
    if found is None:
        raise no_such_call(call_id)
    if found.outcome is not None:
        raise ProblemError(HTTPStatus.CONFLICT, f"Call {call_id} is over.", kind="not_live")
    return await json_response(_answer, deps.room_tokens.make(call_id, asked))
