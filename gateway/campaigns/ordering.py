"""The call that an attempt is: from whom, over which trunk, with which variables. Pure."""

from __future__ import annotations

from typing import Any

from gateway.campaigns.model import Contact, Number
from gateway.campaigns.order import CampaignOrder
from gateway.outbound.order import CallOrder

__all__ = ["call_order"]

AREA = 5  # characters of a number, with its +, that make two numbers neighbours


def call_order(campaign_id: str, campaign: CampaignOrder, contact: Contact, number: Number) -> CallOrder:
    turn = contact.contact_id + len(contact.attempts)
    fields: dict[str, Any] = {
        "to": number.number,
        "persona": campaign.persona,
        "variables": {**_own_variables(campaign_id, campaign, contact), **contact.variables},
        "answering": campaign.answering,
        "ring_timeout_s": campaign.ring_timeout_s,
        "max_call_s": campaign.max_call_s,
        "webhook": campaign.webhook,
    }
    if campaign.trunks:
        fields["trunk"] = campaign.trunks[turn % len(campaign.trunks)]
    if campaign.callers:
        fields["from"] = _caller(campaign, number.number, turn)
    return CallOrder.model_validate(fields)


def _own_variables(campaign_id: str, campaign: CampaignOrder, contact: Contact) -> dict[str, str]:
    own = {"campaign": campaign_id, "contact": contact.key}
    return {**own, "transfer_to": campaign.transfer_to} if campaign.transfer_to else own


def _caller(campaign: CampaignOrder, called: str, turn: int) -> str:
    if campaign.choose_caller == "area_code":
        best = max(campaign.callers, key=lambda caller: _alike(caller, called))
        if _alike(best, called) >= AREA:
            return best
    return campaign.callers[turn % len(campaign.callers)]


def _alike(one: str, other: str) -> int:
    """Characters that they begin with in common."""
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count
