"""POST /v1/calls/{id}/token: a token with which a person joins a call's LiveKit room from a browser."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Protocol, Self

from aiohttp import web
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from gateway.api.calls import json_response, no_such_call
from gateway.api.deps import DEPS
from gateway.api.parameters import NoQuery, call_id_of, query_of
from gateway.api.problems import ProblemError

__all__ = ["RoomToken", "RoomTokens", "TokenRequest", "token"]


def _not_taken(identity: str) -> str:
    if identity.startswith(("sip_", "agent-")):
        raise ValueError("sip_… and agent-… are for phones and agents")
    return identity


class TokenRequest(BaseModel):
    """Who wants to join, with a microphone or only to listen. `hidden`: the others don't see that somebody listens."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    identity: Annotated[str, AfterValidator(_not_taken)] = Field(
        min_length=1,
        max_length=128,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]*$",
        description="Unique in the room: who joins under a name that is taken puts the other one out. "
        "Not sip_… or agent-…, which are phones and agents.",
    )
    name: str = Field(
        default="", max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$", description="What the others are shown."
    )
    can_publish: bool = Field(default=True, description="Whether they may talk. Who is hidden may not.")
    can_subscribe: bool = Field(default=True, description="Whether they may listen.")
    hidden: bool = Field(default=False, description="Whether the others don't see them.")

    @model_validator(mode="after")
    def _hidden_is_silent(self) -> Self:
        if self.hidden and self.can_publish and "can_publish" in self.model_fields_set:
            raise ValueError("who is hidden may not talk: leave out can_publish, or hidden")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomToken:
    """For LiveKit's client SDKs: connect to `url` with `token` before `expires_at`."""

    url: str
    room: str
    identity: str
    token: str
    expires_at: datetime


class RoomTokens(Protocol):
    """Makes tokens for the room of a call."""

    def make(self, call_id: str, request: TokenRequest) -> RoomToken: ...


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
