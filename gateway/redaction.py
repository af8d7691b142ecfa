"""Removes speech and keyed digits from a call's record afterwards. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from agent.masking import MASK, digit_runs, mask_text, mask_value
from gateway.transcript import mask_typed_digits

__all__ = ["REDACTED", "digits_masked", "redacted", "spans_of", "text_digits_masked"]

REDACTED = "[redacted]"
AROUND_KEY_MS = 400.0  # covers a key's tone, and a late report of it
_SAID_DIGITS = 3  # in a row; fewer occur in any sentence
# Strings that are our own identifiers and reveal nothing of what was said.
_NAMES = frozenset({
    "type", "persona", "from_persona", "to_persona", "name", "call_id", "provider", "part", "action", "kind", "source",
    "answered_by", "corrects",
})  # fmt: skip
_CODE = re.compile(r"[a-z][a-z_]{0,31}")  # as reasons have it: leg_ended, silence, digits


def redacted(event: Mapping[str, Any]) -> dict[str, Any]:
    """The event with only its times, kinds and figures, also for unknown types."""
    kept: dict[str, Any] = {}
    for name, value in event.items():
        if name == "digit":
            kept[name] = MASK
        elif name in ("arguments", "details") and isinstance(value, Mapping):
            kept[name] = dict.fromkeys(value, REDACTED)
        elif isinstance(value, str):
            code = name in ("reason", "why") and _CODE.fullmatch(value)
            kept[name] = value if name in _NAMES or code or not value else REDACTED
        elif value is None or isinstance(value, bool | int | float):
            kept[name] = value
        else:
            kept[name] = REDACTED
    return kept


def digits_masked(event: Mapping[str, Any]) -> dict[str, Any]:
    """The event with keyed digits, and runs of three digits and more wherever else, as `•`."""
    masked = mask_typed_digits(event)
    for name in ("text", "full_text", "arguments", "output", "error", "details"):
        if name in masked:
            masked[name] = mask_value(masked[name], _runs_in(masked[name]), cards=True)
    return masked


def text_digits_masked(text: str) -> str:
    return mask_text(text, _runs_in(text), cards=True)


def spans_of(before: Iterable[Mapping[str, Any]], after: Iterable[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """Where in the recording (milliseconds) the data masked in `after` can be heard: the keys, and the messages
    that changed."""
    spans: list[tuple[float, float]] = []
    for old, new in zip(before, after, strict=True):
        t_ms = old.get("t_ms")
        if not isinstance(t_ms, int | float):
            continue
        if old.get("type") == "digit_received":
            spans.append((t_ms - AROUND_KEY_MS, t_ms + AROUND_KEY_MS))
        elif old != new and isinstance(old.get("started_at"), int | float):
            began_ms = t_ms + (old["started_at"] - old["at"]) * 1000
            ended = old.get("ended_at", old["at"])
            spans.append((began_ms - AROUND_KEY_MS, t_ms + (ended - old["at"]) * 1000 + AROUND_KEY_MS))
    return spans


def _runs_in(value: Any) -> list[str]:
    match value:
        case str():
            return [run for run in digit_runs(value) if len(run) >= _SAID_DIGITS]
        case int() if not isinstance(value, bool):
            return _runs_in(str(value))
        case Mapping():
            return [run for item in value.values() for run in _runs_in(item)]
        case list() | tuple():
            return [run for item in value for run in _runs_in(item)]
        case _:
            return []
