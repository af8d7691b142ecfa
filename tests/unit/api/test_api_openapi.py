from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from gateway.api.openapi import description
from gateway.api.problem_kinds import KINDS, as_markdown
from gateway.api.routes import ROUTES
from gateway.events.kinds import EventType

DOCUMENT = description(version="1.2.3")
TREE = Path(__file__).parents[3]


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
    named = {each["name"] for each in operation["parameters"] if each["in"] != "header"}
    assert {each["name"] for each in operation["parameters"] if each["in"] == "header"} == set(route.headers)
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


OPERATIONS = [(path, method) for path, item in DOCUMENT["paths"].items() for method in item]


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_each_operation_has_examples(path: str, method: str) -> None:
    operation = DOCUMENT["paths"][path][method]
    assert all("example" in each for each in operation["parameters"] if each["in"] == "path")
    if "requestBody" in operation:
        assert operation["requestBody"]["content"]["application/json"]["examples"]
    for answer in operation["responses"].values():
        for kind, content in answer["content"].items():
            assert "example" in content or content["schema"] == {"type": "string"}, (answer, kind)


@pytest.mark.parametrize("route", [route for route in ROUTES if route.body is not None], ids=lambda route: route.path)
def test_examples_of_requests_are_requests(route: Any) -> None:
    for example in route.body.model_json_schema()["examples"]:
        route.body.model_validate_json(json.dumps(example))


def test_webhooks_are_described_with_each_kind_of_event() -> None:
    assert set(DOCUMENT["webhooks"]) == {kind.value for kind in EventType}
    for kind, item in DOCUMENT["webhooks"].items():
        content = item["post"]["requestBody"]["content"]["application/json"]
        assert content["example"]["type"] == kind == content["schema"]["properties"]["type"]["const"]


def test_where_no_key_is_needed_none_is_asked_for() -> None:
    document = description(keys=False)
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    assert [operation["security"] for operation in operations] == [[]] * len(operations)
    assert not any("401" in operation["responses"] for operation in operations)


def test_the_docs_have_each_kind_of_problem() -> None:
    """If not: replace the table by `gateway.api.problem_kinds.as_markdown()`."""
    assert as_markdown() in (TREE / "docs" / "api.md").read_text()


def test_no_other_kind_of_problem_is_raised() -> None:
    text = "".join(file.read_text() for file in (TREE / "gateway").rglob("*.py"))
    raised = set(re.findall(r"(?:VerbRefused|CannotSteer|OrderRefused|Refused)\(\s*\"(\w+)\"", text))
    for file in (TREE / "gateway" / "api").glob("*.py"):
        raised |= set(re.findall(r"kind=\"(\w+)\"", file.read_text())) if file.name != "examples.py" else set()
    assert len(raised) > 20
    assert raised - set(KINDS) == set()
    types = DOCUMENT["components"]["schemas"]["Problem"]["properties"]["type"]["enum"]
    assert set(types) == {"about:blank", *(f"urn:trunkline:problem:{kind}" for kind in KINDS)}
