"""Commands for a live call: DELETE /v1/calls/{id}, and POST …/say, …/digits, …/hold, …/resume, …/mute, …/unmute."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Literal

from aiohttp import web
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, TypeAdapter

from gateway.api.calls import json_response, no_such_call
from gateway.api.deps import DEPS, ApiDeps
from gateway.api.parameters import HangUpQuery, NoQuery, body_of, call_id_of, query_of
from gateway.api.problems import ProblemError
from gateway.calls.verbs import DigitsOrder, Voice
from gateway.outbound.order import whole
from gateway.steering import CannotSteer, Steering
from telephony.call import DigitSource

__all__ = [
    "DigitsRequest",
    "MuteRequest",
    "SayRequest",
    "Steered",
    "hang_up",
    "hold",
    "mute",
    "pause_recording",
    "problem_of",
    "resume",
    "resume_recording",
    "say",
    "send_digits",
    "unmute",
]


class SayRequest(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, json_schema_extra={"examples": [{"text": "One moment, please."}]}
    )

    text: Annotated[str, StringConstraints(strip_whitespace=True)] = Field(
        min_length=1,
        max_length=4000,
        pattern=r"\S",
        description="What the agent is to say, after its current speech.",
    )
    allow_interruptions: bool = Field(default=True, description="Whether the caller may interrupt it.")


class DigitsRequest(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        json_schema_extra={"examples": [{"digits": "12w#"}, {"digits": "W4711#", "way": "inband", "duration_ms": 200}]},
    )

    digits: str = Field(
        pattern=r"^[0-9*#A-DwW]{1,64}$",
        description="Keys to press, one after the other; `w` is a pause of half a second, `W` one of a second.",
    )
    way: Literal["rfc4733", "info", "inband"] | None = Field(
        default=None,
        description="As RFC 4733 events, by SIP INFO, or as tones in place of the agent's audio. Not given: the "
        "trunk's `dtmf`, else events if they were agreed on, else tones.",
    )
    leg: str | None = Field(
        default=None, min_length=1, max_length=64, description="The leg's ID. Not given: the customer's."
    )
    duration_ms: Annotated[int, Field(ge=40, le=8000), BeforeValidator(whole)] = Field(
        default=160, description="How long each key is pressed."
    )


class MuteRequest(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, json_schema_extra={"examples": [{"who": "agent"}]}
    )

    who: Literal["agent", "caller"] = Field(
        description="`agent`: the caller does not hear it; `caller`: the agent does not hear them."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Steered:
    """The call is carrying it out. The result is in its events and its record."""

    call_id: str


_steered = TypeAdapter(Steered)
_STATUS = {
    "not_live": HTTPStatus.GONE,
    "unknown_leg": HTTPStatus.NOT_FOUND,
    "invalid_target": HTTPStatus.UNPROCESSABLE_ENTITY,
    "no_trunk": HTTPStatus.UNPROCESSABLE_ENTITY,
    "unknown_queue": HTTPStatus.UNPROCESSABLE_ENTITY,
    "invalid_number": HTTPStatus.UNPROCESSABLE_ENTITY,
    "no_privacy": HTTPStatus.UNPROCESSABLE_ENTITY,
    "closed_destination": HTTPStatus.FORBIDDEN,
    "caller_not_allowed": HTTPStatus.FORBIDDEN,
    "no_answer": HTTPStatus.SERVICE_UNAVAILABLE,
    "no_slot": HTTPStatus.SERVICE_UNAVAILABLE,
    "not_registered": HTTPStatus.SERVICE_UNAVAILABLE,
    "trunk_full": HTTPStatus.SERVICE_UNAVAILABLE,
    "draining": HTTPStatus.SERVICE_UNAVAILABLE,
    "failed": HTTPStatus.SERVICE_UNAVAILABLE,
}


async def hang_up(request: web.Request) -> web.Response:
    asked = query_of(request, HangUpQuery)
    return await _steer(request, lambda steering, call_id: steering.hang_up(call_id, goodbye=asked.goodbye))


async def say(request: web.Request) -> web.Response:
    query_of(request, NoQuery)
    asked = await body_of(request, SayRequest)
    how = asked.allow_interruptions
    return await _steer(request, lambda steering, call_id: steering.say(call_id, asked.text, allow_interruptions=how))


async def send_digits(request: web.Request) -> web.Response:
    query_of(request, NoQuery)
    asked = await body_of(request, DigitsRequest)
    way = None if asked.way is None else DigitSource(asked.way)
    order = DigitsOrder(asked.digits, asked.leg or "", way, asked.duration_ms)
    return await _steer(request, lambda steering, call_id: steering.send_digits(call_id, order))


async def hold(request: web.Request) -> web.Response:
    query_of(request, NoQuery)
    return await _steer(request, lambda steering, call_id: steering.hold(call_id))


async def resume(request: web.Request) -> web.Response:
    query_of(request, NoQuery)
    return await _steer(request, lambda steering, call_id: steering.resume(call_id))


async def pause_recording(request: web.Request) -> web.Response:
    query_of(request, NoQuery)
    return await _steer(request, lambda steering, call_id: steering.pause_recording(call_id, paused=True))


async def resume_recording(request: web.Request) -> web.Response:
    query_of(request, NoQuery)
    return await _steer(request, lambda steering, call_id: steering.pause_recording(call_id, paused=False))


async def mute(request: web.Request) -> web.Response:
    return await _mute(request, muted=True)


async def unmute(request: web.Request) -> web.Response:
    return await _mute(request, muted=False)


async def _mute(request: web.Request, *, muted: bool) -> web.Response:
    query_of(request, NoQuery)
    who = Voice((await body_of(request, MuteRequest)).who)
    return await _steer(request, lambda steering, call_id: steering.mute(call_id, who, muted=muted))


async def _steer(request: web.Request, tell: Callable[[Steering, str], Awaitable[None]]) -> web.Response:
    deps = request.app[DEPS]
    call_id = call_id_of(request)
    try:
        await tell(deps.steering, call_id)
    except CannotSteer as error:
        raise await problem_of(deps, call_id, error) from None
    return await json_response(_steered, Steered(call_id=call_id))


async def problem_of(deps: ApiDeps, call_id: str, error: CannotSteer) -> Exception:
    """The answer to the requester."""
    if error.kind == "not_live" and await deps.calls.get_record(call_id) is None:
        return no_such_call(call_id)
    status = _STATUS.get(error.kind, HTTPStatus.CONFLICT)
    retry = {"Retry-After": "1"} if status is HTTPStatus.SERVICE_UNAVAILABLE else None
    return ProblemError(status, str(error), retry, kind=error.kind)
