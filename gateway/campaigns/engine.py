"""Runs campaigns: what is due is judged and dialled, what has ended is judged again. It keeps no state of its own but
the calls that it is placing: any number of gateways run one on the same store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog

from gateway.campaigns.book import Campaign, CampaignBook, Ended, NewAttempt
from gateway.campaigns.judging import judge
from gateway.campaigns.model import Attempt, CampaignState, Contact, Dial, Done, DoneReason, Later, Verdict
from gateway.campaigns.order import CampaignOrder
from gateway.campaigns.ordering import call_order
from gateway.campaigns.rules import CampaignRules, RuleSet
from gateway.outbound.order import CallOrder, OrderRefused
from gateway.record import Outcome
from gateway.store.errors import StoreUnavailable

__all__ = ["CampaignEngine", "PlacesCalls"]

log = structlog.get_logger(__name__)

LONGEST_REST_S = 5.0  # another gateway, or a person, may have changed something
SHORTEST_REST_S = 0.05
LOOK_AT_LEAST = timedelta(minutes=1)  # for what a gateway that died has left of campaigns that are paused
FULL_AGAIN = timedelta(seconds=1)  # after a refusal for want of a slot
TRUNK_AGAIN = timedelta(seconds=10)
OVERLOADED = frozenset({429, 503})
_NO_ROOM = frozenset({"no_slot", "trunk_full", "draining"})
_CONTACTS_FAULT = {"closed_destination": DoneReason.INVALID, "invalid_variable": DoneReason.INVALID,
                   "invalid_message": DoneReason.INVALID}  # fmt: skip


class PlacesCalls(Protocol):
    """As `Originator.place`; whose result is not needed. Raises OrderRefused."""

    async def __call__(self, order: CallOrder, call_id: str, /) -> object: ...


class CampaignEngine:
    def __init__(
        self,
        book: CampaignBook,
        place: PlacesCalls,
        law: Callable[[CampaignOrder], Mapping[str, tuple[RuleSet, ...]]],
        gateway: str,
        *,
        room: Callable[[Campaign], int],
        wall: Callable[[], datetime],
        new_call_id: Callable[[], str],
    ) -> None:
        """`law`: the rule sets that a campaign is bound by, by region. `room`: calls that this gateway may begin for it
        now."""
        self._book = book
        self._place = place
        self._law = law
        self._gateway = gateway
        self._room = room
        self._wall = wall
        self._new_call_id = new_call_id
        self._placing: set[asyncio.Task[None]] = set()
        self._rules: dict[str, tuple[CampaignOrder, CampaignRules]] = {}
        self._held: dict[str, datetime] = {}  # campaigns whose trunk is down, until when
        self._changed = asyncio.Event()
        self._live = 0  # contacts that we had at the last look
        self._look_again_at = datetime.min.replace(tzinfo=UTC)  # even if no campaign runs
        self._calls: set[str] = set()  # that we placed

    def changed(self) -> None:
        """Something may be due: a campaign was started or stopped, contacts were added."""
        self._changed.set()

    def call_ended(self, call_id: str) -> None:
        """Any call of the gateway."""
        if call_id in self._calls:
            self._calls.discard(call_id)
            self._changed.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        resumed = False
        while True:
            try:
                if not resumed:
                    await self._book.resume(self._gateway, self._wall())
                    resumed = True
                rest_s = await self.turn()
            except StoreUnavailable as error:
                log.warning("campaigns_wait_for_the_store", error=str(error))
                rest_s = LONGEST_REST_S
            self._changed.clear()
            try:
                async with asyncio.timeout(max(SHORTEST_REST_S, min(rest_s, LONGEST_REST_S))):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def placed(self) -> None:
        """Wait for calls that are being placed."""
        while self._placing:
            await asyncio.wait(set(self._placing))

    async def turn(self) -> float:
        """One look at everything. Seconds until the next is worth while. Raises StoreUnavailable."""
        now = self._wall()
        campaigns = await self._book.active(now)
        if not campaigns and not self._live and now < self._look_again_at:
            return LONGEST_REST_S
        self._look_again_at = now + LOOK_AT_LEAST
        self._live = await self._book.renew(self._gateway, now)
        by_id = {campaign.campaign_id: campaign for campaign in campaigns}
        for ended in await self._book.ended(self._gateway, now):
            await self._judge_ended(ended, by_id.get(ended.campaign_id), now)
        rests = [await self._turn_of(campaign, now) for campaign in campaigns]
        return min(rests, default=LONGEST_REST_S)

    # --- what has ended ----------------------------------------------------------------------------------------------

    async def _judge_ended(self, ended: Ended, campaign: Campaign | None, now: datetime) -> None:
        order = ended.order
        rules = self._rules_of(ended.campaign_id, order)
        verdict = _not_now(judge(ended.contact, rules, now, order.ends_at, {}), now)
        await self._book.settled(ended.campaign_id, ended.contact.contact_id, ended.attempt, verdict)
        if campaign is None:  # it does not run any more
            return
        if ended.sip_status in OVERLOADED:
            await self._book.overloaded(ended.campaign_id, now, ended.retry_after_s)
        await self._count_failure(campaign, ended.our_fault, now)

    async def _count_failure(self, campaign: Campaign, failed: bool, now: datetime) -> None:
        count = campaign.failures + 1 if failed else 0
        if count != campaign.failures:
            await self._book.failures(campaign.campaign_id, count)
        if count >= campaign.order.stop_after_failures:
            await self._pause(campaign, f"{count} calls in a row failed on our side", now)

    # --- what is due -------------------------------------------------------------------------------------------------

    async def _turn_of(self, campaign: Campaign, now: datetime) -> float:
        order = campaign.order
        if campaign.state is CampaignState.FINISHING or (order.ends_at is not None and order.ends_at <= now):
            await self._finish(campaign, now)
            return LONGEST_REST_S
        if order.starts_at is not None and order.starts_at > now:
            return (order.starts_at - now).total_seconds()
        if campaign.next_at is None and campaign.live == 0:
            await self._book.set_state(campaign.campaign_id, CampaignState.DONE, "", now, only=[CampaignState.RUNNING])
            return LONGEST_REST_S
        held = self._held.get(campaign.campaign_id)
        if held is not None and held > now:
            return (held - now).total_seconds()
        room = self._room(campaign)
        if room <= 0 or campaign.next_at is None:
            return LONGEST_REST_S
        if campaign.next_at > now:
            return (campaign.next_at - now).total_seconds()
        taken = await self._book.take(campaign.campaign_id, self._gateway, room, now)
        for contact in taken.contacts:
            await self._call(campaign, contact, taken.listed, now)
        return taken.due_s

    async def _finish(self, campaign: Campaign, now: datetime) -> None:
        state = CampaignState.DONE if campaign.live == 0 else CampaignState.FINISHING
        reason = campaign.reason or ("its end has come" if campaign.state is CampaignState.RUNNING else "")
        await self._book.set_state(
            campaign.campaign_id, state, reason, now, only=[CampaignState.RUNNING, CampaignState.FINISHING]
        )

    async def _call(self, campaign: Campaign, contact: Contact, listed: Mapping[str, str], now: datetime) -> None:
        order, rules = campaign.order, self._rules_of(campaign.campaign_id, campaign.order)
        verdict = judge(contact, rules, now, order.ends_at, listed)
        if not isinstance(verdict, Dial):
            await self._book.judged(contact.contact_id, verdict, now)
            return
        number = verdict.number
        attempt = NewAttempt(
            campaign.campaign_id,
            contact.contact_id,
            len(contact.attempts) + 1,
            number.number,
            self._new_call_id(),
            now,
            verdict.rule,
        )
        if not await self._book.dialling(attempt, self._gateway):
            return
        self._live += 1
        self._calls.add(attempt.call_id)
        call = call_order(campaign.campaign_id, order, contact, number)
        task = asyncio.create_task(self._placed(campaign, contact, attempt, call), name=f"place {attempt.call_id}")
        self._placing.add(task)
        task.add_done_callback(self._placing.discard)

    async def _placed(self, campaign: Campaign, contact: Contact, attempt: NewAttempt, call: CallOrder) -> None:
        try:
            await self._place(call, attempt.call_id)
        except OrderRefused as refused:
            try:
                await self._refused(campaign, contact, attempt, refused)
            except StoreUnavailable as error:  # its lease runs out, and the attempt is judged without an outcome
                log.warning("campaign_attempt_not_kept", call_id=attempt.call_id, error=str(error))
        else:
            if self._held.pop(campaign.campaign_id, None) is not None:
                await self._why(campaign, "", self._wall())

    async def _refused(self, campaign: Campaign, contact: Contact, attempt: NewAttempt, refused: OrderRefused) -> None:
        self._calls.discard(attempt.call_id)
        now, kind, text = self._wall(), refused.kind, str(refused)
        log.info("campaign_call_refused", campaign_id=campaign.campaign_id, call_id=attempt.call_id, kind=kind)
        if kind == "invalid_number" or kind == "failed":
            outcome = Outcome.INVALID_NUMBER if kind == "invalid_number" else Outcome.FAILED
            made = Attempt(attempt.number, attempt.at, outcome, call_id=attempt.call_id)
            ended = Ended(campaign.campaign_id, campaign.order, _with(contact, made), made, our_fault=kind == "failed")
            await self._judge_ended(ended, campaign, now)
        elif kind in _CONTACTS_FAULT:
            await self._book.not_dialled(attempt.call_id, Done(_CONTACTS_FAULT[kind], text), now)
        elif kind in _NO_ROOM:
            await self._book.not_dialled(attempt.call_id, Later(now + FULL_AGAIN, text), now)
        elif refused.retryable:  # its trunk is down: it goes on by itself
            self._held[campaign.campaign_id] = now + TRUNK_AGAIN
            await self._why(campaign, text, now)
            await self._book.not_dialled(attempt.call_id, Later(now + TRUNK_AGAIN, text), now)
        else:
            await self._book.not_dialled(attempt.call_id, Later(now, text), now)
            await self._pause(campaign, text, now)

    async def _why(self, campaign: Campaign, reason: str, now: datetime) -> None:
        """Why it runs, but does not call."""
        running = CampaignState.RUNNING
        await self._book.set_state(campaign.campaign_id, running, reason, now, only=[running])

    async def _pause(self, campaign: Campaign, reason: str, now: datetime) -> None:
        running = [CampaignState.RUNNING]
        if await self._book.set_state(campaign.campaign_id, CampaignState.PAUSED, reason, now, only=running):
            log.warning("campaign_paused", campaign_id=campaign.campaign_id, reason=reason)

    def _rules_of(self, campaign_id: str, order: CampaignOrder) -> CampaignRules:
        kept = self._rules.get(campaign_id)
        if kept is None or kept[0] != order:
            kept = self._rules[campaign_id] = (order, order.rules(dict(self._law(order))))
        return kept[1]


def _with(contact: Contact, attempt: Attempt) -> Contact:
    return replace(contact, attempts=(*contact.attempts, attempt))


def _not_now(verdict: Verdict, now: datetime) -> Later | Done:
    """Who may be called at once waits their turn."""
    return Later(now, verdict.rule) if isinstance(verdict, Dial) else verdict
