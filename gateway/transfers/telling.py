"""A transfer's messages for the record."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from gateway.calls.verbs import TransferOrder
from gateway.record import TransferBegan, TransferEnded
from telephony.call import TransferResult, Warm

__all__ = ["began", "ended"]


def began(call_id: str, order: TransferOrder, leg_id: str | None = None) -> dict[str, Any]:
    """Comes again once a leg of ours has its id."""
    warm = order.warm or Warm()
    return TransferBegan(
        transfer_id=order.transfer_id, call_id=call_id, kind=order.kind, target=", ".join(order.targets),
        began_at=datetime.now(UTC), leg_id=leg_id, headers=dict(warm.headers), user_to_user=warm.user_to_user,
    ).to_dict()  # fmt: skip


def ended(call_id: str, order: TransferOrder, result: TransferResult) -> dict[str, Any]:
    return TransferEnded(
        transfer_id=order.transfer_id, call_id=call_id, outcome=result.end, ended_at=datetime.now(UTC),
        sip_status=result.sip_status or None, reason=result.reason,
    ).to_dict()  # fmt: skip
