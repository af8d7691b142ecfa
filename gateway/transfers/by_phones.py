"""Phones that transfer our calls by REFER: whose is honoured, to whom, and who carries it out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

import structlog

from agent.warm.asking import AskError, Refused
from gateway.calls.dialling import DialOrder
from gateway.calls.verbs import OnwardOrder, TransferOrder, new_transfer_id
from gateway.config.models import SipSettings
from gateway.live_calls import LiveCalls
from gateway.outbound.addresses import number_of
from gateway.record import CallEvents, RecordMessage, call_id_of, leg_id_of
from gateway.steering import STEER
from gateway.transfers.between_calls import LegMoves
from telephony.call import LegRole, UseRefer
from telephony.edge import LegReplaced, PeerReferred, PeerRefers, Refuse
from telephony.sip.uri import bracketed, phone_user, try_uri

__all__ = ["PhoneTransfers", "ReportEdge", "role_of"]

log = structlog.get_logger(__name__)

RING_S = 30.0
_ASK_LIMIT_S = 3.0
_STATUS: Mapping[str, int] = {"closed_destination": 403, "invalid_target": 404, "no_trunk": 503}
Ask = Callable[..., Awaitable[Mapping[str, Any]]]  # Supervisor.ask


class ReportEdge(Protocol):
    """What we use of the edge (`telephony.edge.Edge`)."""

    def report_refer(self, refer_id: str, status: int, reason: str = "") -> None: ...


def role_of(leg_id: str, live: LiveCalls) -> LegRole | None:
    """None: there is no such leg now."""
    leg = live.leg(leg_id)
    return None if leg is None else leg.role


class PhoneTransfers:
    """`connect` comes first."""

    def __init__(
        self,
        sip: SipSettings,
        live: LiveCalls,
        check_dial: Callable[[DialOrder], None],
        ask: Ask,
        record: Callable[[RecordMessage], None],
        moves: LegMoves,
    ) -> None:
        """`check_dial`: whether a leg of ours may go there; raises Refused. `ask`: a worker."""
        self._record = record
        self._moves = moves
        self._open = {trunk.name: trunk.transfers for trunk in sip.trunks}
        if sip.phones is not None:
            self._open[sip.phones.trunk] = sip.phones.transfers
        self._live = live
        self._check_dial = check_dial
        self._ask = ask
        self._edge: ReportEdge | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def connect(self, edge: ReportEdge) -> None:
        self._edge = edge

    # --- for the edge ------------------------------------------------------------------------------------------------

    def refused(self, refers: PeerRefers) -> Refuse | None:
        """Why this REFER is not honoured; None: it is, and `begin` follows."""
        role = role_of(refers.leg_id, self._live)
        call = self._live.get(call_id_of(refers.leg_id))
        if role is None or call is None:
            return Refuse(481, "", cause_text="there is no such call")
        may = self._open.get(refers.trunk)
        if may is None or role.value not in may.refer:
            return Refuse(403, "", cause_text=f'trunk "{refers.trunk}" honours no REFER of a {role}')
        if not call.worker:
            return Refuse(403, "", cause_text="calls in this kind of room cannot be handed on by REFER")
        if refers.replaced_leg:
            plan = self._moves.plan(refers)
            return plan if isinstance(plan, Refuse) else self.replace_refused(refers.replaced_leg)
        if refers.ours and refers.replaces is not None:
            return Refuse(481, "", cause_text="the dialog that is to be replaced is not known here")
        try:
            self._check_dial(_dial(refers))
        except Refused as refused:
            return Refuse(_STATUS.get(refused.kind, 503), "", cause_text=refused.text)
        return None

    def replace_refused(self, leg_id: str) -> Refuse | None:
        """Why no other phone may take this leg over by INVITE with Replaces; None: one may."""
        leg = self._live.leg(leg_id)
        if leg is None:
            return Refuse(481, "", cause_text="there is no such call")
        may = self._open.get(leg.trunk)
        if may is None or leg.role.value not in may.replaces:
            return Refuse(403, "", cause_text=f'trunk "{leg.trunk}" lets nobody take over the leg of a {leg.role}')
        return None

    def replaced(self, replaced: LegReplaced) -> None:
        """Who has the leg now is added to the call's story."""
        info, call = replaced.info, self._live.get(call_id_of(replaced.leg_id))
        log.info("leg_replaced", leg_id=replaced.leg_id, caller=info.caller, source=info.source.ip)
        if call is None:
            return
        now = datetime.now(UTC)
        since = None if call.answered_at is None else now - call.answered_at
        entry = {
            "type": "leg_replaced",
            "at": asyncio.get_running_loop().time(),
            "t_ms": 0.0 if since is None else round(since.total_seconds() * 1000, 1),
            "leg_id": replaced.leg_id,
            "caller": info.caller,
            "source": f"{info.source.transport}:{info.source.ip}:{info.source.port}",
            "sip_call_id": info.sip_call_id,
        }
        self._record(CallEvents(call_id=call.call_id, events=(entry,)))

    def begin(self, referred: PeerReferred) -> None:
        refers = referred.refers
        log.info("phone_refers", leg_id=refers.leg_id, refer_id=refers.refer_id, replaces=refers.replaced_leg)
        work = self._join(refers) if refers.replaced_leg else self._hand_on(refers)
        task = asyncio.create_task(work, name=f"REFER {refers.refer_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _join(self, refers: PeerRefers) -> None:
        plan = self._moves.plan(refers)
        if isinstance(plan, Refuse):  # somebody has hung up just now
            self._report(refers.refer_id, plan.status, plan.cause_text)
        else:
            await self._moves.join(plan, partial(self._report, refers.refer_id))

    async def _hand_on(self, refers: PeerRefers) -> None:
        call_id = call_id_of(refers.leg_id)
        call, dial = self._live.get(call_id), _dial(refers)
        order = TransferOrder(new_transfer_id(call_id), dial.to, refer=UseRefer.NEVER, ring_s=RING_S)
        asked = OnwardOrder(refers.leg_id, refers.refer_id, order, dial.headers)
        body = {"call_id": call_id, "verb": "hand_on", "order": asked.to_dict()}
        try:
            await self._ask(call.worker if call is not None else "", STEER, body, timeout_s=_ASK_LIMIT_S)
        except AskError as error:
            log.warning("phone_transfer_not_begun", refer_id=refers.refer_id, error=str(error))
            self._report(refers.refer_id, 503, str(error))

    def _report(self, refer_id: str, status: int, reason: str) -> None:
        assert self._edge is not None, "`connect` comes first"
        self._edge.report_refer(refer_id, status, reason)

    # --- for the workers ---------------------------------------------------------------------------------------------

    async def reported(self, worker: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """A worker tells `REFER_REPORT`. Raises Refused."""
        refer_id = str(body["refer_id"])
        call = self._live.get(call_id_of(refer_id.rpartition("-r")[0]))
        if call is not None and call.worker != worker:
            raise Refused("unknown_call", f"{worker} has not the call of {refer_id}")
        self._report(refer_id, int(body["status"]), str(body["reason"]))
        return {}


def _dial(refers: PeerRefers) -> DialOrder:
    """Raises Refused."""
    call_id = call_id_of(refers.leg_id)
    headers = {"Referred-By": f"<{refers.by}>"} if refers.by else {}
    if refers.replaces is not None:
        headers["Replaces"] = str(refers.replaces)
        if refers.require_replaces:
            headers["Require"] = "replaces"
    return DialOrder(call_id, leg_id_of(call_id, 2), _target(refers), ring_limit_s=RING_S, headers=headers)


def _target(refers: PeerRefers) -> str:
    """As a transfer over REST would name it. Raises Refused."""
    uri = try_uri(refers.target)
    if uri is None:
        raise Refused("invalid_target", "the target of the REFER cannot be read")
    number = number_of(phone_user(uri))
    if uri.scheme == "tel" or refers.ours:
        return number if number is not None else f"phone:{phone_user(uri)}"  # `check_dial` says whether there is one
    port = "" if uri.port is None else f":{uri.port}"
    transport = ";transport=tcp" if "transport=tcp" in uri.params.lower() else ""
    return f"sip:{number or uri.user}@{bracketed(uri.host)}{port}{transport}"
