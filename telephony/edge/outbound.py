"""Workers' messages and callers' answers to them: in-dialog requests outwards, responses both ways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from telephony.edge.bodies import Unacceptable, body_for_worker
from telephony.edge.context import EdgeContext, reply_hop
from telephony.edge.counters import counted_method
from telephony.edge.dialing import Dialing
from telephony.edge.dialogs import Dialog, DialogEvent, DialogState, Party
from telephony.edge.hops import Action, Hop, SendPublic, SendWorker
from telephony.edge.moving import Moving
from telephony.edge.pending import PendingRequests
from telephony.edge.protocol import WorkerAddress
from telephony.edge.relays import Asked, Relay
from telephony.edge.replacing import Replacing
from telephony.edge.to_public import request_to_public, response_to_public
from telephony.edge.to_worker import own_to_worker, response_to_worker
from telephony.edge.trunk_side import TrunkSide
from telephony.edge.way import acknowledge, way_to_public
from telephony.sip.headers import Headers
from telephony.sip.parse import Request, Response
from telephony.sip.uri import contact_uri

__all__ = ["PublicResponses", "WorkerMessages"]

_REFRESHES = frozenset({"INVITE", "UPDATE"})  # of a session (RFC 4028)


class WorkerMessages:
    """Messages from the worker socket; their source has been checked."""

    def __init__(self, context: EdgeContext, dialing: Dialing, replacing: Replacing, moving: Moving) -> None:
        self._context = context
        self._dialing = dialing
        self._replacing = replacing
        self._moving = moving

    def request(self, request: Request, worker: WorkerAddress, now: float) -> list[Action]:
        context = self._context
        address = (worker.host, worker.port)
        dialog = context.dialogs.of_worker_call(request.call_id)
        if dialog is None and request.method == "INVITE" and not request.to_tag:
            return self._dialing.invite(request, worker, now)
        ours = dialog is not None and dialog.initiator is Party.WORKER and dialog.worker.at == worker
        if dialog is not None and ours and context.branches.forwarded(request, from_worker=True) == dialog.branch:
            return self._dialing.of_invite(request, dialog, address, now)
        if (
            dialog is None
            or dialog.worker.at != worker
            or dialog.worker.tag != request.from_tag
            or dialog.shown.public_tag != request.to_tag
        ):
            context.counters.add("unknown_dialog")
            return [] if request.method == "ACK" else [context.answer_worker(request, address, 481)]
        if dialog.state is DialogState.LOST:
            if request.method == "ACK":
                return []
            return [context.answer_worker(request, address, 200 if request.method == "BYE" else 481)]
        if request.method == "ACK" and dialog.pickup is not None:
            return self._replacing.acknowledged(dialog, now)
        if request.max_forwards == 0 and request.method != "ACK":
            return [context.answer_worker(request, address, 483)]
        dialog.worker.cseq = max(dialog.worker.cseq, dialog.worker.number(request.cseq))
        if request.method in ("INVITE", "UPDATE"):
            dialog.worker.contact = contact_uri(request.value("contact")) or dialog.worker.contact
        if request.method == "BYE" and dialog.live and dialog.state is not DialogState.ENDING:
            dialog.happened(DialogEvent.BYE)
            dialog.ended_by_worker = True
            context.dialogs.expire_at(dialog, now + context.timers.after_bye_s)
        elif dialog.state is DialogState.CONFIRMED:
            context.dialogs.expire_at(dialog, now + context.limits.dialog_idle_s)
        branch = context.branches.forwarded(request, from_worker=True)
        asked = context.relays.asked(branch, request.method)
        if asked is not None and asked.refusals:  # the worker retransmits a request that collided with the caller's
            return [asked.resent] if asked.resent is not None else []
        return [self._to_public(request, address, dialog, branch, now)]

    def _to_public(self, request: Request, address: tuple[str, int], dialog: Dialog, branch: str, now: float) -> Action:
        """Send it by the dialog's route set and target (RFC 3261 section 12.2.1.1), which a worker does not know."""
        context = self._context
        uri, routes, hop = way_to_public(context, dialog)
        offer = request.method in ("INVITE", "UPDATE")
        request.body = dialog.streams.around(context.described(request.body, dialog, offer=offer))
        if request.body:
            dialog.described = request.body
        data = request_to_public(
            request,
            dialog,
            via=context.public_via(hop, branch),
            contact=context.contact_in(dialog, hop.listener),
            uri=uri,
            routes=routes,
            extra=context.sessions.asks(dialog) if request.method in _REFRESHES else (),
            announced=context.announced(dialog.trunk),
        )
        if request.method != "ACK":
            context.relays.ask(branch, Asked(dialog, request, address), now)
        context.counters.add(f"forwarded_out.{counted_method(request.method)}")
        return SendPublic(hop, data)

    def response(self, response: Response, worker: WorkerAddress, now: float) -> list[Action]:
        context = self._context
        if (moving := self._moving.from_worker(response, worker, now)) is not None:
            return moving
        relay = context.relays.get(response.via.branch, response.cseq_method)
        if relay is None or response.below is not None:  # an answer to one of our own requests, or to none
            if response.status < 200 or not context.resends.answered(response.via.branch):
                context.counters.add("absorbed.response")
            return []
        if relay.dialog.worker.at != worker or relay.dialog.worker.call_id != response.call_id:
            context.counters.add("stray_response")
            return []
        relay.taken = True
        if relay.method == "CANCEL":  # the caller got our own answer
            return []
        dialog = relay.dialog
        if relay.initial and dialog.state is DialogState.LOST:
            return self._late(response, dialog, now)
        if relay.method == "INVITE" and response.status == 100:
            return []  # the caller got our own
        return self._pass(response, relay, now)

    def _pass(self, response: Response, relay: Relay, now: float) -> list[Action]:
        context, dialog, reply = self._context, relay.dialog, relay.reply
        if relay.final:
            if relay.method != "INVITE":
                return []
            if relay.status >= 300:  # its ACK was lost
                return [self._ack(dialog, response)]
            return [SendPublic(reply_hop(reply.via, reply.hop), relay.final)]
        if relay.method == "PRACK" and response.status == 400:  # PJSIP's answer to a PRACK that matches nothing
            response.status, response.reason = 481, ""  # RFC 3262 section 3
        over = relay.replaces is not None and relay.replaces.state is not DialogState.CONFIRMED
        if over and response.status < 300:  # whoever was to be replaced has just hung up
            return self._replacing.too_late(response, relay, now)
        tag = response.to_tag if relay.initial else ""
        described = context.described(response.body, dialog, offer=relay.streams is None)
        response.body = (relay.streams or dialog.streams).around(described)
        contact = context.contact_in(dialog, reply.hop.listener)
        if response.body and relay.method in _REFRESHES:
            dialog.described = response.body
        extra: list[tuple[str, str]] = []
        if relay.method in _REFRESHES and 200 <= response.status < 300:
            extra = context.sessions.answers(dialog, Headers(reply.lines), now)
        able = context.announced(dialog.trunk)
        data = response_to_public(response, reply, contact, tag, initial=relay.initial, extra=extra, announced=able)
        sent = SendPublic(reply_hop(reply.via, reply.hop), data)
        actions: list[Action] = [sent]
        if response.status >= 200:
            relay.status, relay.final = response.status, data
            if relay.initial:
                context.finish_attempt(dialog, reply, data, now)
            if relay.method == "INVITE" and response.status >= 300:
                actions.append(self._ack(dialog, response))
                context.resends.final_answer(relay.branch, sent, now)
        if relay.replaces is not None and response.status >= 300:
            actions += self._replacing.refused(relay, now)
        elif relay.replaces is not None and response.status >= 200:
            actions += self._replacing.taken(relay, now)
        actions += self._learn(response, relay, now)
        context.counters.add(f"responses_out.{response.status // 100}xx")
        return actions

    def _ack(self, dialog: Dialog, response: Response) -> SendWorker:
        """ACK of a non-2xx final answer, with its branch (RFC 3261 section 17.1.1.3)."""
        via = self._context.worker_via(response.via.branch)
        data = own_to_worker("ACK", dialog, response.cseq, via, to_tag=response.to_tag)
        return SendWorker(dialog.worker.at.host, dialog.worker.at.port, data)

    def _late(self, response: Response, dialog: Dialog, now: float) -> list[Action]:
        """The caller already got our own final answer. Send the worker what the caller would send: an ACK, and a BYE
        after a 2xx, so that the agent stops talking."""
        context = self._context
        if response.status < 200:
            return []
        if response.status >= 300:
            return [self._ack(dialog, response)]
        dialog.worker.tag = response.to_tag
        dialog.worker.contact = contact_uri(response.value("contact")) or dialog.worker.contact
        to = (dialog.worker.at.host, dialog.worker.at.port)
        via = context.worker_via(context.branches.own(f"ack {response.call_id}", response.cseq))
        actions: list[Action] = [SendWorker(*to, own_to_worker("ACK", dialog, response.cseq, via))]
        bye_branch = context.branches.own(f"late {response.call_id}", response.cseq)
        if bye_branch not in context.resends:
            bye = own_to_worker("BYE", dialog, response.cseq + 1000, context.worker_via(bye_branch))
            sent = SendWorker(*to, bye)
            context.resends.request(bye_branch, sent, now)
            actions.append(sent)
        return actions

    def _learn(self, response: Response, relay: Relay, now: float) -> list[Action]:
        context, dialog = self._context, relay.dialog
        if relay.method == "BYE" and response.status >= 200 and dialog.live:
            return context.end_dialog(dialog, DialogEvent.BYE_ANSWERED, now)
        if relay.method not in ("INVITE", "UPDATE"):
            return []
        initial = relay.initial and dialog.state is DialogState.INVITING
        if response.status >= 300:
            if not initial:
                return []
            return context.end_dialog(dialog, DialogEvent.REFUSED, now, refused=(response.status, response.reason))
        if initial and response.to_tag:
            dialog.worker.tag = response.to_tag
        dialog.worker.contact = contact_uri(response.value("contact")) or dialog.worker.contact
        if relay.streams is not None and response.status >= 200:
            dialog.streams = relay.streams
        if initial and response.status >= 200:
            dialog.happened(DialogEvent.ANSWERED)
            dialog.invite = None
            context.dialogs.expire_at(dialog, now + context.limits.dialog_idle_s)
        elif initial:
            context.dialogs.expire_at(dialog, now + context.limits.invite_timeout_s)
        return []


