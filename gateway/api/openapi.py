"""/openapi.json: built from the routes and from the models that validate requests and write responses."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from aiohttp import web
from pydantic import TypeAdapter

from gateway.api import examples
from gateway.api.deps import DEPS, KEYS
from gateway.api.problems import Problem
from gateway.api.routes import ROUTES, Route
from gateway.events.kinds import EVENTS, EventData
from gateway.events.reference import sent

__all__ = ["description", "openapi"]

_REFS = "#/components/schemas/{model}"
_PUBLIC = ("/healthz", "/")
_PROBLEM = "application/problem+json"


def description(
    routes: Sequence[Route] = ROUTES, *, version: str = "", protect_metrics: bool = False, keys: bool = True
) -> dict[str, Any]:
    """The OpenAPI 3.1 document. `keys`: whether any are needed."""
    models = {model for route in routes for model in route.answers.values() if model is not None} | {Problem}
    models |= {route.body for route in routes if route.body is not None} | set(EVENTS.values())
    by_name = {model.__name__: model for model in models}
    adapters = [(name, "serialization", TypeAdapter(by_name[name])) for name in sorted(by_name)]
    _, schemas = TypeAdapter.json_schemas([(n, "serialization", a) for n, _, a in adapters], ref_template=_REFS)
    public = {*_PUBLIC, *(() if protect_metrics else ("/metrics",))}
    if not keys:
        public |= {route.path for route in routes}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Trunkline", "version": version or "0"},
        "security": [{"key": []}] if keys else [],
        "paths": _paths(routes, public),
        "webhooks": {kind: _webhook(model) for kind, model in EVENTS.items()},
        "components": {
            "schemas": schemas.get("$defs", {}),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _content(kind: str, model: type[Any] | None) -> dict[str, Any]:
    """With an example."""
    if model is not None:
        return {"schema": {"$ref": _REFS.format(model=model.__name__)}, "example": examples.example_of(model)}
    return {"schema": {"type": "string"}} | ({"example": examples.STREAM} if kind == "text/event-stream" else {})


def _webhook(model: type[EventData]) -> dict[str, Any]:
    """An event, as it is posted to webhooks."""
    example = json.loads(sent(model.type))
    envelope = {
        "type": "object",
        "required": ["id", "type", "timestamp", "data"],
        "properties": {
            "id": {"type": "string"},
            "type": {"const": model.type.value},
            "timestamp": {"type": "string", "format": "date-time"},
            "data": {"$ref": _REFS.format(model=model.__name__)},
        },
    }
    body = {"required": True, "content": {"application/json": {"schema": envelope, "example": example}}}
    summary = " ".join((model.__doc__ or "").split())
    return {"post": {"summary": summary, "requestBody": body, "responses": {"204": {"description": "Taken."}}}}


def _paths(routes: Sequence[Route], public: set[str]) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, public=route.path in public)
    return paths


def _operation(route: Route, *, public: bool) -> dict[str, Any]:
    ok = {kind: _content(kind, model) for kind, model in route.answers.items()}
    responses: dict[str, Any] = {str(route.status): {"description": "As asked.", "content": ok}}
    if route.path == "/healthz":
        responses["503"] = {"description": "Calls cannot be taken.", "content": ok}
    errors = dict(route.errors)
    if route.path.startswith("/v1"):
        errors = {
            400: "A parameter is unknown or invalid.",
            403: "The key does not have the scope that is needed, or the host name is not allowed.",
            503: "Records cannot be read at the moment.",
        } | errors
        if not public:
            errors |= {
                401: "No key, or a wrong one.",
                429: "Too many requests with this key; Retry-After says when to ask again.",
            }
    for status, when in sorted(errors.items()):
        responses[str(status)] = {"description": when, "content": {_PROBLEM: _content(_PROBLEM, Problem)}}
    operation: dict[str, Any] = {"summary": route.summary, "parameters": _parameters(route), "responses": responses}
    if route.body is not None:
        reference = {"$ref": _REFS.format(model=route.body.__name__)}
        given = route.body.model_json_schema().get("examples", [])
        content = {"schema": reference, "examples": {str(n): {"value": each} for n, each in enumerate(given, 1)}}
        operation["requestBody"] = {"required": True, "content": {"application/json": content}}
    return operation | {"security": [] if public else [{"key": [route.scope.value]}]}


def _parameters(route: Route) -> list[dict[str, Any]]:
    path = [
        {
            "name": name, "in": "path", "required": True,
            "schema": {"type": "string", "pattern": examples.IN_PATHS[name][0]}, "example": examples.IN_PATHS[name][1],
        }
        for name in re.findall(r"\{(\w+)\}", route.path)
    ]  # fmt: skip
    schema = route.query.model_json_schema(ref_template=_REFS)
    inline = schema.get("$defs", {})
    query = []
    for name, each in schema.get("properties", {}).items():
        text = each.pop("description", "")
        query.append({"name": name, "in": "query", "description": text, "schema": _without_refs(each, inline)})
    headers = [
        {
            "name": name, "in": "header", "required": False, "description": each.text, "example": each.example,
            "schema": {"type": "string", "pattern": each.pattern},
        }
        for name, each in route.headers.items()
    ]  # fmt: skip
    return path + query + headers


def _without_refs(schema: dict[str, Any], inline: dict[str, Any]) -> dict[str, Any]:
    """Inlines references, as parameters stand alone. They cannot be null, only absent."""
    variants = [each for each in schema.get("anyOf", []) if each.get("type") != "null"]
    found = {key: value for key, value in schema.items() if key != "anyOf"} | (variants[0] if variants else {})
    if "$ref" in found:
        found |= inline[found.pop("$ref").rsplit("/", 1)[1]]
    return {key: value for key, value in found.items() if not (key == "default" and value is None)}


async def openapi(request: web.Request) -> web.Response:
    deps = request.app[DEPS]
    needed = await request.app[KEYS].needed()
    # Making it takes a tenth of a second, too long for the loop.
    text = await asyncio.to_thread(_written, deps.version, deps.protect_metrics, needed)
    return web.Response(text=text, content_type="application/json")


@cache
def _written(version: str, protect_metrics: bool, keys: bool) -> str:
    document = description(version=version, protect_metrics=protect_metrics, keys=keys)
    return json.dumps(document, ensure_ascii=False)
