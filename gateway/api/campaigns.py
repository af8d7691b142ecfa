"""/v1/campaigns and /v1/do-not-call."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from gateway.api.calls import json_response
from gateway.api.deps import DEPS
from gateway.api.parameters import NoQuery, body_of, query_of
from gateway.api.problems import ProblemError
from gateway.campaigns.admin import AttemptRow, CampaignRecord, ContactRow, Decision, Listed, Page
from gateway.campaigns.contacts import BadRow, Columns, contact_of_row
from gateway.campaigns.order import CampaignOrder
from gateway.campaigns.service import CampaignRefused, CampaignService
from gateway.campaigns.zones import BadNumber, number_of

__all__ = [
    "AttemptList",
    "CampaignList",
    "ContactList",
    "ContactsAdded",
    "ContactsRequest",
    "DecisionList",
    "DoNotCallList",
    "DoNotCallRequest",
    "RefusedContact",
    "RowsQuery",
    "TakeOffQuery",
]

_STATUS = {
    "no_such_campaign": HTTPStatus.NOT_FOUND,
    "wrong_state": HTTPStatus.CONFLICT,
    "unknown_rule_set": HTTPStatus.UNPROCESSABLE_ENTITY,
    "unknown_persona": HTTPStatus.UNPROCESSABLE_ENTITY,
    "unknown_queue": HTTPStatus.UNPROCESSABLE_ENTITY,
}
Text = Annotated[str, Field(max_length=1000)]
NumberText = Annotated[str, Field(max_length=40)]
MOST_CONTACTS, MOST_NUMBERS = 200, 1000  # in a request, which has 64 KiB
Result = TypeVar("Result")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RowsQuery(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(default=200, ge=1, le=1000, description="Rows per page.")
    cursor: Annotated[str, Field(pattern=r"^\+?[0-9]{1,18}$")] | None = Field(
        default=None, description="`next_cursor` of the previous page."
    )


class TakeOffQuery(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    list: Annotated[str, Field(min_length=1, max_length=64)] = Field(default="own", description="The list's name.")
    campaign_id: Annotated[str, Field(max_length=128)] = Field(
        default="", description="If it is for one campaign only."
    )


class GivenContact(BaseModel):
    """One person, as rows of lists: `number`, `number_2`, `key`, `zone`, `consent`, and the campaign's variables."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    numbers: Annotated[tuple[NumberText, ...], Field(min_length=1, max_length=5)] = Field(
        description="In the order in which they are called."
    )
    key: Annotated[str, Field(max_length=200)] = Field(
        default="", description="Unique in the campaign. Default: the first number."
    )
    zone: Annotated[str, Field(max_length=64)] = Field(
        default="", description="The person's time zone, as IANA names it."
    )
    consent: Annotated[str, Field(max_length=64)] = Field(default="", description="The basis for calling them.")
    variables: dict[str, Text] = Field(
        default={}, max_length=50, description="What the campaign's `variables` ask for."
    )


