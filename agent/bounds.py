"""Bounds on external input: longer text is cut and marked. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TypeVar, cast

import pydantic

from agent.speech.characters import valid_text

__all__ = ["pruned", "shortened"]


def shortened(text: str, most: int) -> str:
    """Valid text of about `most` characters; if cut, it says how much there was."""
    if len(text) <= most:
        return valid_text(text)
    return f"{valid_text(text[:most]).rstrip()} … [cut off here: {len(text):,} characters in all]"


T = TypeVar("T")


def pruned(value: T, most: int) -> T:
    """`value` reduced to about `most` characters of JSON, with each of its texts cut to that.
    The work is bounded by `most`. Returns the same object if nothing was cut."""
    return cast(T, _Pruning(most).of(value))


class _Pruning:
    def __init__(self, most: int) -> None:
        self._left = most

    def of(self, value: object) -> object:
        if isinstance(value, str):
            kept = value if len(value) <= self._left else shortened(value, max(self._left, 0))
            self._left -= len(kept) + 3
            return kept
        if isinstance(value, Mapping):
            return self._mapping(value)
        if isinstance(value, list | tuple):
            return self._items(value)
        if isinstance(value, bytes | bytearray):
            kept_bytes = value if len(value) <= self._left else value[: max(self._left, 0)]
            self._left -= len(kept_bytes) + 3
            return kept_bytes
        if isinstance(value, pydantic.BaseModel):
            return self._fields(value, dict(value))
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = dataclasses.fields(value)
            return self._fields(value, {field.name: getattr(value, field.name) for field in fields})
        self._left -= 6
        return value

    def _fields(self, value: object, fields: Mapping[object, object]) -> object:
        kept = self._mapping(fields)
        return value if kept is fields else kept

    def _mapping(self, value: Mapping[object, object]) -> object:
        kept: dict[object, object] = {}
        same = True
        for key, item in value.items():
            if self._left <= 0:
                kept["…"] = f"cut off here: {len(value):,} in all"
                return kept
            self._left -= len(key) + 4 if isinstance(key, str) else 8
            kept[key] = self.of(item)
            same = same and kept[key] is item
        return value if same else kept

    def _items(self, value: list[object] | tuple[object, ...]) -> object:
        kept: list[object] = []
        same = True
        for item in value:
            if self._left <= 0:
                return [*kept, f"… cut off here: {len(value):,} in all"]
            kept.append(self.of(item))
            same = same and kept[-1] is item
        return value if same else kept
