"""The arguments of a tool call as servers write them: usually a JSON object, or something equivalent. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from itertools import count
from typing import Any

from agent.speech.characters import valid_text

__all__ = ["arguments_of", "as_object_text", "unused_call_id"]

_HALF = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")  # half of a surrogate pair, invalid alone
_FENCE = re.compile(r"\A```(?:json)?\s*(.*?)\s*```\Z", re.DOTALL)


def arguments_of(text: str) -> dict[str, Any]:
    """The arguments by name. Nothing, `null`, `[]`, `""` and `{}` mean no arguments; an object encoded as a
    string, or in a code block, is that object. Raises ValueError for invalid JSON, TypeError if it is not an object."""
    value = _loaded(text)
    for _ in range(2):  # some servers encode twice
        if not isinstance(value, str):
            break
        value = _loaded(value)
    if value is None or value == []:
        return {}
    if not isinstance(value, dict):
        raise TypeError(f"a JSON object is needed, not {type(value).__name__}")
    if _HALF.search(text):
        whole: dict[str, Any] = json.loads(valid_text(json.dumps(value, ensure_ascii=False)))
        return whole
    return value


def as_object_text(text: str) -> str:
    """As the JSON text of an object, as strict servers require: "{}" for none."""
    try:
        value = arguments_of(text)
    except (ValueError, TypeError):
        return "{}"
    if text.lstrip().startswith("{") and not _HALF.search(text):
        return text
    return json.dumps(value, ensure_ascii=False)


def _loaded(text: str | None) -> Any:
    text = (text or "").strip()
    if (fenced := _FENCE.match(text)) is not None:
        text = fenced[1]
    if not text:
        return None
    try:
        return json.loads(text, parse_constant=_refused)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def unused_call_id(used: Collection[str]) -> str:
    """An id for a call without one: nine letters and digits, since Mistral accepts no others."""
    return next(call_id for number in count(len(used)) if (call_id := f"call{number:05d}") not in used)
