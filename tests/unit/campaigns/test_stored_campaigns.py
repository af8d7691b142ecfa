"""Campaigns in SQLite."""

from __future__ import annotations

from tests.unit.campaigns.book_rules import CampaignBookRules
from tests.unit.store.conftest import store

__all__ = ["store"]


class TestSqlite(CampaignBookRules):
    pass
