"""POST /v1/calls/{id}/collect: ask the caller of a live call for digits."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, TypeAdapter

from gateway.api.calls import json_response
from gateway.api.deps import DEPS
from gateway.api.parameters import NoQuery, body_of, call_id_of, query_of
from gateway.api.problems import ProblemError
from gateway.api.steering import problem_of
from gateway.calls.collecting import CollectEnd, CollectOrder
from gateway.steering import CannotSteer

__all__ = ["CollectRequest", "DigitsCollected", "collect"]

# JSON Schema's integers may be written as 52.0. Innermost are the bounds: further out they would be left out of it.
_WHOLE = BeforeValidator(lambda value: int(value) if isinstance(value, float) and value.is_integer() else value)
_Count = Annotated[int, Field(ge=1, le=64), _WHOLE]
_Milliseconds = Annotated[int, Field(ge=200, le=60000), _WHOLE]
_Prompt = Annotated[str, StringConstraints(strip_whitespace=True)]


class CollectRequest(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        json_schema_extra={
            "examples": [
                {"prompt": "Please key in or say your order number.", "length": 5},
                {"prompt": "Your PIN, please.", "length": 4, "secret": True, "retries": 1},
            ]
        },
    )

    prompt: _Prompt = Field(min_length=1, max_length=1000, pattern=r"\S", description="What the agent says.")
    length: _Count | None = Field(default=None, description="Exactly so many, in place of `least` and `most`.")
    least: _Count = Field(default=1, description="The least number of digits.")
    most: _Count = Field(default=64, description="The most digits; at so many it is done at once.")
    terminators: str = Field(
        default="#", pattern=r"^[0-9*#A-D]{0,16}$", description="Keys of which each ends the entry."
    )
    first_digit_timeout_ms: _Milliseconds = Field(default=7000, description="Silence; then it asks again.")
    inter_digit_timeout_ms: _Milliseconds = Field(default=3000, description="Longest wait for the next key.")
    secret: bool = Field(
        default=False, description="Masked everywhere but in this answer; the recording is silent meanwhile."
    )
    confirm: bool = Field(default=False, description="Whether it reads them back and asks if they are right.")
    retries: Annotated[int, Field(ge=0, le=10), _WHOLE] = Field(default=2, description="How often it asks again.")
    retry_prompt: _Prompt = Field(default="", max_length=1000, description="What it says then.")
    limit_s: Annotated[int, Field(ge=1, le=300), _WHOLE] = Field(default=60, description="How long all of it may take.")


@dataclass(frozen=True, slots=True, kw_only=True)
class DigitsCollected:
    """`digits` null: the caller gave none that fit. `ended`: by all digits (`full`), a terminator, no further key in
    time (`timeout`), or they were `spoken`; without digits: `no_digits` (all attempts failed, or the caller has none),
    `too_late` (`limit_s`), `handed_over` (to another persona)."""

    call_id: str
    digits: str | None = field(repr=False)
    ended: CollectEnd


_collected = TypeAdapter(DigitsCollected)


async def collect(request: web.Request) -> web.Response:
    """Answered with the digits, at `limit_s` at the latest."""
    query_of(request, NoQuery)
    asked, call_id, deps = await body_of(request, CollectRequest), call_id_of(request), request.app[DEPS]
    if asked.length is None and asked.least > asked.most:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "`least` is above `most`.")
    try:
        found = await deps.steering.collect(call_id, _order(asked))
    except CannotSteer as error:
        raise await problem_of(deps, call_id, error) from None
    answer = DigitsCollected(call_id=call_id, digits=found.digits, ended=found.ended)
    response = await json_response(_collected, answer)
    response.headers["Cache-Control"] = "no-store"
    return response


def _order(asked: CollectRequest) -> CollectOrder:
    return CollectOrder(
        asked.prompt, asked.length or asked.least, asked.length or asked.most, asked.terminators,
        asked.first_digit_timeout_ms, asked.inter_digit_timeout_ms, asked.secret, asked.confirm, asked.retries,
        asked.retry_prompt, asked.limit_s,
    )  # fmt: skip
