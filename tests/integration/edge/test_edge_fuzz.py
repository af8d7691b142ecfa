"""Deliberately broken messages do not harm workers and are answered. For 20,000 messages see `edge_fuzz.py`."""

from __future__ import annotations

import pytest
from edge_fuzz import fuzz


@pytest.mark.timeout(120)
def test_odd_and_broken_messages_leave_the_worker_alive_and_are_answered() -> None:
    made = fuzz(3_000, seed=2)
    assert [data.decode(errors="replace") for data in made.unanswered] == []
    assert made.context.counters["internal_errors"] == 0
    assert made.context.counters["not_taken"] == 0
    assert made.statuses["INVITE 200"] > 200 and made.statuses["INVITE 488"] > 50
    assert made.statuses["INFO 200"] > 20 and made.statuses["UPDATE 200"] > 20
