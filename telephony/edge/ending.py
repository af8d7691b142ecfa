"""Ending calls in a worker's stead, so that no phone is left on a dead line."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from telephony.edge.context import EdgeContext, reply_hop
from telephony.edge.dialing import Dialing
from telephony.edge.dialogs import Dialog, DialogEvent, DialogState, Party
from telephony.edge.hops import Action, CallerGone, InviteRefused, SendPublic, SendWorker
from telephony.edge.own_requests import headers_within
from telephony.edge.protocol import RefusedInvite
from telephony.edge.relays import Due, DueKind, Relay
from telephony.edge.to_worker import own_to_worker
from telephony.edge.way import way_to_public
from telephony.sip import writing
from telephony.sip.causes import NORMAL, TEMPORARY_FAILURE, TIMER_EXPIRED, reason_values

__all__ = ["EndingCalls"]

log = structlog.get_logger(__name__)

_CSEQ_LEAP = 1000  # above any CSeq that the worker can have used unseen
_NOT_TAKEN = "the call worker did not take the request"


class EndingCalls:
    def __init__(self, context: EdgeContext, dialing: Dialing) -> None:
        self._context = context
        self._dialing = dialing

    def end(
        self,
        dialog: Dialog,
        cause: str,
        now: float,
        *,
        tell_worker: bool,
        status: int = 500,
        q850: int = TEMPORARY_FAILURE,
    ) -> list[Action]:
        """Tell the caller, and the worker if it is alive, that a live dialog is over. Idempotent. `status` is for a
        call that has not been answered yet."""
        context = self._context
        if not dialog.live:
            return []
        log.debug("dialog_cut", leg_id=dialog.leg_id, cause=cause, state=dialog.state.value)
        context.counters.add("ended_by_edge")
        if dialog.state is DialogState.INVITING and dialog.initiator is Party.WORKER:
            return self._dialing.cut(dialog, status, cause, now, tell_worker=tell_worker)
        actions: list[Action] = []
        if dialog.state is DialogState.INVITING:
            actions += self._final_answer(dialog, status, cause, now)
        elif dialog.state is DialogState.CONFIRMED or dialog.ended_by_worker:
            actions.append(self._bye_public(dialog, reason_values(q850, 500, cause), now))
        if tell_worker:
            actions += self._tell_worker(dialog, cause, now, q850)
        return actions + context.end_dialog(dialog, DialogEvent.CUT, now, context.timers.kept_s)

    def replaced(self, dialog: Dialog, now: float) -> list[Action]:
        """Another phone has taken the public side's place: BYE to it, and to the worker the call goes on."""
        dialog.told = True  # the leg has not ended
        bye = [self._bye_public(dialog, reason_values(NORMAL, 200, "another phone has taken the call"), now)]
        return bye + self._context.end_dialog(dialog, DialogEvent.CUT, now, self._context.timers.kept_s)

    def left(self, dialog: Dialog, cause: str, now: float) -> list[Action]:
        """Its phone goes on in another leg: end it at the worker."""
        actions = self._tell_worker(dialog, cause, now, NORMAL)
        return actions + self._context.end_dialog(dialog, DialogEvent.CUT, now, self._context.timers.kept_s)

    def given_up(self, dialog: Dialog, cause: str, now: float) -> list[Action]:
        """Nobody is on its public side: end it at the worker."""
        actions = self._tell_worker(dialog, cause, now)
        return actions + self._context.end_dialog(dialog, DialogEvent.CUT, now, self._context.timers.kept_s)

    def expired(self, dialog: Dialog, now: float) -> list[Action]:
        """Nobody has refreshed its session (RFC 4028 section 10)."""
        self._context.counters.add("sessions_expired")
        return self.end(dialog, "its session was not refreshed", now, tell_worker=True, q850=TIMER_EXPIRED)

    def no_answer(self, dialog: Dialog, now: float) -> list[Action]:
        """Timer C has fired (RFC 3261 section 16.8), or a worker's call has rung for as long as it may."""
        if dialog.initiator is Party.WORKER:
            return self._dialing.no_answer(dialog, now)
        actions = self._final_answer(dialog, 408, "the call was not answered in time", now)
        actions += self._tell_worker(dialog, "the call was not answered in time", now)
        self._context.counters.add("invite_timeouts")
        return actions + self._context.end_dialog(dialog, DialogEvent.CUT, now, self._context.timers.kept_s)

    # A worker that does not respond

    def due(self, due: Due, now: float) -> list[Action]:
        relay = due.relay
        if due.kind is DueKind.AGAIN:
            return [relay.sent]
        if due.kind is DueKind.NO_END:
            return self._no_end(relay, now)
        self._context.counters.add("not_taken")
        log.warning("request_not_taken", method=relay.method, leg_id=relay.dialog.leg_id)
        if relay.method == "CANCEL":
            return []  # wait for the INVITE's end
        if relay.initial:
            return self._invite_not_taken(relay, now)
        return self._request_not_taken(relay, now)

    def _invite_not_taken(self, relay: Relay, now: float) -> list[Action]:
        context, dialog = self._context, relay.dialog
        actions = self._final_answer(dialog, 503, _NOT_TAKEN, now)
        if relay.replaces is not None:  # the call goes on with whoever is there
            relay.replaces.replaced = False
            return actions if relay.replaces is not dialog else actions + self.given_up(dialog, _NOT_TAKEN, now)
        actions += self._tell_worker(dialog, _NOT_TAKEN, now)
        refused = RefusedInvite(dialog.info, 503, writing.phrase_of(503), _NOT_TAKEN, "not-taken", now, dialog.leg_id)
        return [
            *actions,
            InviteRefused(refused),
            *context.end_dialog(dialog, DialogEvent.CUT, now, context.timers.kept_s),
        ]

    def _request_not_taken(self, relay: Relay, now: float) -> list[Action]:
        """A BYE ends the call anyway; anything else is refused, and the call continues."""
        context, dialog, reply = self._context, relay.dialog, relay.reply
        gone = relay.method == "BYE"
        relay.status = 200 if gone else 500
        headers = {} if gone else {"Reason": writing.reason_header(500, _NOT_TAKEN)}
        relay.final = writing.respond(reply.lines, reply.via, reply.received_from, relay.status, headers=headers)
        context.counters.add(f"answered.{relay.status}")
        actions: list[Action] = [SendPublic(reply_hop(reply.via, reply.hop), relay.final)]
        if gone and dialog.live:
            actions.append(CallerGone(dialog.leg_id, "the caller hung up"))
            actions += context.end_dialog(dialog, DialogEvent.CUT, now, context.timers.kept_s)
        return actions

    def _no_end(self, relay: Relay, now: float) -> list[Action]:
        """Its CANCEL was answered, so the INVITE must be, too (RFC 3261 section 9.2)."""
        if not relay.initial or relay.dialog.state is not DialogState.INVITING:
            return []
        self._context.counters.add("not_taken")
        actions = self._final_answer(relay.dialog, 487, "cancelled by the caller", now)
        actions.append(CallerGone(relay.dialog.leg_id, "the caller gave up"))
        return actions + self._context.end_dialog(relay.dialog, DialogEvent.CUT, now, self._context.timers.kept_s)

    # Messages to either side

    def _final_answer(self, dialog: Dialog, status: int, cause: str, now: float) -> list[Action]:
        context, reply = self._context, dialog.invite
        if reply is None:
            return []
        tag = dialog.worker.public_tag or context.branches.to_tag(dialog.sip_call_id, dialog.public.tag, reply.via)
        headers = {"Reason": writing.reason_header(status, cause)}
        if status == 503:  # another worker, or another gateway, will take it
            headers["Retry-After"] = str(context.limits.retry_after_s)
        data = writing.respond(reply.lines, reply.via, reply.received_from, status, to_tag=tag, headers=headers)
        action = SendPublic(reply_hop(reply.via, reply.hop), data)
        key = context.finish_attempt(dialog, reply, data, now, by_us=True)
        context.counters.add(f"answered.{status}")
        # It got a 100 and no longer retransmits its INVITE.
        context.resends.final_answer(key, action, now)
        return [action]

    def last_word(self, dialog: Dialog, cause: str) -> SendPublic | None:
        """What a worker may send to the peer when we are gone, only over UDP: BYE in a confirmed dialog, CANCEL to a
        phone that it makes ring; else None."""
        action: SendPublic | None = None
        if dialog.state is DialogState.CONFIRMED:
            action = self._bye(dialog, _failed(cause), dialog.worker.cseq + 2 * _CSEQ_LEAP)[0]
        elif dialog.state is DialogState.INVITING and dialog.initiator is Party.WORKER:
            action = self._dialing.last_word(dialog, _failed(cause))
        return action if action is not None and action.hop.transport == "udp" else None

    def _bye_public(self, dialog: Dialog, why: Sequence[str], now: float) -> Action:
        action, branch = self._bye(dialog, why, dialog.worker.cseq + _CSEQ_LEAP)
        self._context.resends.request(branch, action, now)
        return action

    def _bye(self, dialog: Dialog, why: Sequence[str], cseq: int) -> tuple[SendPublic, str]:
        context = self._context
        uri, routes, hop = way_to_public(context, dialog)
        branch = context.branches.own(dialog.sip_call_id, cseq)
        headers = headers_within(context, dialog, hop, routes, branch, cseq, "BYE")
        headers += [("Reason", value) for value in why]
        return SendPublic(hop, writing.own_request("BYE", uri, headers)), branch

    def _tell_worker(self, dialog: Dialog, cause: str, now: float, q850: int = TEMPORARY_FAILURE) -> list[Action]:
        """Send a live worker a BYE as if from its caller, or the CANCEL of its INVITE."""
        context = self._context
        if context.workers.get(dialog.worker.at.name) != dialog.worker.at:
            return []
        inviting = dialog.state is DialogState.INVITING
        method = "CANCEL" if inviting else "BYE"
        cseq = dialog.invite_cseq if inviting else dialog.public.cseq + dialog.public.cseq_shift + _CSEQ_LEAP
        branch = dialog.branch if inviting else context.branches.own(f"worker {dialog.sip_call_id}", cseq)
        reason = ", ".join(reason_values(q850, 500, cause))
        data = own_to_worker(method, dialog, cseq, context.worker_via(branch), reason)
        action = SendWorker(dialog.worker.at.host, dialog.worker.at.port, data)
        context.resends.request(branch, action, now)
        return [action]


def _failed(cause: str) -> list[str]:
    """Reason values of an end that neither party wanted."""
    return reason_values(TEMPORARY_FAILURE, 500, cause)
