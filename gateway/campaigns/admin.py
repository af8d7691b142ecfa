"""What programs and people do with campaigns, beside running them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from pydantic import AwareDatetime

from gateway.campaigns.model import CampaignState, Contact
from gateway.campaigns.order import CampaignOrder

__all__ = [
    "AttemptRow",
    "CampaignAdmin",
    "CampaignFigures",
    "CampaignRecord",
    "ContactRow",
    "Decision",
    "Listed",
    "Page",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignFigures:
    """`contacts`: by state; `done`: those that are done, by reason; `attempts`: those that have ended, by what became
    of them (`human`, `message_left`, `busy`, …)."""

    contacts: Mapping[str, int] = field(default_factory=dict)
    done: Mapping[str, int] = field(default_factory=dict)
    attempts: Mapping[str, int] = field(default_factory=dict)
    live: int = 0
    next_at: AwareDatetime | None = None  # the earliest time of the next call


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignRecord:
    campaign_id: str
    name: str
    state: CampaignState
    reason: str
    created_at: AwareDatetime
    started_at: AwareDatetime | None
    ended_at: AwareDatetime | None
    order: CampaignOrder
    figures: CampaignFigures | None = None  # None in lists


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactRow:
    contact_id: int
    key: str
    numbers: Sequence[str]
    variables: Mapping[str, str]
    state: str
    attempts: int
    next_at: AwareDatetime | None  # None: it is done
    rule: str  # why it waits, or is done
    done: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    contact_id: int
    key: str
    place: int
    number: str
    at: AwareDatetime
    call_id: str
    outcome: str | None
    answered_by: str | None
    delivered: bool
    result: Any = None  # what the persona reported


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A number that is not called. `campaign_id` empty: by no campaign."""

    number: str
    list: str
    campaign_id: str
    added_at: AwareDatetime
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """To call a number or not, and by which rule."""

    campaign_id: str
    contact_id: int
    number: str
    at: AwareDatetime
    verdict: str
    until: AwareDatetime | None
    rule: str


@dataclass(frozen=True, slots=True)
class Page:
    """`next_cursor` None: it was the last."""

    rows: Sequence[Any]
    next_cursor: str | None


class CampaignAdmin(Protocol):
    """All may raise StoreUnavailable. Methods that change a campaign or contact return False where there is none."""

    async def create(self, campaign_id: str, order: CampaignOrder, now: datetime) -> None: ...

    async def list(self) -> tuple[CampaignRecord, ...]:
        """Newest first; without figures."""

    async def find(self, campaign_id: str) -> CampaignRecord | None: ...

    async def live(self, campaign_id: str) -> tuple[str, ...]:
        """Its calls that have not ended."""

    async def delete(self, campaign_id: str) -> bool:
        """With its contacts and attempts; calls' records stay. Not while it runs: False."""

    async def add(self, campaign_id: str, contacts: Iterable[Contact], now: datetime, *, replace: bool = False) -> int:
        """How many were new. Those whose key is there already are left as they are, or replaced."""

    async def contacts(self, campaign_id: str, limit: int, cursor: str | None) -> Page: ...

    async def attempts(self, campaign_id: str, limit: int, cursor: str | None) -> Page: ...

    async def forget(self, campaign_id: str, key: str) -> bool:
        """The contact, with all that is known about them here."""

    async def keep_off(self, entries: Iterable[Listed]) -> int:
        """Put numbers on do-not-call lists. How many were new."""

    async def take_off(self, number: str, list: str, campaign_id: str = "") -> bool: ...

    async def listed(self, limit: int, cursor: str | None) -> Page: ...

    async def decisions(self, number: str) -> tuple[Decision, ...]:
        """All about one number: the evidence."""

    async def opt_out(self, call_id: str, source: str, now: datetime) -> bool:
        """Whoever this call is with is not called again, by any campaign, from now on for ever. False: the call is no
        campaign's; the other side's number is kept all the same."""

    async def call_back(self, call_id: str, at: datetime) -> bool:
        """Whoever this call is with has asked to be called then."""

    async def result(self, call_id: str, result: Any) -> bool: ...