class OwnRequests(Protocol):
    def response(self, response: Response, hop: Hop, now: float) -> list[Action] | None:
        """None: not an answer to one of them."""


class PublicResponses:
    """Callers' answers to requests from workers, or from the edge in a worker's stead."""

    def __init__(
        self,
        context: EdgeContext,
        pending: PendingRequests,
        dialing: Dialing,
        trunks: TrunkSide,
        our_own: Sequence[OwnRequests],
    ) -> None:
        """`our_own`: who sends requests of the edge itself within dialogs."""
        self._context = context
        self._our_own = tuple(our_own)
        self._trunks = trunks
        self._dialing = dialing
        self._pending = pending

    def handle(self, response: Response, hop: Hop, now: float) -> list[Action]:
        context = self._context
        if not context.is_public_via(response.via):
            return self._stray()
        branch = response.via.branch
        if (ours := self._trunks.response(response, hop, now)) is not None:
            return ours
        for part in self._our_own:
            if (ours := part.response(response, hop, now)) is not None:
                return ours
        invite = context.relays.asked(branch, "INVITE")
        if invite is not None and invite.initial and response.cseq_method in ("INVITE", "CANCEL"):
            if response.cseq_method == "INVITE":
                return self._dialing.response(response, invite, hop, now)
            if response.status >= 200 and context.trust.may_speak(invite.dialog, hop):
                context.resends.answered((branch, "CANCEL"))
            return []
        dialog = context.dialogs.find(response.call_id, response.to_tag)
        if dialog is not None and not context.trust.may_speak(dialog, hop):
            context.counters.add("untrusted.response")
            return []
        if response.status >= 200 and context.resends.answered(branch):
            return []
        asked = context.relays.asked(branch, response.cseq_method)
        if asked is None or response.below is not None or dialog is not asked.dialog:
            return self._stray()
        if dialog.state is DialogState.LOST:
            return []
        if (again := self._pending.refused(response, asked, now)) is not None:
            return again
        actions = self._to_worker(response, asked, dialog, hop)
        context.counters.add(f"responses_in.{response.status // 100}xx")
        if not dialog.live or response.status < 200:
            return actions
        if response.cseq_method == "BYE":
            actions += context.end_dialog(dialog, DialogEvent.BYE_ANSWERED, now)
        elif response.cseq_method in _REFRESHES and response.status < 300:
            context.sessions.accepted(dialog, response.headers, now)
            dialog.public.contact = contact_uri(response.value("contact")) or dialog.public.contact
        return actions

    def _to_worker(self, response: Response, asked: Asked, dialog: Dialog, hop: Hop) -> list[Action]:
        """An answer with an unusable body counts as a refusal; the caller's 2xx still gets its ACK."""
        context, actions = self._context, list[Action]()
        if asked.request.method in ("INVITE", "UPDATE") and response.status < 300:
            try:
                rule, offer = context.media_rule(dialog.trunk, hop), asked.request.body
                response.worker_body, _ = body_for_worker(response, rule, in_call=True, offer=offer)
                dialog.describe(response.worker_body)
            except Unacceptable as error:
                context.counters.add(f"refused.{error.rule}")
                if response.status >= 200 and asked.request.method == "INVITE":
                    actions.append(acknowledge(context, dialog, response.cseq))
                response.status = 488
        data = response_to_worker(response, asked.request, asked.address, context.worker_contact)
        return [SendWorker(*asked.address, data), *actions]

    def _stray(self) -> list[Action]:
        self._context.counters.add("stray_response")
        return []
