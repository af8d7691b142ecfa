from __future__ import annotations

from dataclasses import replace

from gateway.bench.outbound import OutboundFigures, outbound_table

GOOD = OutboundFigures(8.2, 14.0, 49.0, 59.0, 20.0, 60.0, 1220, 0, 1220, 0, 0)


def test_a_run_without_losses_has_not_failed() -> None:
    assert not GOOD.failed
    assert "8 (p95 14)" in outbound_table(GOOD)


def test_each_loss_is_a_failure() -> None:
    for field in ("refused", "other_outcomes", "missing"):
        assert replace(GOOD, **{field: 1}).failed
