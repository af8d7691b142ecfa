"""Requests from outside: admission of new calls, and the way of everything else to the worker that has the call."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from telephony.edge.answered_here import CAPABLE, FORWARDED, AnsweredHere
from telephony.edge.attempts import Attempt, attempt_key
from telephony.edge.bodies import Unacceptable, body_for_worker
from telephony.edge.capabilities import ALLOW, EXTENSIONS
from telephony.edge.challenging import challenge
from telephony.edge.context import EdgeContext
from telephony.edge.counters import counted_method
from telephony.edge.dialogs import Dialog, DialogEvent, DialogState, PublicParty, Reply, WorkerParty
from telephony.edge.hops import Action, CallCancelled, Hop, InviteRefused, SendPublic, SendWorker
from telephony.edge.invite_info import invite_info
from telephony.edge.protocol import Forward, InviteInfo, Refuse, RefusedInvite
from telephony.edge.relays import Relay
from telephony.edge.to_worker import request_to_worker, shown_to_worker
from telephony.sip import writing
from telephony.sip.parse import KNOWN_SCHEMES, Request
from telephony.sip.uri import contact_uri

__all__ = ["InboundRequests"]

log = structlog.get_logger(__name__)

_ALLOW = {"Allow": ALLOW}
_NEEDS_A_DIALOG = frozenset({"BYE", "INFO", "NOTIFY", "PRACK", "UPDATE"})


class InboundRequests:
    def __init__(self, context: EdgeContext) -> None:
        self._context = context
        self._here = AnsweredHere(context)

    def handle(self, request: Request, hop: Hop, now: float, *, over_rate: bool) -> list[Action]:
        """`over_rate`: the source sends more than it may; only what belongs to a call is served."""
        if request.method == "ACK":
            return self._ack(request, hop, now)
        if request.method == "CANCEL":
            return self._cancel(request, hop, now)
        if request.method == "INVITE" and not request.to_tag:
            return self._invite(request, hop, now, over_rate=over_rate)
        if request.to_tag:
            return self._in_dialog(request, hop, now)
        return [self._outside_dialog(request, hop, over_rate=over_rate)]

    # New calls

    def _invite(self, request: Request, hop: Hop, now: float, *, over_rate: bool) -> list[Action]:
        context = self._context
        key = attempt_key(request, request.via, hop.ip)
        if (attempt := context.attempts_of(hop.ip).get(key) or context.over_rate.get(key)) is not None:
            return self._retransmitted(request, hop, attempt)
        if key in context.waiting:
            return [context.answer(request, hop, 100)]
        trunk = context.trunks.trunk_of(hop.ip)
        if trunk is None:
            if not context.rates.strangers.allow("", now):  # floods get neither an answer nor a record each
                context.counters.add("dropped.stranger")
                context.floods.add(hop.ip, None, now)
                return []
            refuse = Refuse(403, "Source not allowed by any trunk", cause_text=f"no trunk allows source {hop.ip}")
            return self._refuse(request, hop, invite_info(request, hop, None, context.limits, now), refuse, "acl")
        if over_rate:
            return [self._over_rate(request, hop, trunk, now)]
        if not context.rates.invites.allow(hop.ip, now):
            if not context.waiting.add(key, request, hop):
                return [self._over_rate(request, hop, trunk, now)]
            context.counters.add("rate_limited.waiting")
            return [context.answer(request, hop, 100)]
        return self._take(request, hop, trunk, now)

    def due(self, now: float) -> list[Action]:
        """New calls that have waited for their turn."""
        context = self._context
        actions: list[Action] = []
        for request, hop in context.waiting.due(lambda ip: context.rates.invites.allow(ip, now)):
            actions += self._take(request, hop, context.trunks.trunk_of(hop.ip) or "", now)
        return actions

    def _take(self, request: Request, hop: Hop, trunk: str, now: float) -> list[Action]:
        """A new call within the rate of its trunk."""
        context = self._context
        info = invite_info(request, hop, context.trunks.named(trunk), context.limits, now)
        asked = challenge(context, request, hop, trunk, now)
        if isinstance(asked, Refuse):
            return self._refuse(request, hop, info, asked, "digest")
        if asked is not None:
            return [asked]
        try:
            self._check(request, hop, trunk)
        except Unacceptable as error:
            refuse = Refuse(error.status, "", cause_text=error.cause)
            return self._refuse(request, hop, info, refuse, error.rule, error.headers)
        old = context.dialogs.find(request.call_id, request.from_tag)
        if old is not None and old.live:  # the same call by a second way (RFC 3261 section 8.2.2.2)
            refuse = Refuse(482, "Loop Detected", cause_text="this call came in already")
            return self._refuse(request, hop, info, refuse, "loop")
        return self._admit(request, hop, info)

    def _over_rate(self, request: Request, hop: Hop, trunk: str, now: float) -> Action:
        """Refused as part of a flood: it is aggregated with the others of its minute, and takes no place among the
        known attempts."""
        context = self._context
        context.counters.add("rate_limited.invite")
        context.floods.add(hop.ip, trunk, now)
        headers = {
            "Retry-After": str(context.limits.retry_after_s),
            "Reason": writing.reason_header(503, f"too many new calls a second from {hop.ip}"),
        }
        answer = context.answer(request, hop, 503, reason="Too Many Calls", headers=headers)
        context.over_rate.add(
            attempt_key(request, request.via, hop.ip), Attempt(None, "", now, answer.data, answered_by_us=True)
        )
        return answer

    def _retransmitted(self, request: Request, hop: Hop, attempt: Attempt) -> list[Action]:
        context = self._context
        context.counters.add("retransmissions.INVITE")
        if attempt.final:
            return [SendPublic(context.reply_hop(request, hop), attempt.final)]
        if attempt.dialog is None:
            return []
        relay = context.relays.get(attempt.branch, "INVITE")
        again: list[Action] = [] if relay is None or relay.taken else [relay.sent]
        return [context.answer(request, hop, 100), *again]

    def _admit(self, request: Request, hop: Hop, info: InviteInfo) -> list[Action]:
        context = self._context
        rule, leg_id = "admitter", ""
        try:
            decision = context.admitter.admit(info)
        except Exception:  # whatever the gateway's failure, the caller gets an answer
            log.exception("admitter failed", sip_call_id=info.sip_call_id)
            decision, rule = Refuse(500, "Server Internal Error", cause_text="admission failed"), "error"
        if isinstance(decision, Forward) and decision.worker != context.workers.get(decision.worker.name):
            log.error("call given to an unknown worker", leg_id=decision.leg_id, worker=decision.worker.name)
            rule, leg_id = "error", decision.leg_id
            decision = Refuse(503, "Service Unavailable", cause_text="the call's worker is gone")
        if isinstance(decision, Refuse):
            return self._refuse(request, hop, info, decision, rule, leg_id=leg_id)
        return self._forward_new(request, hop, info, decision)

    def _forward_new(self, request: Request, hop: Hop, info: InviteInfo, decision: Forward) -> list[Action]:
        context, now = self._context, info.received_at
        branch = context.branches.forwarded(request)
        reply = Reply(request.lines, request.via, (hop.ip, hop.port), hop)
        dialog = Dialog(
            leg_id=decision.leg_id,
            sip_call_id=request.call_id,
            public=PublicParty(
                request.from_tag,
                _written(request, "from"),
                contact_uri(request.value("contact")) or request.sender.uri,
                hop,
                request.cseq,
                tuple(request.headers.get("record-route")),
            ),
            worker=WorkerParty(decision.worker, decision.leg_id, _written(request, "to")),
            trunk=info.trunk or "",
            invite_cseq=request.cseq,
            branch=branch,
            created_at=now,
            expires_at=now + context.limits.invite_timeout_s,
            invite=reply,
            shown=shown_to_worker(request, decision.worker, context.branches.public_tag(decision.leg_id)),
            info=info,
        )
        context.dialogs.add(dialog)
        context.attempts_of(hop.ip).add(attempt_key(request, request.via, hop.ip), Attempt(dialog, branch, now))
        return [
            context.answer(request, hop, 100),
            self._relay(request, hop, dialog, now, extra=decision.headers, initial=True),
        ]

    def _check(self, request: Request, hop: Hop, trunk: str | None) -> None:
        """A proxy's checks before forwarding (RFC 3261 section 16.3), and checks for what a worker cannot handle.
        Leaves the body that it gets in the request. Raises Unacceptable."""
        if request.uri.scheme not in KNOWN_SCHEMES:
            raise Unacceptable(416, "scheme", f"URI scheme {request.uri.scheme} is not known")
        if request.max_forwards == 0:
            raise Unacceptable(483, "max-forwards", "Max-Forwards is 0")
        unsupported = list(request.headers.get("proxy-require"))
        unsupported += [token for token in request.headers.get("require") if token.lower() not in EXTENSIONS]
        if unsupported:
            names = ", ".join(unsupported)
            raise Unacceptable(420, "extension", f"unsupported extension {names}", {"Unsupported": names})
        if request.method in FORWARDED and request.method != "BYE":
            rule = self._context.media_rule(trunk, hop.ip)
            in_call = bool(request.to_tag)
            request.worker_body, request.streams = body_for_worker(request, rule, in_call=in_call)

    def _refuse(
        self,
        request: Request,
        hop: Hop,
        info: InviteInfo,
        refuse: Refuse,
        rule: str,
        extra: Mapping[str, str] | None = None,
        leg_id: str = "",
    ) -> list[Action]:
        context, now = self._context, info.received_at
        cause = refuse.cause_text or refuse.reason
        headers = {"Reason": writing.reason_header(refuse.status, cause), **(extra or {})}
        retry_after = refuse.retry_after
        if refuse.status == 503 and retry_after is None:
            retry_after = context.limits.retry_after_s
        if retry_after is not None:
            headers["Retry-After"] = str(retry_after)
        answer = context.answer(request, hop, refuse.status, reason=refuse.reason, headers=headers)
        context.attempts_of(hop.ip).add(
            attempt_key(request, request.via, hop.ip), Attempt(None, "", now, answer.data, answered_by_us=True)
        )
        context.counters.add(f"refused.{rule}")
        refused = RefusedInvite(info, refuse.status, refuse.reason or cause, cause, rule, now, leg_id)
        return [answer, InviteRefused(refused)]

    # What belongs to an INVITE

    def _ack(self, request: Request, hop: Hop, now: float) -> list[Action]:
        """The ACK of a non-2xx final answer ends here, as the worker already got our ACK."""
        context = self._context
        key = attempt_key(request, request.via, hop.ip)
        attempt = context.attempts_of(hop.ip).get(key)
        branch, relay = self._relay_of(request, hop, attempt)
        if (attempt is not None and (attempt.answered_by_us or attempt.dialog is None)) or (
            relay is not None and relay.status >= 300
        ):
            context.resends.answered(key)
            context.resends.answered(branch)
            context.counters.add("absorbed.ACK")
            return []
        dialog = self._dialog_of(request, hop)
        if dialog is None or dialog.state is DialogState.LOST:
            context.counters.add("absorbed.ACK")
            return []
        self._seen(request, hop, dialog, now)
        try:
            request.worker_body, _ = body_for_worker(request, context.media_rule(dialog.trunk, hop.ip))
        except Unacceptable as error:  # the worker ends a call whose offer has no answer
            context.counters.add(f"refused.{error.rule}")
        return [self._send(request, dialog, context.branches.own(f"ack {request.call_id}", request.cseq))]

    def _cancel(self, request: Request, hop: Hop, now: float) -> list[Action]:
        """Answered here, and sent to the INVITE's worker with the INVITE's branch (RFC 3261 section 16.10)."""
        context = self._context
        attempt = context.attempts_of(hop.ip).get(attempt_key(request, request.via, hop.ip))
        branch, relay = self._relay_of(request, hop, attempt)
        if relay is None:
            if (waited := context.waiting.take(attempt_key(request, request.via, hop.ip))) is not None:
                return [context.answer(request, hop, 200), *self._gave_up(*waited, now)]
            if attempt is None:
                self._dialog_of(request, hop)  # counts strangers who know its tags
            return [context.answer(request, hop, 481 if attempt is None else 200)]
        answer = context.answer(request, hop, 200)
        if not relay.live or context.relays.get(branch, "CANCEL") is not None:
            return [answer]
        actions: list[Action] = [answer, self._relay(request, hop, relay.dialog, now, branch=branch)]
        context.relays.await_end(relay, now)
        if relay.initial:
            actions.append(CallCancelled(relay.dialog.leg_id))
        return actions

    def _gave_up(self, invite: Request, hop: Hop, now: float) -> list[Action]:
        trunk = self._context.trunks.trunk_of(hop.ip) or ""
        info = invite_info(invite, hop, self._context.trunks.named(trunk), self._context.limits, now)
        refuse = Refuse(487, "Request Terminated", cause_text="the caller gave up while it waited for its turn")
        return self._refuse(invite, hop, info, refuse, "cancelled")

    def _relay_of(self, request: Request, hop: Hop, attempt: Attempt | None) -> tuple[str, Relay | None]:
        """The INVITE, or re-INVITE, that an ACK or CANCEL belongs to."""
        branch = attempt.branch if attempt is not None else self._context.branches.forwarded(request)
        relay = self._context.relays.get(branch, "INVITE")
        if relay is not None and not self._context.trust.may_speak(relay.dialog, hop):
            self._context.counters.add("untrusted.request")
            relay = None
        return branch, relay

    # Inside and outside dialogs

    def _in_dialog(self, request: Request, hop: Hop, now: float) -> list[Action]:
        context = self._context
        dialog = self._dialog_of(request, hop)
        if dialog is None:
            context.counters.add("unknown_dialog")
            return [context.answer(request, hop, 481)]
        if dialog.state is DialogState.LOST:
            return [context.answer(request, hop, 200 if request.method == "BYE" else 481)]
        try:
            self._check(request, hop, dialog.trunk)
        except Unacceptable as error:
            context.counters.add(f"refused.{error.rule}")
            headers = {"Reason": writing.reason_header(error.status, error.cause), **error.headers}
            return [context.answer(request, hop, error.status, headers=headers)]
        self._seen(request, hop, dialog, now)
        if request.method not in FORWARDED:
            return self._here.handle(request, hop, dialog)
        branch = context.branches.forwarded(request)
        if (relay := context.relays.get(branch, request.method)) is not None:
            context.counters.add("retransmissions.other")
            return [SendPublic(context.reply_hop(request, hop), relay.final) if relay.final else relay.sent]
        if request.method == "BYE" and dialog.live and dialog.state is not DialogState.ENDING:
            if dialog.state is DialogState.CONFIRMED:  # it got our answer: a real call from its claimed source
                context.rates.invites.give_back(hop.ip)
            dialog.happened(DialogEvent.BYE)
            context.dialogs.expire_at(dialog, now + context.timers.after_bye_s)
        return [self._relay(request, hop, dialog, now, branch=branch)]

    def _dialog_of(self, request: Request, hop: Hop) -> Dialog | None:
        """By its tags, and only for those whose dialog it is."""
        context = self._context
        dialog = context.dialogs.find(request.call_id, request.from_tag)
        if dialog is None or not dialog.worker.tag or dialog.worker.tag != request.to_tag:
            return None
        if not context.trust.may_speak(dialog, hop):
            context.counters.add("untrusted.request")
            return None
        return dialog

    def _seen(self, request: Request, hop: Hop, dialog: Dialog, now: float) -> None:
        """Update the caller's address, target and CSeq (RFC 3261 section 12.2.2): not from requests older than
        that, nor from an ACK, which anyone can send and nobody answers."""
        if request.method != "ACK" and request.cseq >= dialog.public.cseq:
            dialog.public.hop = hop
            dialog.public.cseq = request.cseq
            if request.method in ("INVITE", "UPDATE"):
                dialog.public.contact = contact_uri(request.value("contact")) or dialog.public.contact
        if dialog.state is DialogState.CONFIRMED:
            self._context.dialogs.expire_at(dialog, now + self._context.limits.dialog_idle_s)

    def _outside_dialog(self, request: Request, hop: Hop, *, over_rate: bool) -> Action:
        context = self._context
        if over_rate:
            context.counters.add("rate_limited.message")
            return context.answer(request, hop, 503, headers={"Retry-After": str(context.limits.retry_after_s)})
        try:
            if request.method != "OPTIONS" or request.max_forwards != 0:  # RFC 3261 section 11: it is then for us
                self._check(request, hop, context.trunks.trunk_of(hop.ip))
        except Unacceptable as error:
            context.counters.add(f"refused.{error.rule}")
            return context.answer(request, hop, error.status, headers=error.headers)
        if request.method == "OPTIONS":
            status = context.admitter.status()
            if status.accepting:
                return context.answer(request, hop, 200, headers=CAPABLE)
            headers = {"Retry-After": str(status.retry_after), "Reason": writing.reason_header(503, status.reason)}
            return context.answer(request, hop, 503, headers=headers)
        if request.method in _NEEDS_A_DIALOG:
            return context.answer(request, hop, 481)
        context.counters.add("refused.method")
        return context.answer(request, hop, 405, headers=_ALLOW)

    def _relay(
        self,
        request: Request,
        hop: Hop,
        dialog: Dialog,
        now: float,
        *,
        branch: str = "",
        extra: Mapping[str, str] | None = None,
        initial: bool = False,
    ) -> SendWorker:
        """Send it on and remember what its answer needs."""
        context = self._context
        branch = branch or dialog.branch
        sent = self._send(request, dialog, branch, extra)
        reply = Reply(request.lines, request.via, (hop.ip, hop.port), hop)
        relay = Relay(
            dialog,
            branch,
            request.method,
            request.cseq,
            reply,
            sent,
            now,
            context.timers.worker,
            initial,
            streams=request.streams,
        )
        context.relays.add(relay)
        return sent

    def _send(
        self, request: Request, dialog: Dialog, branch: str, extra: Mapping[str, str] | None = None
    ) -> SendWorker:
        context = self._context
        data = request_to_worker(
            request, dialog, via=context.worker_via(branch), contact=context.worker_contact, extra=extra
        )
        context.counters.add(f"forwarded_in.{counted_method(request.method)}")
        return SendWorker(dialog.worker.at.host, dialog.worker.at.port, data)


def _written(request: Request, name: str) -> str:
    """A value as its caller wrote it, for what goes back to the caller."""
    return next(line.value for line in request.lines if line.name == name)
