"""docs/settings.md, made of the settings models, so that it cannot lag behind them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from gateway.config.models import Settings

__all__ = ["settings_reference"]

_HEAD = """# Settings

This file is made by `python -m gateway.config`; change the models in `gateway/config/models.py` instead.

Settings are one YAML 1.2 file. `trunkline check --config FILE` reads it, names every mistake with its line, and
exits with 2 if there is one. Relative paths start at the current directory of the program. A number where text
belongs (`012`, `+15550100` without quotes) is refused, not read as another number. Secrets never stand in the file:
`{env: NAME}` or `{file: path}` says where they are.

```yaml
sip:
  listen: ["udp://127.0.0.1:5060", "tcp://127.0.0.1:5060"]
  public_address: 127.0.0.1
  trunks: [{name: local, allow: ["127.0.0.0/8"]}]
rtp: {ports: 20000-29999}
http: {listen: "127.0.0.1:8080"}
rooms: local
workers: auto
store: "sqlite:///var/trunkline.db"
recordings: var/recordings
dialplans: [dialplans/demo.yaml]
```
"""


def settings_reference() -> str:
    """The whole file."""
    schema = Settings.model_json_schema()
    parts = [_HEAD]
    for title, text, rows in _sections(schema, schema, ""):
        table = ["| setting | kind | default | meaning |", "| --- | --- | --- | --- |", *rows]
        parts.append("\n".join([f"## {title}", "", text, "", *table]) + "\n")
    return "\n".join(parts)


def _sections(schema: dict[str, Any], model: dict[str, Any], prefix: str) -> Iterator[tuple[str, str, list[str]]]:
    rows: list[str] = []
    below: list[tuple[str, dict[str, Any]]] = []
    for name, field in model["properties"].items():
        inner, many = _reference(schema, field)
        if inner is not None and inner.get("title") != "SecretSource":
            described = {"description": inner.get("description", ""), **field}
            rows.append(_row(name, "list of groups" if many else "group", described, model))
            below.append((f"{prefix}{name}{'[]' if many else ''}", inner))
        else:
            rows.append(_row(name, _kind(schema, field), field, model))
    yield (f"`{prefix[:-1]}`" if prefix else "Top level", " ".join(model.get("description", "").split()), rows)
    for path, inner in below:
        yield from _sections(schema, inner, f"{path}.")


def _reference(schema: dict[str, Any], field: dict[str, Any]) -> tuple[dict[str, Any] | None, bool]:
    """The model a field refers to, and whether it is a list of them."""
    for option in (field, *field.get("anyOf", ())):
        if "$ref" in option:
            return schema["$defs"][option["$ref"].rpartition("/")[2]], False
        if "$ref" in option.get("items", {}):
            return schema["$defs"][option["items"]["$ref"].rpartition("/")[2]], True
    return None, False


def _kind(schema: dict[str, Any], field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_kind(schema, option) for option in field["anyOf"] if option.get("type") != "null")
    if "$ref" in field:
        return "`{env: NAME}` or `{file: path}`"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    if field.get("type") == "array":
        return f"list of {_kind(schema, field['items'])}"
    if "examples" in field:
        return f'text like `"{field["examples"][0]}"`'
    return {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}[field["type"]]


def _row(name: str, kind: str, field: dict[str, Any], model: dict[str, Any]) -> str:
    if name in model.get("required", ()):
        default = "must be given"
    elif kind.endswith(("group", "groups")) or field.get("default") is None:
        default = ""
    else:
        default = f"`{json.dumps(field['default'])}`"
    limits = [
        f"{word} {field[key]}"
        for key, word in (
            ("minimum", "at least"),
            ("exclusiveMinimum", "more than"),
            ("maximum", "at most"),
            ("exclusiveMaximum", "less than"),
        )
        if key in field
    ]
    meaning = " ".join(field.get("description", "").split()) + (f" ({', '.join(limits)})" if limits else "")
    return f"| `{name}` | {kind} | {default} | {meaning} |"
