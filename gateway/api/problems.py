"""Errors as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Annotated

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import WithJsonSchema

from gateway.api.problem_kinds import KINDS, PREFIX
from gateway.store import StoreUnavailable

__all__ = ["Problem", "ProblemError", "problem_response", "problems"]

log = structlog.get_logger(__name__)


_TYPES = ["about:blank", *(f"{PREFIX}{kind}" for kind in KINDS)]
ProblemType = Annotated[str, WithJsonSchema({"type": "string", "enum": _TYPES})]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """`type` is for programs: `urn:trunkline:problem:` and the kind, or `about:blank` if the status says everything.
    `title` is the HTTP status in words, `detail` says what is wrong with this request."""

    type: ProblemType
    title: str
    status: int
    detail: str


class ProblemError(Exception):
    """Raised by handlers: answered with `status` and a Problem. `detail` is shown to the client. `kind`: one word for
    programs, as in no_such_call."""

    def __init__(self, status: HTTPStatus, detail: str, headers: dict[str, str] | None = None, kind: str = "") -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers, self.kind = status, detail, headers or {}, kind


def problem_response(status: int, detail: str, headers: dict[str, str] | None = None, kind: str = "") -> web.Response:
    of_type = f"{PREFIX}{kind}" if kind else "about:blank"
    body = asdict(Problem(type=of_type, title=HTTPStatus(status).phrase, status=status, detail=detail))
    return web.Response(status=status, text=json.dumps(body), content_type="application/problem+json", headers=headers)


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns a handler's errors into problem responses; unexpected ones are logged and not shown."""
    try:
        return await handler(request)
    except ProblemError as error:
        return problem_response(error.status, error.detail, error.headers, error.kind)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        return problem_response(error.status, _explained(request, error), allow)
    except StoreUnavailable as error:
        log.warning("store_unavailable", path=request.path, error=str(error))
        return problem_response(503, "The call records cannot be read just now.", {"Retry-After": "2"}, "no_store")
    except Exception:  # the boundary: a handler's bug must not reveal internals to a client
        log.exception("request_failed", method=request.method, path=request.path)
        return problem_response(500, "Internal error; see the gateway's log.")


def _explained(request: web.Request, error: web.HTTPException) -> str:
    match error.status:
        case 404:
            return f"Nothing found at {request.path[:200]}."
        case 405:
            return f"{request.method} is not allowed here."
        case 413:
            return "The request is too large."
        case _:
            return error.reason
