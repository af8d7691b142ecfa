"""Requests from outside: new calls go to admission, everything else to the worker of its call."""

from __future__ import annotations

from telephony.edge.answered_here import FORWARDED, AnsweredHere, capable
from telephony.edge.attempts import Attempt, attempt_key
from telephony.edge.bodies import Unacceptable, body_for_worker
from telephony.edge.context import EdgeContext
from telephony.edge.dialogs import Dialog, DialogEvent, DialogState
from telephony.edge.forwarding import check, forward, send
from telephony.edge.hops import Action, CallCancelled, Hop, SendPublic
from telephony.edge.new_calls import NewCalls
from telephony.edge.phone_side import PhoneSide
from telephony.edge.referred import ReferredHere
from telephony.edge.relays import Relay
from telephony.edge.replacing import Replacing
from telephony.sip import writing
from telephony.sip.parse import Request
from telephony.sip.uri import contact_uri

__all__ = ["InboundRequests"]

_NEEDS_A_DIALOG = frozenset({"BYE", "INFO", "NOTIFY", "PRACK", "UPDATE"})


class InboundRequests:
    def __init__(self, context: EdgeContext, referred: ReferredHere, replacing: Replacing, phones: PhoneSide) -> None:
        self._context = context
        self._phones = phones
        self._new_calls = NewCalls(context, replacing)
        self._here = AnsweredHere(context, referred)

    def handle(self, request: Request, hop: Hop, now: float, *, over_rate: bool) -> list[Action]:
        """`over_rate`: the source sends more than it may; only what belongs to a call is served."""
        if request.method == "ACK":
            return self._ack(request, hop, now)
        if request.method == "CANCEL":
            return self._cancel(request, hop, now)
        if request.method == "INVITE" and not request.to_tag:
            return self._new_calls.invite(request, hop, now, over_rate=over_rate)
        if request.to_tag:
            return self._in_dialog(request, hop, now)
        if request.method == "REGISTER" and self._context.phones is not None and not over_rate:
            return self._phones.register(request, hop, now)
        return [self._outside_dialog(request, hop, over_rate=over_rate)]

    def due(self, now: float) -> list[Action]:
        """New calls that have waited for their turn."""
        return self._new_calls.due(now)

    def decided(self, token: str, now: float) -> list[Action] | None:
        """The admitter knows what becomes of a call. None: its caller has given up."""
        return self._new_calls.decided(token, now)

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
            request.worker_body, _ = body_for_worker(request, context.media_rule(dialog.trunk, hop))
        except Unacceptable as error:  # the worker ends a call whose offer has no answer
            context.counters.add(f"refused.{error.rule}")
        return [send(context, request, dialog, context.branches.own(f"ack {request.call_id}", request.cseq))]

    def _cancel(self, request: Request, hop: Hop, now: float) -> list[Action]:
        """Answered here, and sent to the INVITE's worker with the INVITE's branch (RFC 3261 section 16.10)."""
        context = self._context
        attempt = context.attempts_of(hop.ip).get(attempt_key(request, request.via, hop.ip))
        branch, relay = self._relay_of(request, hop, attempt)
        if relay is None:
            key = attempt_key(request, request.via, hop.ip)
            if (waited := context.waiting.take(key)) is not None:
                return [context.answer(request, hop, 200), *self._new_calls.given_up(*waited, now)]
            if (undecided := context.undecided.take(key)) is not None:
                gave_up = self._new_calls.given_up(undecided.request, undecided.hop, now)
                return [context.answer(request, hop, 200), *gave_up]
            if attempt is None:
                self._dialog_of(request, hop)  # counts strangers who know its tags
            return [context.answer(request, hop, 481 if attempt is None else 200)]
        answer = context.answer(request, hop, 200)
        if not relay.live or context.relays.get(branch, "CANCEL") is not None:
            return [answer]
        actions: list[Action] = [answer, forward(context, request, hop, relay.dialog, now, branch=branch)]
        context.relays.await_end(relay, now)
        if relay.initial and relay.replaces is None:
            actions.append(CallCancelled(relay.dialog.leg_id))
        return actions

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
            check(context, request, hop, dialog.trunk)
        except Unacceptable as error:
            context.counters.add(f"refused.{error.rule}")
            headers = {"Reason": writing.reason_header(error.status, error.cause), **error.headers}
            return [context.answer(request, hop, error.status, headers=headers)]
        self._seen(request, hop, dialog, now)
        if request.method not in FORWARDED:
            return self._here.handle(request, hop, dialog, now)
        branch = context.branches.forwarded(request)
        if (relay := context.relays.get(branch, request.method)) is not None:
            context.counters.add("retransmissions.other")
            return [SendPublic(context.reply_hop(request, hop), relay.final) if relay.final else relay.sent]
        if dialog.refreshing and request.method in ("INVITE", "UPDATE"):
            context.counters.add("glare")  # it met our refresh (RFC 3261 section 14.2)
            return [context.answer(request, hop, 491)]
        if request.method == "BYE" and dialog.live and dialog.state is not DialogState.ENDING:
            if dialog.state is DialogState.CONFIRMED:  # it got our answer: a real call from its claimed source
                context.rates.invites.give_back(hop.ip)
            dialog.happened(DialogEvent.BYE)
            context.dialogs.expire_at(dialog, now + context.timers.after_bye_s)
        return [forward(context, request, hop, dialog, now, branch=branch)]

    def _dialog_of(self, request: Request, hop: Hop) -> Dialog | None:
        """By its tags, and only for those whose dialog it is."""
        context = self._context
        dialog = context.dialogs.find(request.call_id, request.from_tag)
        if dialog is None or not dialog.worker.tag or dialog.worker.public_tag != request.to_tag:
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
                check(context, request, hop, context.trunk_of(hop))
        except Unacceptable as error:
            context.counters.add(f"refused.{error.rule}")
            return context.answer(request, hop, error.status, headers=error.headers)
        if request.method == "OPTIONS":
            status = context.admitter.status()
            if status.accepting:
                return context.answer(request, hop, 200, headers=capable(context, context.trunk_of(hop) or ""))
            headers = {"Retry-After": str(status.retry_after), "Reason": writing.reason_header(503, status.reason)}
            return context.answer(request, hop, 503, headers=headers)
        if request.method in _NEEDS_A_DIALOG:
            return context.answer(request, hop, 481)
        context.counters.add("refused.method")
        return context.answer(
            request, hop, 405, headers={"Allow": context.announced(context.trunk_of(hop) or "").allow}
        )
