"""/v1/queues: human queues, their members and those who wait."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, TypeAdapter

from gateway.api.calls import json_response
from gateway.api.deps import DEPS
from gateway.api.parameters import NoQuery, body_of, call_id_of, query_of
from gateway.api.problems import ProblemError
from gateway.api.transferring import SkillLevel, SkillName
from gateway.config.queues import NAME, TARGET
from gateway.outbound.order import whole
from gateway.queues.desk import CallerReport, MemberReport, NewMember, NoSuch, QueueReport, Queues

__all__ = [
    "CallerRequest",
    "MemberList",
    "MemberReport",
    "MemberRequest",
    "PauseRequest",
    "QueueDetail",
    "QueueList",
    "move_caller",
    "pause",
    "put_member",
    "queue",
    "queue_members",
    "queues",
    "ready",
    "remove_caller",
    "remove_member",
    "resume",
    "sign_in",
    "sign_out",
]

Name = Annotated[str, StringConstraints(pattern=NAME)]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueList:
    queues: tuple[QueueReport, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberList:
    members: tuple[MemberReport, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueDetail:
    """`callers`: in the order of the queue, callbacks among them."""

    queue: QueueReport
    members: tuple[MemberReport, ...]
    callers: tuple[CallerReport, ...]


Whole = Annotated[int, BeforeValidator(whole)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class MemberRequest(_Request):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "carla", "target": "+15557000003", "skills": {"german": 3}}]}
    )

    name: Name = Field(description="The member's. One who is there already is changed.")
    target: Annotated[str, StringConstraints(pattern=TARGET, max_length=256)] = Field(
        description="Whom to ring: `phone:NAME`, a number, `sip:` or `tel:`."
    )
    penalty: Whole = Field(default=0, ge=0, le=1000, description="Those with the lowest are offered callers first.")
    weight: Whole = Field(default=1, ge=1, le=1000, description="Share of the callers, for the strategy `weighted`.")
    skills: dict[SkillName, Annotated[SkillLevel, BeforeValidator(whole)]] = Field(
        default={},
        max_length=32,
        json_schema_extra={"additionalProperties": False},
        description="What they can do, with levels.",
    )
    calls_at_once: Whole = Field(default=1, ge=1, le=20, description="How many callers they may have at once.")


class PauseRequest(_Request):
    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "lunch"}]})

    reason: Annotated[str, StringConstraints(strip_whitespace=True)] = Field(
        min_length=1, max_length=100, description="Shown with the member until they resume."
    )


class CallerRequest(_Request):
    model_config = ConfigDict(json_schema_extra={"examples": [{"priority": 10}]})

    priority: Whole = Field(ge=-1000, le=1000, description="Higher goes first.")


_list = TypeAdapter(QueueList)
_detail = TypeAdapter(QueueDetail)
_members = TypeAdapter(MemberList)
_member = TypeAdapter(MemberReport)
Does = Callable[[Queues, str, str], Awaitable[MemberReport]]


async def queues(request: web.Request) -> web.Response:
    query_of(request, NoQuery)
    return await json_response(_list, QueueList(queues=await request.app[DEPS].queues.all()))


async def queue(request: web.Request) -> web.Response:
    query_of(request, NoQuery)
    report, members, callers = await _tried(request.app[DEPS].queues.one(_name(request, "queue")))
    return await json_response(_detail, QueueDetail(queue=report, members=members, callers=callers))


async def queue_members(request: web.Request) -> web.Response:
    query_of(request, NoQuery)
    _, members, _ = await _tried(request.app[DEPS].queues.one(_name(request, "queue")))
    return await json_response(_members, MemberList(members=members))


async def put_member(request: web.Request) -> web.Response:
    """Adds one, or changes them."""
    query_of(request, NoQuery)
    asked, name = await body_of(request, MemberRequest), _name(request, "queue")
    new = NewMember(asked.name, asked.target, asked.penalty, asked.weight, asked.skills, asked.calls_at_once)
    return await json_response(_member, await _tried(request.app[DEPS].queues.put_member(name, new)))


async def remove_member(request: web.Request) -> web.Response:
    query_of(request, NoQuery)
    await _tried(request.app[DEPS].queues.remove_member(_name(request, "queue"), _name(request, "member")))
    return web.Response(status=HTTPStatus.NO_CONTENT)


async def sign_in(request: web.Request) -> web.Response:
    return await _done(request, lambda queues, queue, member: queues.sign(queue, member, signed_in=True))


async def sign_out(request: web.Request) -> web.Response:
    return await _done(request, lambda queues, queue, member: queues.sign(queue, member, signed_in=False))


async def pause(request: web.Request) -> web.Response:
    asked = await body_of(request, PauseRequest)
    return await _done(request, lambda queues, queue, member: queues.pause(queue, member, asked.reason))


async def resume(request: web.Request) -> web.Response:
    return await _done(request, lambda queues, queue, member: queues.pause(queue, member, ""))


async def ready(request: web.Request) -> web.Response:
    """The member is done with their wrap-up."""
    return await _done(request, lambda queues, queue, member: queues.wrapped_up(queue, member))


async def move_caller(request: web.Request) -> web.Response:
    query_of(request, NoQuery)
    asked = await body_of(request, CallerRequest)
    call_id, name, found = call_id_of(request), _name(request, "queue"), request.app[DEPS].queues
    await _tried(found.prioritise(name, call_id, asked.priority))
    return web.Response(status=HTTPStatus.NO_CONTENT)


async def remove_caller(request: web.Request) -> web.Response:
    """They are told so, and are with the agent again."""
    query_of(request, NoQuery)
    await _tried(request.app[DEPS].queues.remove_caller(_name(request, "queue"), call_id_of(request)))
    return web.Response(status=HTTPStatus.NO_CONTENT)


async def _done(request: web.Request, does: Does) -> web.Response:
    query_of(request, NoQuery)
    report = await _tried(does(request.app[DEPS].queues, _name(request, "queue"), _name(request, "member")))
    return await json_response(_member, report)


async def _tried(work: Awaitable[Any]) -> Any:
    """Raises ProblemError."""
    try:
        return await work
    except NoSuch as error:
        raise ProblemError(HTTPStatus.NOT_FOUND, str(error), kind=error.kind) from None


def _name(request: web.Request, part: str) -> str:
    """Raises ProblemError."""
    name = request.match_info[part]
    if not re.fullmatch(NAME, name):
        raise ProblemError(
            HTTPStatus.BAD_REQUEST, f"A {part}'s name consists of at most 64 letters, digits, `_` and `-`."
        )
    return name
