"""GET /v1/phones: the phones of the settings, and which devices are registered."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web
from pydantic import TypeAdapter

from gateway.api.calls import json_response
from gateway.api.deps import DEPS
from gateway.api.parameters import NoQuery, query_of
from gateway.phones.registry import PhoneReport

__all__ = ["PhoneList", "phones"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneList:
    phones: tuple[PhoneReport, ...]


_answer = TypeAdapter(PhoneList)


async def phones(request: web.Request) -> web.Response:
    query_of(request, NoQuery)
    return await json_response(_answer, PhoneList(phones=request.app[DEPS].phones()))
