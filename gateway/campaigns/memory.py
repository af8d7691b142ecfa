"""A `CampaignBook` in memory: for tests and simulations, and as the shortest description of what a book does."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from gateway.campaigns.book import LEASE, Campaign, Ended, NewAttempt, Taken
from gateway.campaigns.model import Attempt, CampaignState, Contact, ContactState, Done, Later
from gateway.campaigns.order import CampaignOrder
from gateway.campaigns.pacing import Pace

__all__ = ["MemoryBook"]


@dataclass(slots=True)
class _Row:
    contact: Contact
    state: ContactState
    next_at: datetime
    lease_by: str = ""
    lease_until: datetime | None = None
    call_id: str = ""  # of the attempt under way
    done: Done | None = None


@dataclass(slots=True)
class _Campaign:
    order: CampaignOrder
    pace: Pace
    state: CampaignState
    reason: str = ""
    rows: dict[int, _Row] = field(default_factory=dict)
    due: list[tuple[datetime, int]] = field(default_factory=list)  # a heap; may have old entries
    live: dict[str, int] = field(default_factory=dict)  # call -> contact
    failures: int = 0


class MemoryBook:
    """`end(call_id, attempt)` is the record of a call that has ended; `listed` the do-not-call lists."""

    def __init__(self) -> None:
        self._campaigns: dict[str, _Campaign] = {}
        self._of_contact: dict[int, str] = {}
        self._calls: dict[str, tuple[str, int]] = {}
        self._ended: dict[str, Ended] = {}
        self.listed: dict[str, str] = {}

    # --- for tests ---------------------------------------------------------------------------------------------------

    def add(self, campaign_id: str, order: CampaignOrder, contacts: Iterable[Contact], now: datetime) -> None:
        pace = Pace(order.pacing.limits, now.timestamp())
        campaign = self._campaigns[campaign_id] = _Campaign(order, pace, CampaignState.RUNNING)
        for contact in contacts:
            self._of_contact[contact.contact_id] = campaign_id
            campaign.rows[contact.contact_id] = _Row(contact, ContactState.WAITING, now)
            heapq.heappush(campaign.due, (now, contact.contact_id))

    def contact(self, contact_id: int) -> Contact:
        return self._row(contact_id).contact

    def state(self, campaign_id: str) -> tuple[CampaignState, str]:
        """And its reason."""
        campaign = self._campaigns[campaign_id]
        return campaign.state, campaign.reason

    def done(self, contact_id: int) -> Done | None:
        return self._row(contact_id).done

    def end(self, call_id: str, attempt: Attempt, *, our_fault: bool = False, sip_status: int = 0) -> None:
        campaign_id, contact_id = self._calls[call_id]
        row = self._row(contact_id)
        contact = replace(row.contact, attempts=(*row.contact.attempts[:-1], attempt))
        self._ended[call_id] = Ended(
            campaign_id, self._campaigns[campaign_id].order, contact, attempt, our_fault, sip_status
        )

    # --- CampaignBook ------------------------------------------------------------------------------------------------

    async def active(self, now: datetime) -> tuple[Campaign, ...]:
        states = (CampaignState.RUNNING, CampaignState.FINISHING)
        found = [self._seen(name, each) for name, each in self._campaigns.items() if each.state in states]
        return tuple(sorted(found, key=lambda campaign: -campaign.order.priority))

    def _seen(self, campaign_id: str, campaign: _Campaign) -> Campaign:
        self._tidy(campaign)
        next_at = campaign.due[0][0] if campaign.due else None
        return Campaign(
            campaign_id, campaign.order, campaign.state, campaign.reason, len(campaign.live), next_at,
            campaign.failures,
        )  # fmt: skip

    @staticmethod
    def _tidy(campaign: _Campaign) -> None:
        """Entries of the heap that are out of date are dropped."""
        while campaign.due:
            at, contact_id = campaign.due[0]
            row = campaign.rows[contact_id]
            if row.state is ContactState.WAITING and row.next_at == at:
                return
            heapq.heappop(campaign.due)

    async def take(self, campaign_id: str, gateway: str, most: int, now: datetime) -> Taken:
        campaign = self._campaigns[campaign_id]
        pace = campaign.pace = campaign.pace.now(now.timestamp())
        count = min(most, pace.allowed(len(campaign.live)))
        taken: list[Contact] = []
        while len(taken) < count:
            self._tidy(campaign)
            if not campaign.due or campaign.due[0][0] > now:
                break
            row = campaign.rows[heapq.heappop(campaign.due)[1]]
            row.state, row.lease_by, row.lease_until = ContactState.DIALLING, gateway, now + LEASE
            taken.append(row.contact)
        campaign.pace = pace.begun(len(taken))
        numbers = {number.number for contact in taken for number in contact.numbers}
        listed = {number: self.listed[number] for number in numbers if number in self.listed}
        return Taken(tuple(taken), listed, max(0.0, campaign.pace.due - now.timestamp()))

    async def dialling(self, attempt: NewAttempt, gateway: str) -> bool:
        campaign, row = self._campaigns[attempt.campaign_id], self._row(attempt.contact_id)
        ours = row.state is ContactState.DIALLING and row.lease_by == gateway and not row.call_id
        if not ours or campaign.state is not CampaignState.RUNNING or attempt.place != len(row.contact.attempts) + 1:
            return False
        made = Attempt(attempt.number, attempt.at, call_id=attempt.call_id)
        row.contact = replace(row.contact, attempts=(*row.contact.attempts, made), callback_at=None)
        row.call_id = attempt.call_id
        campaign.live[attempt.call_id] = attempt.contact_id
        self._calls[attempt.call_id] = (attempt.campaign_id, attempt.contact_id)
        return True

    async def not_dialled(self, call_id: str, verdict: Later | Done, now: datetime) -> None:
        campaign_id, contact_id = self._calls.pop(call_id)
        row = self._row(contact_id)
        row.contact = replace(row.contact, attempts=row.contact.attempts[:-1])
        self._campaigns[campaign_id].live.pop(call_id, None)
        await self.judged(contact_id, verdict, now)

    async def judged(self, contact_id: int, verdict: Later | Done, now: datetime) -> None:
        campaign = self._campaigns[self._of_contact[contact_id]]
        campaign.pace = campaign.pace.begun(-1)
        self._free(contact_id, verdict)

    def _free(self, contact_id: int, verdict: Later | Done) -> None:
        campaign, row = self._campaigns[self._of_contact[contact_id]], self._row(contact_id)
        row.lease_by, row.lease_until, row.call_id = "", None, ""
        if isinstance(verdict, Done):
            row.state, row.done = ContactState.DONE, verdict
            return
        row.state, row.next_at = ContactState.WAITING, verdict.at
        heapq.heappush(campaign.due, (verdict.at, contact_id))

    async def ended(self, gateway: str, now: datetime) -> tuple[Ended, ...]:
        self._free_lost(now)
        mine = [
            call_id for call_id, ended in self._ended.items()
            if self._row(ended.contact.contact_id).lease_by in (gateway, "")
        ]  # fmt: skip
        return tuple(self._ended.pop(call_id) for call_id in mine)

    def _free_lost(self, now: datetime) -> None:
        for campaign_id, campaign in self._campaigns.items():
            for call_id, contact_id in tuple(campaign.live.items()):
                row = campaign.rows[contact_id]
                if row.lease_until is None or row.lease_until > now or call_id in self._ended:
                    continue
                row.lease_by = ""
                self._ended[call_id] = Ended(campaign_id, campaign.order, row.contact, row.contact.attempts[-1])

    async def settled(self, campaign_id: str, contact_id: int, attempt: Attempt, verdict: Later | Done) -> None:
        campaign, row = self._campaigns[campaign_id], self._row(contact_id)
        if campaign.live.pop(attempt.call_id, None) is None:
            return
        row.contact = replace(row.contact, attempts=(*row.contact.attempts[:-1], attempt))
        self._free(contact_id, verdict)

    async def resume(self, gateway: str, now: datetime) -> None:
        for campaign in self._campaigns.values():
            for contact_id, row in campaign.rows.items():
                if row.lease_by == gateway and not row.call_id:
                    self._free(contact_id, Later(now, row.contact.key))
                elif row.lease_by == gateway:
                    row.lease_until = now

    async def renew(self, gateway: str, now: datetime) -> int:
        count = 0
        for campaign in self._campaigns.values():
            for contact_id in campaign.live.values():
                row = campaign.rows[contact_id]
                if row.lease_by == gateway:
                    row.lease_until = now + LEASE
                    count += 1
        return count

    async def overloaded(self, campaign_id: str, now: datetime, retry_after_s: float) -> None:
        campaign = self._campaigns[campaign_id]
        campaign.pace = campaign.pace.overloaded(now.timestamp(), retry_after_s)

    async def pace(self, campaign_id: str) -> Pace:
        return self._campaigns[campaign_id].pace

    async def set_state(
        self, campaign_id: str, state: CampaignState, reason: str, now: datetime, *, only: Sequence[CampaignState] = ()
    ) -> bool:
        campaign = self._campaigns[campaign_id]
        if only and campaign.state not in only:
            return False
        campaign.state, campaign.reason = state, reason
        return True

    async def failures(self, campaign_id: str, count: int) -> None:
        self._campaigns[campaign_id].failures = count

    def _row(self, contact_id: int) -> _Row:
        return self._campaigns[self._of_contact[contact_id]].rows[contact_id]
