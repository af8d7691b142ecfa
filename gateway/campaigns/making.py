"""The campaigns of a gateway, from its parts."""

from __future__ import annotations

from gateway.campaigns.service import CampaignService
from gateway.config import Settings
from gateway.dialplan import Dialplan
from gateway.dispatch import Dispatcher
from gateway.outbound.originating import Originator
from gateway.outbound.trunks import OutboundTrunks
from gateway.queues.service import QueueService
from gateway.steering import CannotSteer, Steering
from gateway.store import CallStore

__all__ = ["make_campaigns"]


def make_campaigns(
    settings: Settings,
    dialplan: Dialplan,
    store: CallStore,
    originator: Originator,
    dispatcher: Dispatcher,
    trunks: OutboundTrunks,
    steering: Steering,
    queues: QueueService,
) -> CampaignService:
    async def hang_up(call_id: str) -> None:
        try:
            await steering.hang_up(call_id, goodbye=False)
        except CannotSteer:  # it is over, or another gateway's
            pass

    return CampaignService(
        store.campaigns,
        store.campaign_admin,
        originator,
        settings.store.owner or "gateway",
        slots_free=lambda: dispatcher.free,
        trunks=lambda: {name: state.cap for name, state in trunks.states().items()},
        hang_up=hang_up,
        knows_persona=lambda name: dialplan.outbound_persona(name) is not None,
        members_free=queues.free,
        knows_queue=lambda name: name in queues.settings,
    )
