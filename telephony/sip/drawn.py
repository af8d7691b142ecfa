"""A machine's table as Markdown, for the docs: tests compare docs and code."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import TypeVar

__all__ = ["drawn"]

_State = TypeVar("_State", bound=StrEnum)
_Event = TypeVar("_Event", bound=StrEnum)


def drawn(states: Iterable[_State], events: Iterable[_Event], cell: Callable[[_State, _Event], str]) -> str:
    """A row per state, a column per event. `cell`: the result; empty if impossible."""
    columns = tuple(events)
    lines = ["| | " + " | ".join(event.value for event in columns) + " |", "| --- " * (len(columns) + 1) + "|"]
    lines += [
        f"| **{state.value}** | " + " | ".join(cell(state, event) for event in columns) + " |" for state in states
    ]
    return "\n".join(lines)
