"""POST /v1/calls/{id}/token: a token with which a person joins a call's LiveKit room from a browser."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from gateway.api.calls import json_response, no_such_call
from gateway.api.deps import DEPS
from gateway.api.parameters import NoQuery, call_id_of, query_of
from gateway.api.problems import ProblemError
from gateway.api.room_tokens import RoomToken, TokenRequest

__all__ = ["token"]

_answer = TypeAdapter(RoomToken)


async def token(request: web.Request) -> web.Response:
    query_of(request, NoQuery)
    call_id = call_id_of(request)
    asked = await _asked(request)
    deps = request.app[DEPS]
    if deps.room_tokens is None:
        raise ProblemError(HTTPStatus.CONFLICT, "Calls of this gateway are in local rooms; tokens need rooms: livekit.")
    found = await deps.calls.get_record(call_id)
    if found is None:
        raise no_such_call(call_id)
    if found.outcome is not None:
        raise ProblemError(HTTPStatus.CONFLICT, f"Call {call_id} is over.")
    return await json_response(_answer, deps.room_tokens.make(call_id, asked))


async def _asked(request: web.Request) -> TokenRequest:
    # Only JSON by name: browsers send that to other sites only with their consent, which nobody gets.
    if request.content_type != "application/json":
        raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send JSON, with Content-Type: application/json.")
    try:
        return TokenRequest.model_validate_json(await request.read())
    except ValidationError as error:
        wrong = [
            f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}"
            for each in error.errors(include_input=False, include_url=False, include_context=False)[:10]
        ]
        raise ProblemError(HTTPStatus.BAD_REQUEST, "; ".join(wrong)) from None
