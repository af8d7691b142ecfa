"""Campaigns of one gateway: the engine, and what programs may do with it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any

import structlog

from gateway.campaigns.admin import CampaignAdmin, CampaignRecord
from gateway.campaigns.book import Campaign, CampaignBook
from gateway.campaigns.engine import CampaignEngine
from gateway.campaigns.law import law_of
from gateway.campaigns.model import CampaignState
from gateway.campaigns.order import CampaignOrder
from gateway.campaigns.telling import told_by
from gateway.outbound.caps import CapState
from gateway.outbound.originating import Originator
from gateway.record import CallClosed, CallEvents, RecordMessage

__all__ = ["CampaignRefused", "CampaignService"]

log = structlog.get_logger(__name__)

_DRAFT, _RUNNING, _PAUSED = CampaignState.DRAFT, CampaignState.RUNNING, CampaignState.PAUSED
_FINISHING, _STOPPED, _DONE = CampaignState.FINISHING, CampaignState.STOPPED, CampaignState.DONE
MOVES: Mapping[str, tuple[frozenset[CampaignState], CampaignState]] = {
    "start": (frozenset({_DRAFT, _PAUSED, _DONE, _STOPPED}), _RUNNING),
    "pause": (frozenset({_RUNNING}), _PAUSED),
    "resume": (frozenset({_PAUSED}), _RUNNING),
    "finish": (frozenset({_RUNNING, _PAUSED}), _FINISHING),
    "stop": (frozenset({_DRAFT, _RUNNING, _PAUSED, _FINISHING}), _STOPPED),
}  # verb -> from which states, to which


class CampaignRefused(Exception):
    """`kind`: one word for programs: no_such_campaign, wrong_state, unknown_rule_set, unknown_persona,
    unknown_queue."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class CampaignService:
    def __init__(
        self,
        book: CampaignBook,
        admin: CampaignAdmin,
        originator: Originator,
        gateway: str,
        *,
        slots_free: Callable[[], int],
        trunks: Callable[[], Mapping[str, CapState]],
        hang_up: Callable[[str], Awaitable[None]],
        knows_persona: Callable[[str], bool],
        members_free: Callable[[str], int],
        knows_queue: Callable[[str], bool],
    ) -> None:
        """`trunks`: how full each is. `hang_up(call_id)`: end a call of ours. `members_free(queue)`: who waits for
        a call."""
        self.admin = admin
        self._book = book
        self._slots_free = slots_free
        self._trunks = trunks
        self._hang_up = hang_up
        self._knows_persona = knows_persona
        self._members_free = members_free
        self._knows_queue = knows_queue
        self._tasks: set[asyncio.Task[None]] = set()
        self._engine = CampaignEngine(
            book, originator.place, law_of, gateway, room=self._room, wall=lambda: datetime.now(UTC),
            new_call_id=lambda: secrets.token_hex(8),
        )  # fmt: skip

    async def run(self) -> None:
        """Until it is cancelled."""
        await self._engine.run()

    def observe(self, message: RecordMessage) -> None:
        """As a listener of records."""
        if isinstance(message, CallClosed):
            self._engine.call_ended(message.call_id)
        elif isinstance(message, CallEvents):
            for event in message.events:
                if (work := told_by(self.admin, message.call_id, event)) is not None:
                    self._spawn(work)

    # --- for programs ------------------------------------------------------------------------------------------------

    async def create(self, order: CampaignOrder) -> CampaignRecord:
        """Raises CampaignRefused."""
        self._check(order)
        campaign_id = f"cmp{secrets.token_hex(6)}"
        await self.admin.create(campaign_id, order, datetime.now(UTC))
        return await self.found(campaign_id)

    async def found(self, campaign_id: str) -> CampaignRecord:
        """Raises CampaignRefused."""
        record = await self.admin.find(campaign_id)
        if record is None:
            raise CampaignRefused("no_such_campaign", f"There is no campaign {campaign_id}.")
        return record

    async def move(self, campaign_id: str, verb: str, reason: str = "") -> CampaignRecord:
        """`verb`: of MOVES. To be where one is already is no mistake. Raises CampaignRefused."""
        before = await self.found(campaign_id)
        allowed, state = MOVES[verb]
        if verb in ("start", "resume"):
            self._check(before.order)
        changed = await self._book.set_state(campaign_id, state, reason, datetime.now(UTC), only=sorted(allowed))
        after = await self.found(campaign_id)
        if not changed and after.state is not state:
            raise CampaignRefused("wrong_state", f"Campaign {campaign_id} is {after.state}: it cannot {verb}.")
        log.info("campaign_moved", campaign_id=campaign_id, verb=verb, state=after.state.value)
        if changed and verb in ("start", "resume"):
            await self._book.failures(campaign_id, 0)
        if changed and verb == "stop":
            live = await self.admin.live(campaign_id)
            await asyncio.gather(*(self._hang_up(call_id) for call_id in live))
        self._engine.changed()
        return after

    def _check(self, order: CampaignOrder) -> None:
        try:
            law_of(order)
        except ValueError as error:
            raise CampaignRefused("unknown_rule_set", f"{error}.") from None
        if not self._knows_persona(order.persona):
            raise CampaignRefused("unknown_persona", f"No dialplan lists {order.persona} under `outbound`.")
        if order.pacing.queue and not self._knows_queue(order.pacing.queue):
            raise CampaignRefused("unknown_queue", f"No queue of the settings is called {order.pacing.queue}.")

    def changed(self) -> None:
        """Contacts were added, for example."""
        self._engine.changed()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- for the engine ----------------------------------------------------------------------------------------------

    def _room(self, campaign: Campaign) -> int:
        pacing = campaign.order.pacing
        room = self._slots_free() - pacing.reserve_inbound
        shares = [
            int(state.calls * pacing.trunk_share) - state.placed
            for name, state in self._trunks().items()
            if state.calls is not None and (not campaign.order.trunks or name in campaign.order.trunks)
        ]
        if shares and (campaign.order.trunks or len(shares) == len(self._trunks())):
            room = min(room, sum(max(0, share) for share in shares))
        if pacing.queue:
            room = min(room, self._members_free(pacing.queue) - campaign.live)
        return max(0, room)
