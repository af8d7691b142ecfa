"""The store's own tests again: all that need a store and do not depend on SQLite get one on PostgreSQL."""

from __future__ import annotations

import inspect
from types import ModuleType

from tests.unit.api import test_api_keys
from tests.unit.events import test_call_hooks, test_webhooks
from tests.unit.store import (
    test_answered_by,
    test_legs,
    test_retention,
    test_spill,
    test_store_calls,
    test_store_copy,
    test_store_threads,
)

_NEEDS_SQLITE = {"other"}
_OF_A_STORE = {"attempts": test_api_keys.attempts, "queue": test_webhooks.queue, "old": test_store_copy.old}  # fixtures


def _tests_of(module: ModuleType) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, test in vars(module).items():
        if name.startswith("test_"):
            wants = set(inspect.signature(test).parameters)
            if wants & {"store", "attempts", "queue"} and not wants & _NEEDS_SQLITE:
                found[name] = test
    return found


globals().update(_OF_A_STORE)
for _module in (
    test_answered_by, test_api_keys, test_legs, test_retention, test_spill, test_store_calls, test_store_copy,
    test_store_threads, test_webhooks, test_call_hooks,
):  # fmt: skip
    globals().update(_tests_of(_module))


def test_they_are_here() -> None:
    assert len([name for name in globals() if name.startswith("test_")]) > 50