class ContactsRequest(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "contacts": [
                        {"numbers": ["+15551234567"], "key": "4711", "consent": "consent", "variables": {"name": "Ada"}}
                    ]
                }
            ]
        },
    )

    contacts: Annotated[tuple[GivenContact, ...], Field(min_length=1, max_length=MOST_CONTACTS)]
    region: Annotated[str, Field(pattern=r"^([A-Z]{2})?$")] = Field(
        default="", description="The country of numbers without one, as ISO 3166."
    )
    replace: bool = Field(default=False, description="Contacts whose key is there already are replaced.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedContact:
    """`place`: in the request, from 0."""

    place: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactsAdded:
    """`double`: those whose key was there already."""

    added: int
    double: int
    refused: tuple[RefusedContact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignList:
    campaigns: tuple[CampaignRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactList:
    contacts: tuple[ContactRow, ...]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptList:
    attempts: tuple[AttemptRow, ...]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DoNotCallList:
    numbers: tuple[Listed, ...]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionList:
    decisions: tuple[Decision, ...]


class DoNotCallRequest(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra={"examples": [{"numbers": ["+15551234567"], "list": "own"}]}
    )

    numbers: Annotated[tuple[NumberText, ...], Field(min_length=1, max_length=MOST_NUMBERS)]
    list: Annotated[str, Field(min_length=1, max_length=64)] = Field(default="own", description="The list's name.")
    campaign_id: Annotated[str, Field(max_length=128)] = Field(default="", description="For this campaign only.")
    region: Annotated[str, Field(pattern=r"^([A-Z]{2})?$")] = ""
    source: Annotated[str, Field(max_length=200)] = Field(default="REST", description="Who or what put them there.")


_record, _list = TypeAdapter(CampaignRecord), TypeAdapter(CampaignList)


def _service(request: web.Request) -> CampaignService:
    service = request.app[DEPS].campaigns
    if service is None:
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "The gateway has no store for campaigns.", kind="no_store")
    return service


async def _asked(request: web.Request) -> tuple[CampaignService, str]:
    """And that there is such a campaign."""
    service, campaign_id = _service(request), _id(request)
    await _told(service.found(campaign_id))
    return service, campaign_id


def _id(request: web.Request) -> str:
    campaign_id = request.match_info["campaign_id"]
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,128}", campaign_id):
        raise ProblemError(HTTPStatus.BAD_REQUEST, "A campaign's ID has letters, digits, `_` and `-`.")
    return campaign_id


async def _told(work: Awaitable[Result]) -> Result:
    try:
        return await work
    except CampaignRefused as refused:
        raise ProblemError(_STATUS[refused.kind], str(refused), kind=refused.kind) from None


# --- campaigns --------------------------------------------------------------------------------------------------------


async def campaigns(request: web.Request) -> web.Response:
    query_of(request, NoQuery)
    return await json_response(_list, CampaignList(campaigns=await _service(request).admin.list()))


async def create(request: web.Request) -> web.Response:
    query_of(request, NoQuery)
    order = await body_of(request, CampaignOrder, checked=True)
    record = await _told(_service(request).create(order))
    answer = await json_response(_record, record)
    answer.set_status(HTTPStatus.CREATED)
    answer.headers["Location"] = f"/v1/campaigns/{record.campaign_id}"
    return answer


async def campaign(request: web.Request) -> web.Response:
    query_of(request, NoQuery)
    return await json_response(_record, await _told(_service(request).found(_id(request))))


async def delete(request: web.Request) -> web.Response:
    query_of(request, NoQuery)
    service, campaign_id = await _asked(request)
    record = await _told(service.found(campaign_id))
    if not await service.admin.delete(campaign_id):
        detail = f"Campaign {campaign_id} is {record.state}: stop it, and let its calls end."
        raise ProblemError(HTTPStatus.CONFLICT, detail, kind="wrong_state")
    return await json_response(_record, record)


def mover(verb: str) -> Handler:
    async def move(request: web.Request) -> web.Response:
        query_of(request, NoQuery)
        reason = "by hand" if verb == "pause" else ""
        return await json_response(_record, await _told(_service(request).move(_id(request), verb, reason)))

    return move


start, pause, resume, finish, stop = (mover(verb) for verb in ("start", "pause", "resume", "finish", "stop"))


# --- contacts and attempts --------------------------------------------------------------------------------------------


async def contacts(request: web.Request) -> web.Response:
    asked = query_of(request, RowsQuery)
    service, campaign_id = await _asked(request)
    page: Page = await service.admin.contacts(campaign_id, asked.limit, asked.cursor)
    return await json_response(
        TypeAdapter(ContactList), ContactList(contacts=tuple(page.rows), next_cursor=page.next_cursor)
    )


async def add_contacts(request: web.Request) -> web.Response:
    query_of(request, NoQuery)
    given = await body_of(request, ContactsRequest)
    service, campaign_id = await _asked(request)
    order = (await _told(service.found(campaign_id))).order
    made, refused = [], []
    for place, each in enumerate(given.contacts):
        try:
            made.append(_contact(each, given.region, order))
        except BadRow as error:
            refused.append(RefusedContact(place=place, reason=str(error)))
    added = await service.admin.add(campaign_id, made, datetime.now(UTC), replace=given.replace)
    service.changed()
    answer = ContactsAdded(added=added, double=len(made) - added, refused=tuple(refused))
    return await json_response(TypeAdapter(ContactsAdded), answer)


def _contact(given: GivenContact, region: str, order: CampaignOrder) -> Any:
    """By the same rules as a list's row. Raises BadRow."""
    unknown = set(given.variables) - set(order.variables)
    if unknown:
        raise BadRow(f"the campaign has no variable {', '.join(sorted(unknown))[:200]}")
    names = list(given.variables)
    row = [given.key, given.zone, given.consent, *given.numbers, *(given.variables[name] for name in names)]
    first = 3 + len(given.numbers)
    columns = Columns(0, tuple(range(3, first)), 1, 2, {name: first + at for at, name in enumerate(names)}, region)
    return contact_of_row(row, columns, order)


async def forget(request: web.Request) -> web.Response:
    query_of(request, NoQuery)
    service, campaign_id = await _asked(request)
    key = request.match_info["key"]
    if not await service.admin.forget(campaign_id, key):
        raise ProblemError(HTTPStatus.NOT_FOUND, f"Campaign {campaign_id} has no such contact.", kind="no_such_contact")
    return await json_response(TypeAdapter(ContactsAdded), ContactsAdded(added=0, double=0, refused=()))


async def attempts(request: web.Request) -> web.Response:
    asked = query_of(request, RowsQuery)
    service, campaign_id = await _asked(request)
    page: Page = await service.admin.attempts(campaign_id, asked.limit, asked.cursor)
    return await json_response(
        TypeAdapter(AttemptList), AttemptList(attempts=tuple(page.rows), next_cursor=page.next_cursor)
    )


async def results(request: web.Request) -> web.StreamResponse:
    """All attempts as CSV, as a stream."""
    query_of(request, NoQuery)
    service, campaign_id = await _asked(request)
    response = web.StreamResponse(headers={"Content-Type": "text/csv; charset=utf-8"})
    await response.prepare(request)
    names = list(AttemptRow.__dataclass_fields__)
    await response.write(_csv([names]))
    cursor: str | None = None
    while True:
        page: Page = await service.admin.attempts(campaign_id, 1000, cursor)
        await response.write(_csv([[_cell(getattr(row, name)) for name in names] for row in page.rows]))
        cursor = page.next_cursor
        if cursor is None:
            await response.write_eof()
            return response


def _csv(rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _cell(value: Any) -> str:
    """What a spreadsheet would run as a formula is text to it."""
    if isinstance(value, datetime):
        return value.isoformat()
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"'{text}" if text[:1] in ("=", "@", "-", "\t") else text


# --- who is not to be called ------------------------------------------------------------------------------------------


async def listed(request: web.Request) -> web.Response:
    asked = query_of(request, RowsQuery)
    page: Page = await _service(request).admin.listed(asked.limit, asked.cursor)
    answer = DoNotCallList(numbers=tuple(page.rows), next_cursor=page.next_cursor)
    return await json_response(TypeAdapter(DoNotCallList), answer)


async def keep_off(request: web.Request) -> web.Response:
    query_of(request, NoQuery)
    given = await body_of(request, DoNotCallRequest)
    made, refused = [], []
    for place, text in enumerate(given.numbers):
        try:
            number = number_of(text, given.region).number
        except BadNumber as error:
            refused.append(RefusedContact(place=place, reason=str(error)))
            continue
        made.append(
            Listed(
                number=number, list=given.list, campaign_id=given.campaign_id, added_at=datetime.now(UTC),
                source=given.source,
            )
        )  # fmt: skip
    added = await _service(request).admin.keep_off(made)
    answer = ContactsAdded(added=added, double=len(made) - added, refused=tuple(refused))
    return await json_response(TypeAdapter(ContactsAdded), answer)


async def take_off(request: web.Request) -> web.Response:
    asked = query_of(request, TakeOffQuery)
    number = _number(request)
    if not await _service(request).admin.take_off(number, asked.list, asked.campaign_id):
        raise ProblemError(HTTPStatus.NOT_FOUND, f"{number} is not on that list.", kind="no_such_contact")
    return await json_response(TypeAdapter(ContactsAdded), ContactsAdded(added=0, double=0, refused=()))


async def decisions(request: web.Request) -> web.Response:
    query_of(request, NoQuery)
    found = await _service(request).admin.decisions(_number(request))
    return await json_response(TypeAdapter(DecisionList), DecisionList(decisions=found))


def _number(request: web.Request) -> str:
    number = request.match_info["number"]
    if not re.fullmatch(r"\+[0-9]{5,15}", number):
        raise ProblemError(HTTPStatus.BAD_REQUEST, "A number is E.164, with its `+`.")
    return number
