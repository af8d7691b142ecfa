"""Who may use the API: keys, or checks in place of them on the machine itself. Also security headers for browsers."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Sequence
from http import HTTPStatus
from typing import Protocol
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.api.deps import DEPS, KEYS
from gateway.api.keyring import Holder, KeyRing
from gateway.api.problems import ProblemError
from gateway.keys import Scope, opens

__all__ = [
    "SCOPES",
    "ExposureError",
    "HttpExposure",
    "authorize",
    "check_exposure",
    "is_loopback",
    "owner_of",
    "secure_headers",
]

SCOPES: web.AppKey[dict[tuple[str, str], Scope]] = web.AppKey("scopes", dict)  # method and path of the route

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


class ExposureError(Exception):
    """The settings would expose the API."""


class _Listen(Protocol):
    @property
    def host(self) -> str: ...


class HttpExposure(Protocol):
    """The `http` section of the settings."""

    @property
    def listen(self) -> _Listen: ...

    @property
    def api_keys(self) -> Sequence[object]: ...

    @property
    def require_key(self) -> bool: ...


def check_exposure(settings: HttpExposure) -> None:
    """Raises ExposureError if HTTP would be reachable from other machines without an API key."""
    refuse_exposure(settings.listen.host, keyed=bool(settings.api_keys) or settings.require_key)


def refuse_exposure(host: str, *, keyed: bool) -> None:
    if not keyed and not is_loopback(host):
        raise ExposureError(
            f"http.listen is {host}, which other machines can reach, and http.api_keys is empty: anyone could read "
            "call records and recordings. Set a key, or http.require_key, or listen on 127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    """Whether a host is loopback: an IP address such as 127.0.0.1 or ::1, or localhost."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@web.middleware
async def authorize(request: web.Request, handler: Handler) -> web.StreamResponse:
    """401 without a required key, 403 for a key without the scope, 429 for one over its rate limit. If there are no
    keys, a web page whose own name resolves to this machine (DNS rebinding) must still not read calls, so the Host must
    be the machine itself."""
    path = request.path
    ring = request.app[KEYS]
    metrics = path == "/metrics" and request.app[DEPS].protect_metrics
    if not (path == "/v1" or path.startswith("/v1/") or metrics):
        return await handler(request)
    if await ring.needed():
        holder = await ring.holder(request.headers.get("Authorization", ""))
        if holder is None:
            raise ProblemError(
                HTTPStatus.UNAUTHORIZED,
                "Requires a header `Authorization: Bearer KEY` with a key of http.api_keys or `trunkline keys`.",
                {"WWW-Authenticate": 'Bearer realm="trunkline"'},
                kind="no_key",
            )
        _check(ring, holder, _scope_of(request))
    elif not is_loopback(urlsplit(f"//{request.host}").hostname or ""):
        raise ProblemError(
            HTTPStatus.FORBIDDEN, "Without http.api_keys, calls are only available as 127.0.0.1 and localhost."
        )
    return await handler(request)


async def owner_of(request: web.Request) -> str:
    """The id of the key that an authorized request came with; empty when no key is needed."""
    holder = await request.app[KEYS].holder(request.headers.get("Authorization", ""))
    return "" if holder is None else holder.key_id


def _check(ring: KeyRing, holder: Holder, wanted: Scope | None) -> None:
    wait_s = ring.wait_s(holder)
    if wait_s > 0:
        retry = {"Retry-After": str(math.ceil(wait_s))}
        raise ProblemError(HTTPStatus.TOO_MANY_REQUESTS, "Too many requests with this key.", retry, "rate_limited")
    if wanted is not None and not opens(holder.scopes, wanted):
        challenge = f'Bearer realm="trunkline", error="insufficient_scope", scope="{wanted}"'  # RFC 6750 section 3
        detail = f"The key does not have the scope `{wanted}`."
        raise ProblemError(HTTPStatus.FORBIDDEN, detail, {"WWW-Authenticate": challenge}, kind="missing_scope")


def _scope_of(request: web.Request) -> Scope | None:
    """None: there is nothing at this path, which any key may learn."""
    resource = request.match_info.route.resource
    method = "GET" if request.method == "HEAD" else request.method
    return request.app[SCOPES].get((method, resource.canonical)) if resource is not None else None


async def secure_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Set on every response, including files and errors, unless the handler has set its own value."""
    response.headers["Server"] = "trunkline"  # the default reveals the versions of Python and aiohttp
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
