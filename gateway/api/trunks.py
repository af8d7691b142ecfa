"""GET /v1/trunks: the state of each trunk."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web
from pydantic import TypeAdapter

from gateway.api.calls import json_response
from gateway.api.deps import DEPS
from gateway.api.parameters import NoQuery, query_of
from gateway.trunk_report import TrunkReport

__all__ = ["TrunkList", "trunks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrunkList:
    trunks: tuple[TrunkReport, ...]


_answer = TypeAdapter(TrunkList)


async def trunks(request: web.Request) -> web.Response:
    query_of(request, NoQuery)
    return await json_response(_answer, TrunkList(trunks=request.app[DEPS].trunks()))
