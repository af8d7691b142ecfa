"""What a conversation tells its campaign: a result, an opt-out, the wish to be called again. Each is tried until the
store takes it: an opt-out must not be lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any

import structlog

from gateway.campaigns.admin import CampaignAdmin
from gateway.store.errors import StoreUnavailable

__all__ = ["told_by"]

log = structlog.get_logger(__name__)

AGAIN_S = 2.0
TRIES = 1800  # an hour


def told_by(admin: CampaignAdmin, call_id: str, event: Mapping[str, Any]) -> Coroutine[Any, Any, None] | None:
    """What is to be done about an event of a call, which may be no campaign's; None: nothing."""
    match event.get("type"):
        case "result_reported":
            return _kept(lambda: admin.result(call_id, event["result"]), call_id, "result")
        case "opted_out":
            said = str(event["words"])
            source = f'said in call {call_id}: "{said}"' if said else f"said in call {call_id}"
            return _kept(lambda: admin.opt_out(call_id, source, datetime.now(UTC)), call_id, "opt_out")
        case "callback_asked":
            when = datetime.fromisoformat(event["when"])
            return _kept(lambda: admin.call_back(call_id, when), call_id, "callback")
        case _:
            return None


async def _kept(work: Callable[[], Awaitable[bool]], call_id: str, what: str) -> None:
    for _ in range(TRIES):
        try:
            found = await work()
        except StoreUnavailable as error:
            log.warning("campaign_not_told_yet", call_id=call_id, what=what, error=str(error))
            await asyncio.sleep(AGAIN_S)
        else:
            log.info("campaign_told", call_id=call_id, what=what, of_a_campaign=found)
            return
    log.error("campaign_not_told", call_id=call_id, what=what)
