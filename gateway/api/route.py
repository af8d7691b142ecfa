"""One path of the API, as the application serves it and OpenAPI describes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web
from pydantic import BaseModel

from gateway.api.parameters import NoQuery
from gateway.keys import Scope

__all__ = ["Header", "Route"]


@dataclass(frozen=True, slots=True)
class Header:
    """`pattern`: of what is taken."""

    text: str
    pattern: str
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """`answers`: content type -> model of the body (None: not JSON). `body`: model of a POST's JSON body. `errors`:
    status -> when. `headers`: those that a request may have."""

    path: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    summary: str
    answers: Mapping[str, type[Any] | None]
    query: type[BaseModel] = NoQuery
    errors: Mapping[int, str] = field(default_factory=dict)
    headers: Mapping[str, Header] = field(default_factory=dict)
    method: Literal["GET", "POST", "DELETE"] = "GET"
    body: type[BaseModel] | None = None
    status: int = 200  # of the answer

    @property
    def scope(self) -> Scope:
        """What a key needs."""
        return Scope.READ if self.method == "GET" else Scope.CALL
