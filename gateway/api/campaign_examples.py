"""Examples of the answers about campaigns."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from gateway.api.campaigns import (
    AttemptList,
    CampaignList,
    ContactList,
    ContactsAdded,
    DecisionList,
    DoNotCallList,
    RefusedContact,
)
from gateway.campaigns.admin import AttemptRow, CampaignFigures, CampaignRecord, ContactRow, Decision, Listed
from gateway.campaigns.model import CampaignState
from gateway.campaigns.order import CampaignOrder

__all__ = ["CAMPAIGN_EXAMPLES", "CAMPAIGN_ID"]

CAMPAIGN_ID = "cmp8b0f5a1c2d3e"
_AT = datetime(2026, 11, 27, 20, 0, tzinfo=UTC)
_NUMBER = "+15551234567"
_RECORD = CampaignRecord(
    campaign_id=CAMPAIGN_ID,
    name="Reminders",
    state=CampaignState.RUNNING,
    reason="",
    created_at=_AT,
    started_at=_AT,
    ended_at=None,
    order=CampaignOrder(name="Reminders", persona="clinic.Reminder"),
    figures=CampaignFigures(contacts={"waiting": 20, "done": 4}, done={"reached": 4}, attempts={"human": 4, "busy": 1}),
)
_CONTACT = ContactRow(
    contact_id=17, key="4711", numbers=[_NUMBER], variables={"name": "Ada"}, state="waiting", attempts=1, next_at=_AT,
    rule="retry after busy", done=None,
)  # fmt: skip
_ATTEMPT = AttemptRow(
    contact_id=17, key="4711", place=1, number=_NUMBER, at=_AT, call_id="8b0f5a1c2d3e4f60", outcome="busy",
    answered_by=None, delivered=False,
)  # fmt: skip
_DECISION = Decision(
    campaign_id=CAMPAIGN_ID, contact_id=17, number=_NUMBER, at=_AT, verdict="dial", until=None,
    rule="all rules allow it",
)  # fmt: skip
CAMPAIGN_EXAMPLES: Mapping[type, Any] = {
    CampaignRecord: _RECORD,
    CampaignList: CampaignList(campaigns=(_RECORD,)),
    ContactList: ContactList(contacts=(_CONTACT,)),
    AttemptList: AttemptList(attempts=(_ATTEMPT,)),
    ContactsAdded: ContactsAdded(added=2, double=0, refused=(RefusedContact(place=2, reason="it has no number"),)),
    DoNotCallList: DoNotCallList(
        numbers=(Listed(number=_NUMBER, list="own", campaign_id="", added_at=_AT, source="REST"),)
    ),
    DecisionList: DecisionList(decisions=(_DECISION,)),
}
