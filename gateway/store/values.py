"""Values that every database accepts, whatever SIP headers and models contain."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import String, Table, Text

__all__ = ["encodable", "fitting", "json_text"]


def encodable(value: Any) -> Any:
    """Text without lone surrogates and NUL, finite numbers; everything else unchanged."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
    return None if isinstance(value, float) and not math.isfinite(value) else value


def fitting(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with text cut to its column's length, which PostgreSQL enforces. Ids are not cut: a cut one could be
    another call's."""
    lengths = _lengths(table)
    fit = {}
    for name, value in row.items():
        value = encodable(value)
        fit[name] = value[: lengths[name]] if isinstance(value, str) and name in lengths else value
    return fit


def json_text(value: Any) -> str:
    """JSON that every parser accepts: no NaN, no lone surrogates, and types unknown to JSON as text."""
    try:
        text = json.dumps(value, allow_nan=False, default=str, ensure_ascii=False)
    except ValueError:
        finite = json.loads(json.dumps(value, default=str), parse_constant=lambda _: None)
        text = json.dumps(finite, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode()


@cache
def _lengths(table: Table) -> dict[str, int]:
    return {
        column.name: column.type.length
        for column in table.columns
        if isinstance(column.type, String)
        and not isinstance(column.type, Text)
        and column.type.length
        and not column.name.endswith("_id")
    }
