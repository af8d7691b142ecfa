"""The models that validate requests; OpenAPI is generated from them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal, TypeVar

from aiohttp import web
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from gateway.api.problems import ProblemError
from gateway.record import Outcome
from gateway.store.queries import CURSOR
from telephony.media.answering.model import AnsweredBy

__all__ = [
    "CALL_ID",
    "EventsQuery",
    "HangUpQuery",
    "ListQuery",
    "NoQuery",
    "PageQuery",
    "TranscriptQuery",
    "body_of",
    "call_id_of",
    "query_of",
]

CALL_ID = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$"
Model = TypeVar("Model", bound=BaseModel)


def _plus(value: Any) -> Any:
    """`+` in a query string means a space: `called=+1555` is a number all the same."""
    return f"+{value[1:]}" if isinstance(value, str) and value.startswith(" ") else value


def _iso(value: Any) -> Any:
    """ISO 8601, and not a number of seconds; in a query string `+` means a space."""
    if isinstance(value, str) and not re.match(r"\d{4}-\d\d-\d\d[Tt ]\d\d:", value):
        raise ValueError("write it as in 2026-11-20T00:00:00Z")
    return re.sub(r" (\d\d:?\d\d)$", r"+\1", value) if isinstance(value, str) else value


def _in_range(at: datetime) -> datetime:
    """In UTC, which may be out of range near the first and last day of the calendar."""
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time is out of range") from None


Number = Annotated[str, BeforeValidator(_plus), Field(min_length=1, max_length=256)]
Moment = Annotated[AwareDatetime, BeforeValidator(_iso), AfterValidator(_in_range)]


Cursor = Annotated[str, Field(pattern=CURSOR)]


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NoQuery(_Query):
    """Takes no parameters."""


class ListQuery(_Query):
    called: Number | None = Field(default=None, description="The called number, as recorded.")
    caller: Number | None = Field(default=None, description="The caller's number, as recorded.")
    outcome: Outcome | None = Field(default=None, description="The outcome of the attempt.")
    persona: str | None = Field(default=None, min_length=1, max_length=256, description="The persona that answered.")
    answered_by: AnsweredBy | None = Field(default=None, description="Who answered a call that was placed.")
    since: Moment | None = Field(default=None, description="Started at or after: ISO 8601 with a time zone.")
    until: Moment | None = Field(default=None, description="Started before: ISO 8601 with a time zone.")
    limit: int = Field(default=50, ge=1, le=200, description="Calls per page.")
    cursor: Cursor | None = Field(default=None, description="`next_cursor` of the previous page.")


class PageQuery(_Query):
    limit: int = Field(default=200, ge=1, le=200, description="Calls per page.")
    cursor: Cursor | None = Field(default=None, description="`next_cursor` of the previous page.")


class EventsQuery(_Query):
    types: Annotated[str, Field(pattern=r"^[a-z_.*]+(,[a-z_.*]+)*$", max_length=512)] = Field(
        default="*", description="Which events, with commas between them: `call.ended`, `call.*`."
    )
    call_id: Annotated[str, Field(pattern=CALL_ID)] | None = Field(default=None, description="Of this call only.")


class HangUpQuery(_Query):
    goodbye: bool = Field(default=False, description="Whether the agent says its farewell first.")


class TranscriptQuery(_Query):
    format: Literal["json", "text"] = Field(default="json", description="JSON, or one line per entry.")


def query_of(request: web.Request, model: type[Model]) -> Model:
    """The query string as `model`. Raises ProblemError 400 naming each unknown, invalid or repeated parameter."""
    given = request.query
    repeated = sorted({name for name in given if len(given.getall(name)) > 1})
    if repeated:
        raise ProblemError(HTTPStatus.BAD_REQUEST, f"Given more than once: {', '.join(repeated)[:200]}.")
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        known = ", ".join(model.model_fields) or "none"
        wrong = [
            f"unknown parameter {str(each['loc'][0])[:50]!r} (known are: {known})"
            if each["type"] == "extra_forbidden"
            else f"{each['loc'][0]}: {each['msg']}"
            for each in error.errors(include_input=False, include_url=False, include_context=False)[:10]
        ]
        raise ProblemError(HTTPStatus.BAD_REQUEST, "; ".join(wrong)) from None


async def body_of(request: web.Request, model: type[Model], *, checked: bool = False) -> Model:
    """The body as `model`. Raises ProblemError 415 for what is not called JSON, 400 naming each field that is wrong.
    `checked`: what its own checks refuse, which no schema says, is 422."""
    # Browsers send JSON by name to other sites only with their consent, which nobody gets.
    if request.content_type != "application/json":
        raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send JSON, with Content-Type: application/json.")
    try:
        return model.model_validate_json(await request.read())
    except ValidationError as error:
        wrong = [
            f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}"
            for each in error.errors(include_input=False, include_url=False, include_context=False)[:10]
        ]
        if checked and any(each["type"] == "value_error" for each in error.errors()):
            raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(wrong), kind="contradiction") from None
        raise ProblemError(HTTPStatus.BAD_REQUEST, "; ".join(wrong)) from None


def call_id_of(request: web.Request) -> str:
    """Raises ProblemError 400 for an invalid call ID."""
    call_id = request.match_info["call_id"]
    if not re.fullmatch(CALL_ID, call_id):
        raise ProblemError(
            HTTPStatus.BAD_REQUEST, "A call ID consists of at most 128 letters, digits, `_`, `.` and `-`."
        )
    return call_id
