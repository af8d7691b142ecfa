"""What the edge asks of the gateway for each new INVITE: route it, take a slot, tell the worker - or say why not.

All of it is synchronous: between the decision and the slot nothing else can happen.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import structlog

from gateway.callworker.main import CALL_HEADER
from gateway.config import Settings
from gateway.control import Prepare
from gateway.dialplan import Dialplan, NoRoute, Route, normalise
from gateway.dispatch import Dispatcher
from gateway.record import CallOpened
from telephony.call import CallInfo, Direction
from telephony.edge import Forward, InviteInfo, Refuse, WorkerAddress

__all__ = ["Admission"]

log = structlog.get_logger(__name__)

RETRY_AFTER_S = 5


class Admission:
    """Implements the edge's Admitter."""

    def __init__(
        self,
        settings: Settings,
        dialplan: Dialplan,
        dispatcher: Dispatcher,
        *,
        prepare: Callable[[str, Prepare], bool],
        opened: Callable[[CallOpened], None],
        now: Callable[[], float],
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`prepare` sends to a worker by name, False when it is gone; `now` is the loop clock in seconds."""
        self._settings = settings
        self._dialplan = dialplan
        self._dispatcher = dispatcher
        self._prepare = prepare
        self._opened = opened
        self._now = now
        self._wall = wall
        self._regions = {trunk.name: trunk.region for trunk in settings.sip.trunks}
        self.draining = False

    def info(self, invite: InviteInfo, call_id: str) -> CallInfo:
        """The attempt as records and agents know it."""
        region = self._regions.get(invite.trunk) or self._dialplan.region
        return CallInfo(
            call_id=call_id,
            direction=Direction.INBOUND,
            called=normalise(invite.called, region),
            caller=None if invite.caller is None else normalise(invite.caller, region),
            trunk=invite.trunk,
            sip_call_id=invite.sip_call_id,
            headers=dict(invite.headers),
        )

    def admit(self, invite: InviteInfo) -> Forward | Refuse:
        if self.draining:
            return Refuse(503, "Shutting down", retry_after=RETRY_AFTER_S, cause_text="the gateway is shutting down")
        call_id = secrets.token_hex(8)
        info = self.info(invite, call_id)
        decision = self._dialplan.decide(info.called, info.caller, self._wall())
        if isinstance(decision, NoRoute):
            return Refuse(decision.sip_status, decision.reason, cause_text=decision.reason)
        slot = self._dispatcher.take(call_id, self._now())
        if slot is None:
            text = f"all {self._dispatcher.total} call slots are taken" if self._dispatcher.total else "no worker is ready"
            return Refuse(503, "Busy", retry_after=RETRY_AFTER_S, cause_text=text)
        if not self._prepare(slot.worker, self._prepared(info, decision)):
            self._dispatcher.release(call_id)
            return Refuse(503, "Busy", retry_after=1, cause_text="the worker has just gone")
        self._opened(
            CallOpened.of(
                info, started_at=self._wall(), persona=str(decision.persona), rule=decision.rule, worker=slot.worker
            )
        )
        log.info("call_admitted", call_id=call_id, called=info.called, persona=str(decision.persona), worker=slot.worker)
        return Forward(WorkerAddress(slot.worker, "127.0.0.1", slot.sip_port), call_id, {CALL_HEADER: call_id})

    def _prepared(self, info: CallInfo, route: Route) -> Prepare:
        record = route.recording if route.recording is not None else self._settings.record_calls
        recording = self._settings.recordings / self._wall().strftime("%Y-%m-%d") / f"{info.call_id}.wav"
        return Prepare(
            call=asdict(info),
            persona_file=str(route.persona.file),
            persona_class=route.persona.name,
            rule=route.rule,
            recording=str(Path(recording).resolve()) if record else "",
            session=dict(route.session),
            speech=dict(route.speech),
        )
