"""What programs may do with campaigns, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.campaigns.model import CampaignState
from gateway.campaigns.order import CampaignOrder
from gateway.campaigns.service import MOVES, CampaignRefused, CampaignService
from gateway.outbound.originating import FakeOriginator
from gateway.store import CallStore
from tests.unit.campaigns.book_rules import NOW, attempt, begun
from tests.unit.store.conftest import store

__all__ = ["store"]


def service(store: CallStore, hung_up: list[str] | None = None) -> CampaignService:
    async def hang_up(call_id: str) -> None:
        if hung_up is not None:
            hung_up.append(call_id)

    return CampaignService(
        store.campaigns, store.campaign_admin, FakeOriginator(), "g1", slots_free=lambda: 10, trunks=dict,
        hang_up=hang_up, knows_persona=lambda name: name == "a.B", members_free=lambda queue: 0,
        knows_queue=lambda name: name == "desk",
    )  # fmt: skip


def order(**changes: Any) -> CampaignOrder:
    return CampaignOrder(**{"name": "x", "persona": "a.B", **changes})


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"persona": "a.C"}, "unknown_persona"),
        ({"rule_sets": ("mars",)}, "unknown_rule_set"),
        ({"pacing": {"queue": "nobody"}}, "unknown_queue"),
    ],
)
async def test_what_does_not_exist_is_refused_before_anything_is_kept(
    store: CallStore, changes: dict[str, Any], kind: str
) -> None:
    campaigns = service(store)
    with pytest.raises(CampaignRefused) as refused:
        await campaigns.create(order(**changes))
    assert refused.value.kind == kind
    assert await campaigns.admin.list() == ()
    assert (await campaigns.create(order(pacing={"queue": "desk"}))).state is CampaignState.DRAFT


@pytest.mark.parametrize("verb", sorted(MOVES))
@pytest.mark.parametrize("state", sorted(CampaignState))
async def test_each_verb_in_each_state(store: CallStore, verb: str, state: CampaignState) -> None:
    campaigns = service(store)
    campaign_id = (await campaigns.create(order())).campaign_id
    await store.campaigns.set_state(campaign_id, state, "", (await campaigns.found(campaign_id)).created_at)
    allowed, to = MOVES[verb]
    if state in allowed or state is to:
        assert (await campaigns.move(campaign_id, verb)).state is to
    else:
        with pytest.raises(CampaignRefused) as refused:
            await campaigns.move(campaign_id, verb)
        assert refused.value.kind == "wrong_state"
        assert (await campaigns.found(campaign_id)).state is state


async def test_stop_hangs_up_what_is_live_and_pause_does_not(store: CallStore) -> None:
    hung_up: list[str] = []
    campaigns = service(store, hung_up)
    await begun(store)
    (contact, _) = (await store.campaigns.take("c", "g1", 2, NOW)).contacts
    assert await store.campaigns.dialling(attempt(contact, "call-1"), "g1")
    await campaigns.move("c", "pause")
    assert hung_up == []
    await campaigns.move("c", "stop")
    assert hung_up == ["call-1"]
