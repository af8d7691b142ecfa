"""The aiohttp application: the routes, behind keys and limits."""

from __future__ import annotations

from aiohttp import web

from gateway.api.connections import Connections
from gateway.api.deps import DEPS, KEYS, ApiDeps
from gateway.api.exposure import SCOPES, authorize, secure_headers
from gateway.api.keyring import KeyRing
from gateway.api.openapi import openapi
from gateway.api.problems import problems
from gateway.api.routes import ROUTES
from gateway.keys import Scope

__all__ = ["make_app"]

_ANY_CALL = "{call_id:(?!live(?:/|$))[^{}/]+}"  # `live` is a path of its own
_BODY_LIMIT = 64 * 1024  # bytes; request bodies are a few fields


def make_app(deps: ApiDeps, connections: Connections | None = None) -> web.Application:
    """Raises ValueError for an empty key, which anyone could send."""
    if any(not key.strip() for key in deps.api_keys):
        raise ValueError("an API key is empty")
    connections = Connections() if connections is None else connections
    app = web.Application(
        middlewares=[connections.timely, problems, authorize, connections.whole_body], client_max_size=_BODY_LIMIT
    )
    app[DEPS] = deps
    app[KEYS] = KeyRing(deps.api_keys, deps.keys, always=deps.require_key, rate=deps.key_rate)
    scopes: dict[tuple[str, str], Scope] = {(route.method, route.path): route.scope for route in ROUTES}
    app[SCOPES] = scopes
    app.on_response_prepare.append(secure_headers)
    for route in ROUTES:
        path = route.path.replace("{call_id}", _ANY_CALL)
        if route.method == "GET":
            app.router.add_get(path, route.handler)
        else:
            app.router.add_route(route.method, path, route.handler)
    app.router.add_get("/openapi.json", openapi)
    return app
