"""POST /v1/calls: place a call, once for each `Idempotency-Key`."""

from __future__ import annotations

import secrets
from http import HTTPStatus

from aiohttp import web
from pydantic import TypeAdapter

from gateway.api.deps import DEPS, ApiDeps
from gateway.api.exposure import owner_of
from gateway.api.idempotency import Answer, Interrupted, answer_once, key_of
from gateway.api.parameters import NoQuery, body_of, query_of
from gateway.api.problems import ProblemError
from gateway.events.following import follow_call
from gateway.outbound.order import CallOrder, OrderRefused
from gateway.record import CallRecord

__all__ = ["place"]

_record = TypeAdapter(CallRecord)
_STATUS = {
    "invalid_number": HTTPStatus.UNPROCESSABLE_ENTITY,
    "unknown_persona": HTTPStatus.UNPROCESSABLE_ENTITY,
    "no_trunk": HTTPStatus.UNPROCESSABLE_ENTITY,
    "invalid_message": HTTPStatus.UNPROCESSABLE_ENTITY,
    "invalid_target": HTTPStatus.UNPROCESSABLE_ENTITY,
    "invalid_variable": HTTPStatus.UNPROCESSABLE_ENTITY,
    "no_privacy": HTTPStatus.UNPROCESSABLE_ENTITY,
    "caller_not_allowed": HTTPStatus.FORBIDDEN,
    "closed_webhook": HTTPStatus.UNPROCESSABLE_ENTITY,
    "closed_destination": HTTPStatus.FORBIDDEN,
}


async def place(request: web.Request) -> web.Response:
    """202 with the initial record; the call's progress is in events and the record."""
    query_of(request, NoQuery)
    order = await body_of(request, CallOrder)
    deps = request.app[DEPS]
    call_id = secrets.token_hex(8)
    key = key_of(request)
    if key is None:
        answer = await _placed(deps, order, call_id)
    else:
        owner, asked = await owner_of(request), b"POST /v1/calls " + await request.read()
        try:
            answer = await answer_once(
                deps.attempts, lambda: _placed(deps, order, call_id), owner=owner, key=key, request=asked,
                reference=call_id,
            )  # fmt: skip
        except Interrupted as interrupted:
            answer = await _begun(deps, interrupted.reference)
    headers = {"Location": answer.location} | ({"Idempotent-Replayed": "true"} if answer.repeated else {})
    return web.Response(status=answer.status, text=answer.body, content_type="application/json", headers=headers)


async def _placed(deps: ApiDeps, order: CallOrder, call_id: str) -> Answer:
    """Raises ProblemError if nothing was dialled."""
    try:
        follow_call(deps.webhooks, order, call_id)
        return _answer(await deps.originator.place(order, call_id))
    except OrderRefused as refused:
        deps.webhooks.unfollow(call_id)
        status = _STATUS.get(refused.kind, HTTPStatus.SERVICE_UNAVAILABLE)
        retry = {"Retry-After": "5"} if refused.retryable else None
        raise ProblemError(status, str(refused), retry, kind=refused.kind) from None


async def _begun(deps: ApiDeps, call_id: str) -> Answer:
    """The first gateway ended before it answered; the record shows whether the call was placed."""
    record = await deps.calls.get_record(call_id)
    if record is None:
        detail = "The gateway that was asked first ended before it answered, and has no record of the call."
        raise ProblemError(HTTPStatus.CONFLICT, detail, kind="not_placed")
    return _answer(record)


def _answer(record: CallRecord) -> Answer:
    body = _record.dump_json(record, warnings=False).decode()
    return Answer(HTTPStatus.ACCEPTED, body, f"/v1/calls/{record.call_id}")
