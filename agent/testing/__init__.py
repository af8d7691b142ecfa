"""Tests of agents: conversations in text, recorded calls on a virtual clock, mocked tools. Manual: docs/testing.md.

Names are looked up on use: the pytest plugin is in this package, and each pytest run imports it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.testing.fixture_format import FixtureError, find_fixtures, load_fixture
    from agent.testing.replay import NotAsRecorded, ReplayResult, replay_fixture
    from agent.testing.text_call import EventExpectation, RunExpectation, TextCall, TurnResult
    from agent.testing.text_clock import run_text
    from agent.testing.tool_mocks import mock_tools

__all__ = [
    "EventExpectation",
    "FixtureError",
    "NotAsRecorded",
    "ReplayResult",
    "RunExpectation",
    "TextCall",
    "TurnResult",
    "find_fixtures",
    "load_fixture",
    "mock_tools",
    "replay_fixture",
    "run_text",
]

_HOMES = {
    "fixture_format": ("FixtureError", "find_fixtures", "load_fixture"),
    "replay": ("NotAsRecorded", "ReplayResult", "replay_fixture"),
    "text_call": ("EventExpectation", "RunExpectation", "TextCall", "TurnResult"),
    "text_clock": ("run_text",),
    "tool_mocks": ("mock_tools",),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"agent.testing.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
