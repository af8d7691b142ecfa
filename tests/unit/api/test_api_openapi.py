from __future__ import annotations

import json
import re
from typing import Any

import pytest

from gateway.api.openapi import description
from gateway.api.routes import ROUTES

DOCUMENT = description(version="1.2.3")


def references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if "$ref" in node else set()
        return own.union(*[references(value) for value in node.values()])
    if isinstance(node, list):
        return set().union(*[references(value) for value in node])
    return set()


def test_each_reference_leads_to_a_schema() -> None:
    found = references(DOCUMENT)
    assert len(found) > 5
    assert found <= {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_each_route_is_described(route: Any) -> None:
    operation = DOCUMENT["paths"][route.path][route.method.lower()]
    named = {each["name"] for each in operation["parameters"]}
    assert named == set(re.findall(r"\{(\w+)\}", route.path)) | set(route.query.model_fields)
    assert set(operation["responses"][str(route.status)]["content"]) == set(route.answers)


def test_one_call_is_described_with_its_legs_and_transfers() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert {"legs", "transfers"} <= set(schemas["CallDetail"]["properties"])
    assert schemas["LegRole"]["enum"] == ["customer", "human", "supervisor"]
    assert "legs" not in schemas["CallRecord"]["properties"]


def test_limits_of_parameters_are_those_that_are_checked() -> None:
    parameters = {each["name"]: each["schema"] for each in DOCUMENT["paths"]["/v1/calls"]["get"]["parameters"]}
    assert (parameters["limit"]["minimum"], parameters["limit"]["maximum"], parameters["limit"]["default"]) == (
        1,
        200,
        50,
    )
    assert parameters["outcome"]["enum"][0] == "answered"
    assert parameters["since"]["format"] == "date-time"
    assert "default" not in parameters["called"]


def test_what_needs_no_key_says_so() -> None:
    open_paths = {
        path for path, item in DOCUMENT["paths"].items() if [each.get("security") for each in item.values()] == [[]]
    }
    assert open_paths == {"/", "/healthz", "/metrics"}
    protected = description(protect_metrics=True)
    assert protected["paths"]["/metrics"]["get"]["security"] == [{"key": ["read"]}]


def test_what_needs_a_key_says_with_which_scope() -> None:
    one_call = DOCUMENT["paths"]["/v1/calls/{call_id}"]
    assert one_call["get"]["security"] == [{"key": ["read"]}]
    assert one_call["delete"]["security"] == [{"key": ["call"]}]
    assert {"403", "429"} <= set(one_call["get"]["responses"])


def test_it_is_json() -> None:
    assert json.loads(json.dumps(DOCUMENT))["info"]["version"] == "1.2.3"
