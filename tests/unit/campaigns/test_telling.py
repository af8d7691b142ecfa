"""What a conversation tells its campaign."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from agent.testing.virtual_clock import run_virtual
from gateway.campaigns.telling import AGAIN_S, told_by
from gateway.store.errors import StoreUnavailable


class Admin:
    """Notes what it is told; away for the first `away` tries."""

    def __init__(self, away: int = 0) -> None:
        self.away = away
        self.told: list[tuple[Any, ...]] = []

    def _take(self, *told: Any) -> bool:
        if self.away:
            self.away -= 1
            raise StoreUnavailable("the disk is full")
        self.told.append(told)
        return True

    async def result(self, call_id: str, result: Any) -> bool:
        return self._take("result", call_id, result)

    async def opt_out(self, call_id: str, source: str, now: datetime) -> bool:
        return self._take("opt_out", call_id, source)

    async def call_back(self, call_id: str, at: datetime) -> bool:
        return self._take("call_back", call_id, at)


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ({"type": "result_reported", "result": {"a": 1}}, ("result", "c1", {"a": 1})),
        ({"type": "opted_out", "words": "never"}, ("opt_out", "c1", 'said in call c1: "never"')),
        ({"type": "opted_out", "words": ""}, ("opt_out", "c1", "said in call c1")),
        (
            {"type": "callback_asked", "when": "2026-12-01T17:00:00+01:00"},
            ("call_back", "c1", datetime(2026, 12, 1, 16, tzinfo=UTC)),
        ),
    ],
)
def test_events_are_kept(event: dict[str, Any], told: tuple[Any, ...]) -> None:
    admin = Admin()
    work = told_by(admin, "c1", event)  # type: ignore[arg-type]
    assert work is not None
    run_virtual(work)
    assert admin.told == [told]


def test_other_events_are_not() -> None:
    assert told_by(Admin(), "c1", {"type": "user_message", "text": "hello"}) is None  # type: ignore[arg-type]


def test_an_opt_out_waits_for_a_store_that_is_away() -> None:
    admin = Admin(away=int(600 / AGAIN_S))
    work = told_by(admin, "c1", {"type": "opted_out", "words": ""})  # type: ignore[arg-type]
    assert work is not None
    run_virtual(work)
    assert len(admin.told) == 1
