"""The law as data."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.campaigns.judging import judge
from gateway.campaigns.law import UnknownRuleSet, law_of, rule_sets
from gateway.campaigns.model import Contact, Dial, Done, Later, Verdict
from gateway.campaigns.order import CampaignOrder
from gateway.campaigns.zones import number_of

ALWAYS: dict[str, Any] = {"name": "x", "persona": "a.B", "windows": ("00:00-24:00",), "holidays": ()}


def said(number: str, at: str, *, consent: str = "consent", **order: Any) -> Verdict:
    campaign = CampaignOrder(**{**ALWAYS, **order})
    who = Contact(1, "k", (number_of(number),), consent=consent)
    now = datetime.fromisoformat(at).astimezone(UTC)
    return judge(who, campaign.rules(dict(law_of(campaign))), now, None, {})


def test_each_rule_set_says_where_it_stands() -> None:
    for one, regions in rule_sets().values():
        assert "looked up 20" in one.source and regions
        assert one.windows is not None or one.consent


@pytest.mark.parametrize(
    ("number", "at", "allowed"),
    [
        ("+12125550123", "2026-12-01T20:30-05:00", True),  # New York
        ("+12125550123", "2026-12-01T21:00-05:00", False),
        ("+13055550123", "2026-12-01T20:30-05:00", False),  # Florida ends at eight
        ("+442079460001", "2026-12-01T20:30+00:00", True),
        ("+493012345678", "2026-12-01T20:30+01:00", False),
        ("+33123456789", "2026-12-01T13:30+01:00", False),  # France at lunch
        ("+33123456789", "2026-12-05T11:00+01:00", False),  # and on a Saturday
        ("+33123456789", "2026-12-25T11:00+01:00", False),  # and at Christmas
        ("+34912345678", "2026-12-01T20:30+01:00", True),
        ("+390612345678", "2026-12-05T18:30+01:00", True),
        ("+16135550123", "2026-12-05T18:30-05:00", False),  # Ontario on a Saturday
        ("+61255501234", "2026-12-01T19:30+11:00", True),  # Sydney
    ],
)
def test_calling_hours(number: str, at: str, *, allowed: bool) -> None:
    assert isinstance(said(number, at), Dial if allowed else Later)


def test_consent_is_asked_for() -> None:
    verdict = said("+12125550123", "2026-12-01T12:00-05:00", consent="")
    assert isinstance(verdict, Done) and verdict.rule == "us: consent (consent or written_consent)"
    assert isinstance(said("+33123456789", "2026-12-01T12:00+01:00", consent="contract"), Dial)


def test_a_country_without_a_rule_set_is_not_called_unless_one_says_so() -> None:
    assert isinstance(said("+81312345678", "2026-12-01T12:00+09:00"), Done)
    assert isinstance(said("+81312345678", "2026-12-01T12:00+09:00", rule_sets="none"), Dial)


def test_rule_sets_can_be_named() -> None:
    assert isinstance(said("+13055550123", "2026-12-01T20:30-05:00", rule_sets=("us",)), Dial)
    with pytest.raises(UnknownRuleSet, match="there are: "):
        said("+13055550123", "2026-12-01T20:30-05:00", rule_sets=("mars",))
