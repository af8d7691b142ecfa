"""Ending calls in a worker's stead, so that no phone is left on a dead line."""

from __future__ import annotations

import structlog

from telephony.edge import rewrite
from telephony.edge.attempts import AttemptKey
from telephony.edge.dialogs import Dialog, DialogState
from telephony.edge.ground import Ground, reply_hop
from telephony.edge.hops import Action, SendPublic, SendWorker
from telephony.edge.uri import parse_uri, route_uri

__all__ = ["EndingCalls"]

log = structlog.get_logger(__name__)

_KEPT_S = 64.0  # a lost dialog: longer than anything that either side still repeats
_CSEQ_LEAP = 1000  # above anything that the worker can have sent unseen


class EndingCalls:
    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def end(self, dialog: Dialog, cause: str, now: float, *, tell_worker: bool) -> list[Action]:
        """Tell the caller, and a worker that lives, that a live dialog is over. Idempotent."""
        ground = self._ground
        if not dialog.live:
            return []
        actions: list[Action] = []
        if dialog.state is DialogState.INVITING:
            actions += self._final_answer(dialog, 500, cause, now)
        elif dialog.state is DialogState.CONFIRMED or dialog.ended_by_worker:
            actions.append(self._bye_caller(dialog, cause, now))
        if tell_worker:
            actions += self._tell_worker(dialog, cause, now)
        log.warning("call ended by the edge", call_id=dialog.call_id, cause=cause, state=dialog.state.value)
        ground.counters.add("ended_by_edge")
        return actions + ground.end_dialog(dialog, DialogState.LOST, now, _KEPT_S)

    def no_answer(self, dialog: Dialog, now: float) -> list[Action]:
        """Timer C has fired (RFC 3261 section 16.8)."""
        actions = self._final_answer(dialog, 408, "the call was not answered in time", now)
        actions += self._tell_worker(dialog, "the call was not answered in time", now)
        self._ground.counters.add("invite_timeouts")
        return actions + self._ground.end_dialog(dialog, DialogState.LOST, now, _KEPT_S)

    def _final_answer(self, dialog: Dialog, status: int, cause: str, now: float) -> list[Action]:
        ground, reply = self._ground, dialog.invite
        if reply is None:
            return []
        tag = dialog.worker_tag or ground.branches.to_tag(dialog.sip_call_id, dialog.caller_tag, reply.via)
        headers = {"Reason": rewrite.reason_header(status, cause)}
        data = rewrite.respond(reply.lines, reply.via, reply.received_from, status, to_tag=tag, headers=headers)
        action = SendPublic(reply_hop(reply.via, reply.hop), data)
        key: AttemptKey = (
            reply.received_from[0],
            dialog.sip_call_id,
            dialog.invite_cseq,
            dialog.caller_tag,
            reply.via.branch,
            reply.via.sent_by,
        )
        attempts = ground.attempts_of(reply.received_from[0])
        attempt = attempts.get(key)
        if attempt is not None:
            attempt.final = data
            attempt.answered_by_us = True
            attempts.finished(key, now)
        ground.counters.add(f"answered.{status}")
        ground.resends.start(key, action, now)  # the caller has had a 100 and does not repeat its INVITE any more
        return [action]

    def _bye_caller(self, dialog: Dialog, cause: str, now: float) -> Action:
        ground = self._ground
        cseq = dialog.worker_cseq + _CSEQ_LEAP
        target = route_uri(dialog.routes[0]) if dialog.routes else parse_uri(dialog.caller_contact)
        hop = ground.trust.way_to_caller(dialog, target)
        branch = ground.branches.own(dialog.sip_call_id, cseq)
        headers = [("Via", ground.public_via(hop, branch))]
        headers += [("Route", value) for value in dialog.routes]
        headers += [
            ("From", dialog.worker_address),
            ("To", dialog.caller_address),
            ("Call-ID", dialog.sip_call_id),
            ("CSeq", f"{cseq} BYE"),
            ("Reason", rewrite.reason_header(500, cause)),
        ]
        action = SendPublic(hop, rewrite.own_request("BYE", dialog.caller_contact, headers))
        ground.resends.start(branch, action, now)
        return action

    def _tell_worker(self, dialog: Dialog, cause: str, now: float) -> list[Action]:
        """A worker that lives gets a BYE as from its caller, or the CANCEL of its INVITE."""
        ground = self._ground
        if ground.workers.get(dialog.worker.name) != dialog.worker:
            return []
        inviting = dialog.state is DialogState.INVITING
        method = "CANCEL" if inviting else "BYE"
        cseq = dialog.invite_cseq if inviting else dialog.caller_cseq + _CSEQ_LEAP
        branch = dialog.branch if inviting else ground.branches.own(f"worker {dialog.sip_call_id}", cseq)
        headers = [
            ("Via", ground.worker_via(branch)),
            ("From", dialog.caller_address),
            ("To", dialog.worker_address),
            ("Call-ID", dialog.sip_call_id),
            ("CSeq", f"{cseq} {method}"),
            ("Reason", rewrite.reason_header(500, cause)),
        ]
        uri = dialog.invite_uri if inviting else dialog.worker_contact or dialog.invite_uri
        action = SendWorker(dialog.worker.host, dialog.worker.port, rewrite.own_request(method, uri, headers))
        ground.resends.start(branch, action, now)
        return [action]
