"""The campaigns' state in the store, which gateways share: a Protocol, and one in memory for tests and simulations.

Times are aware datetimes, UTC. A contact that is taken has a lease: its gateway renews it while the call lives, and a
gateway that dies frees its contacts by letting them run out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from gateway.campaigns.model import Attempt, CampaignState, Contact, Done, Later
from gateway.campaigns.order import CampaignOrder
from gateway.campaigns.pacing import Pace

__all__ = ["LEASE", "Campaign", "CampaignBook", "Ended", "NewAttempt", "Taken"]

LEASE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Campaign:
    """`live`: its calls of all gateways that have not ended; `next_at`: when the next of those who may be called some
    time is due; None: there is nobody left. `failures`: calls in a row that failed on our side."""

    campaign_id: str
    order: CampaignOrder
    state: CampaignState
    reason: str = ""
    live: int = 0
    next_at: datetime | None = None
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Taken:
    """Contacts that are due, leased to us. `listed`: which of their numbers are on which do-not-call list now."""

    contacts: tuple[Contact, ...] = ()
    listed: Mapping[str, str] = field(default_factory=dict)
    due_s: float = 0.0  # seconds until the pace allows the next, when it allowed none


@dataclass(frozen=True, slots=True)
class NewAttempt:
    """About to be dialled. `place`: 1 for the contact's first; each place is used once, whatever is killed when."""

    campaign_id: str
    contact_id: int
    place: int
    number: str
    call_id: str
    at: datetime
    rule: str


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt whose call is over, by its record, and whose contact has not been judged since."""

    campaign_id: str
    order: CampaignOrder
    contact: Contact  # with this attempt as its last
    attempt: Attempt
    our_fault: bool = False  # the call failed on our side: a persona that fails, no worker
    sip_status: int = 0
    retry_after_s: float = 0.0  # as the carrier said


class CampaignBook(Protocol):
    """All may raise StoreUnavailable."""

    async def active(self, now: datetime) -> tuple[Campaign, ...]:
        """RUNNING and FINISHING ones, by priority, highest first."""

    async def take(self, campaign_id: str, gateway: str, most: int, now: datetime) -> Taken:
        """Lease up to `most` contacts that are due, as the campaign's pace allows over all gateways, earliest first.
        One transaction: two gateways never take the same contact, or more calls than the pace allows."""

    async def dialling(self, attempt: NewAttempt, gateway: str) -> bool:
        """Before its INVITE. False: the contact is not ours (any more), or the campaign does not run: don't dial."""

    async def not_dialled(self, call_id: str, verdict: Later | Done, now: datetime) -> None:
        """It was refused on our side before anything rang, and is no attempt. The pace gets it back."""

    async def judged(self, contact_id: int, verdict: Later | Done, now: datetime) -> None:
        """Frees the contact. For a contact that was taken and not dialled the pace gets the call back."""

    async def ended(self, gateway: str, now: datetime) -> tuple[Ended, ...]:
        """Attempts of ours whose calls have ended; also those of gateways whose leases ran out, without an outcome
        if no record tells it."""

    async def settled(self, campaign_id: str, contact_id: int, attempt: Attempt, verdict: Later | Done) -> None:
        """What became of it, and what follows. Idempotent."""

    async def resume(self, gateway: str, now: datetime) -> None:
        """At this gateway's start: what it had before is free again, or ended."""

    async def renew(self, gateway: str, now: datetime) -> int:
        """The leases of this gateway's contacts. How many it has."""

    async def overloaded(self, campaign_id: str, now: datetime, retry_after_s: float) -> None:
        """A carrier has refused a call for want of capacity: the pace falls."""

    async def pace(self, campaign_id: str) -> Pace: ...

    async def set_state(
        self, campaign_id: str, state: CampaignState, reason: str, now: datetime, *, only: Sequence[CampaignState] = ()
    ) -> bool:
        """`only`: if its state is one of these. False: it was not."""

    async def failures(self, campaign_id: str, count: int) -> None:
        """Calls in a row that failed on our side."""
