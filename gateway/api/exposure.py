"""Who may use the API: keys, or checks in place of them on the machine itself. Also security headers for browsers."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Sequence
from http import HTTPStatus
from typing import Protocol
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.api.deps import DEPS
from gateway.api.problems import ProblemError

__all__ = ["ExposureError", "HttpExposure", "authorize", "check_exposure", "is_loopback", "secure_headers"]

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


def check_exposure(settings: HttpExposure) -> None:
    """Raises ExposureError if HTTP would be reachable from other machines without an API key."""
    refuse_exposure(settings.listen.host, len(settings.api_keys))


def refuse_exposure(host: str, keys: int) -> None:
    if not keys and not is_loopback(host):
        raise ExposureError(
            f"http.listen is {host}, which other machines can reach, and http.api_keys is empty: anyone could read "
            "call records and recordings. Set a key, or listen on 127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    """Whether a host is loopback: an IP address such as 127.0.0.1 or ::1, or localhost."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@web.middleware
async def authorize(request: web.Request, handler: Handler) -> web.StreamResponse:
    """401 without a required key. If no keys are set, a web page whose own name resolves to this
    machine (DNS rebinding) must still not read calls, so the Host must be the machine itself."""
    deps = request.app[DEPS]
    path = request.path
    private = path == "/v1" or path.startswith("/v1/") or (path == "/metrics" and deps.protect_metrics)
    if private and deps.api_keys:
        if not _has_key(request.headers.get("Authorization", ""), deps.api_keys):
            raise ProblemError(
                HTTPStatus.UNAUTHORIZED,
                "Requires a header `Authorization: Bearer KEY` with one of the keys in http.api_keys.",
                {"WWW-Authenticate": 'Bearer realm="trunkline"'},
            )
    elif private and not is_loopback(urlsplit(f"//{request.host}").hostname or ""):
        raise ProblemError(
            HTTPStatus.FORBIDDEN, "Without http.api_keys, calls are only available as 127.0.0.1 and localhost."
        )
    return await handler(request)


def _has_key(header: str, keys: Sequence[str]) -> bool:
    """Constant time, whatever the key's length and position."""
    scheme, _, given = header.partition(" ")
    digest = hashlib.sha256(given.strip().encode("utf-8", "surrogateescape")).digest()
    right = 0
    for key in keys:
        right |= hmac.compare_digest(digest, hashlib.sha256(key.encode()).digest())
    return bool(right) and scheme.lower() == "bearer"


async def secure_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Set on every response, including files and errors, unless the handler has set its own value."""
    response.headers["Server"] = "trunkline"  # the default reveals the versions of Python and aiohttp
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
