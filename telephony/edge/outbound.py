"""What workers send, and what callers answer to it: in-dialog requests outwards, responses both ways."""

from __future__ import annotations

from telephony.edge.bodies import Unacceptable, body_for_worker
from telephony.edge.counters import counted_method
from telephony.edge.dialing import Dialing
from telephony.edge.dialogs import Dialog, DialogEvent, DialogState, Party
from telephony.edge.ground import AFTER_BYE_S, Ground, reply_hop
from telephony.edge.hops import Action, Hop, SendPublic, SendWorker
from telephony.edge.parse import Request, Response
from telephony.edge.pending import PendingRequests
from telephony.edge.protocol import WorkerAddress
from telephony.edge.relays import Asked, Relay
from telephony.edge.rewrite import own_request
from telephony.edge.to_caller import request_to_caller, response_to_caller
from telephony.edge.to_worker import own_to_worker, response_to_worker
from telephony.edge.uri import contact_uri
from telephony.edge.way import way_to_caller

__all__ = ["CallerResponses", "WorkerMessages"]


class WorkerMessages:
    """Messages from the worker socket; their source has been checked."""

    def __init__(self, ground: Ground, dialing: Dialing) -> None:
        self._ground = ground
        self._dialing = dialing

    def request(self, request: Request, worker: WorkerAddress, now: float) -> list[Action]:
        ground = self._ground
        address = (worker.host, worker.port)
        dialog = ground.dialogs.of_worker_call(request.call_id)
        if dialog is None and request.method == "INVITE" and not request.to_tag:
            return self._dialing.invite(request, worker, now)
        ours = dialog is not None and dialog.initiator is Party.WORKER and dialog.worker == worker
        if dialog is not None and ours and ground.branches.forwarded(request, from_worker=True) == dialog.branch:
            return self._dialing.of_invite(request, dialog, address, now)
        if (
            dialog is None
            or dialog.worker != worker
            or dialog.worker_tag != request.from_tag
            or dialog.names.caller_tag != request.to_tag
        ):
            ground.counters.add("unknown_dialog")
            return [] if request.method == "ACK" else [ground.answer_worker(request, address, 481)]
        if dialog.state is DialogState.LOST:
            if request.method == "ACK":
                return []
            return [ground.answer_worker(request, address, 200 if request.method == "BYE" else 481)]
        if request.max_forwards == 0 and request.method != "ACK":
            return [ground.answer_worker(request, address, 483)]
        dialog.worker_cseq = max(dialog.worker_cseq, request.cseq + dialog.cseq_shift)
        if request.method in ("INVITE", "UPDATE"):
            dialog.worker_contact = contact_uri(request.value("contact")) or dialog.worker_contact
        if request.method == "BYE" and dialog.live and dialog.state is not DialogState.ENDING:
            dialog.happened(DialogEvent.BYE)
            dialog.ended_by_worker = True
            ground.dialogs.expire_at(dialog, now + AFTER_BYE_S)
        elif dialog.state is DialogState.CONFIRMED:
            ground.dialogs.expire_at(dialog, now + ground.limits.dialog_idle_s)
        branch = ground.branches.forwarded(request, from_worker=True)
        asked = ground.relays.asked(branch, request.method)
        if asked is not None and asked.refusals:  # the worker's retransmission of what met a request of the caller's
            return [asked.resent] if asked.resent is not None else []
        return [self._to_caller(request, address, dialog, branch, now)]

    def _to_caller(self, request: Request, address: tuple[str, int], dialog: Dialog, branch: str, now: float) -> Action:
        """By the dialog's own route set and target (RFC 3261 section 12.2.1.1): a worker knows neither."""
        ground = self._ground
        uri, routes, hop = way_to_caller(ground, dialog)
        request.body = dialog.streams.around(request.body)
        data = request_to_caller(
            request,
            dialog,
            via=ground.public_via(hop, branch),
            contact=ground.public_contact(hop.listener),
            uri=uri,
            routes=routes,
        )
        if request.method != "ACK":
            ground.relays.ask(branch, Asked(dialog, request, address), now)
        ground.counters.add(f"forwarded_out.{counted_method(request.method)}")
        return SendPublic(hop, data)

    def response(self, response: Response, worker: WorkerAddress, now: float) -> list[Action]:
        ground = self._ground
        relay = ground.relays.get(response.via.branch, response.cseq_method)
        if relay is None or response.below is not None:  # an answer to a request of our own, or to none
            if response.status < 200 or not ground.resends.answered(response.via.branch):
                ground.counters.add("absorbed.response")
            return []
        if relay.dialog.worker != worker or relay.dialog.worker_call_id != response.call_id:
            ground.counters.add("stray_response")
            return []
        relay.taken = True
        if relay.method == "CANCEL":  # the caller has had our own answer
            return []
        dialog = relay.dialog
        if relay.initial and dialog.state is DialogState.LOST:
            return self._late(response, dialog, now)
        if relay.method == "INVITE" and response.status == 100:
            return []  # the caller has had our own
        return self._pass(response, relay, now)

    def _pass(self, response: Response, relay: Relay, now: float) -> list[Action]:
        ground, dialog, reply = self._ground, relay.dialog, relay.reply
        if relay.final:
            if relay.method != "INVITE":
                return []
            if relay.status >= 300:  # its ACK was lost
                return [self._ack(dialog, response)]
            return [SendPublic(reply_hop(reply.via, reply.hop), relay.final)]
        if relay.method == "PRACK" and response.status == 400:  # PJSIP's word for one that fits nothing
            response.status, response.reason = 481, ""  # RFC 3262 section 3
        tag = response.to_tag if relay.initial else ""
        response.body = (relay.streams or dialog.streams).around(response.body)
        contact = ground.public_contact(reply.hop.listener)
        data = response_to_caller(response, reply, contact, tag, initial=relay.initial)
        sent = SendPublic(reply_hop(reply.via, reply.hop), data)
        actions: list[Action] = [sent]
        if response.status >= 200:
            relay.status, relay.final = response.status, data
            if relay.initial:
                ground.finish_attempt(dialog, reply, data, now)
            if relay.method == "INVITE" and response.status >= 300:
                actions.append(self._ack(dialog, response))
                ground.resends.final_answer(relay.branch, sent, now)
        actions += self._learn(response, relay, now)
        ground.counters.add(f"responses_out.{response.status // 100}xx")
        return actions

    def _ack(self, dialog: Dialog, response: Response) -> SendWorker:
        """Of a final answer that is no 2xx, with its branch (RFC 3261 section 17.1.1.3)."""
        via = self._ground.worker_via(response.via.branch)
        data = own_to_worker("ACK", dialog, response.cseq, via, to_tag=response.to_tag)
        return SendWorker(dialog.worker.host, dialog.worker.port, data)

    def _late(self, response: Response, dialog: Dialog, now: float) -> list[Action]:
        """The caller has already had our own final answer. The worker gets what the caller would send: an ACK, and a
        BYE if it has answered, so that no agent talks to nobody."""
        ground = self._ground
        if response.status < 200:
            return []
        if response.status >= 300:
            return [self._ack(dialog, response)]
        dialog.worker_tag = response.to_tag
        dialog.worker_contact = contact_uri(response.value("contact")) or dialog.worker_contact
        to = (dialog.worker.host, dialog.worker.port)
        via = ground.worker_via(ground.branches.own(f"ack {response.call_id}", response.cseq))
        actions: list[Action] = [SendWorker(*to, own_to_worker("ACK", dialog, response.cseq, via))]
        bye_branch = ground.branches.own(f"late {response.call_id}", response.cseq)
        if bye_branch not in ground.resends:
            bye = own_to_worker("BYE", dialog, response.cseq + 1000, ground.worker_via(bye_branch))
            sent = SendWorker(*to, bye)
            ground.resends.request(bye_branch, sent, now)
            actions.append(sent)
        return actions

    def _learn(self, response: Response, relay: Relay, now: float) -> list[Action]:
        ground, dialog = self._ground, relay.dialog
        if relay.method == "BYE" and response.status >= 200 and dialog.live:
            return ground.end_dialog(dialog, DialogEvent.BYE_ANSWERED, now)
        if relay.method not in ("INVITE", "UPDATE"):
            return []
        initial = relay.initial and dialog.state is DialogState.INVITING
        if response.status >= 300:
            if not initial:
                return []
            return ground.end_dialog(dialog, DialogEvent.REFUSED, now, refused=(response.status, response.reason))
        if initial and response.to_tag:
            dialog.worker_tag = response.to_tag
            if not dialog.worker_address_tagged:
                dialog.worker_address = f"{dialog.worker_address};tag={response.to_tag}"
                dialog.worker_address_tagged = True
        dialog.worker_contact = contact_uri(response.value("contact")) or dialog.worker_contact
        if relay.streams is not None and response.status >= 200:
            dialog.streams = relay.streams
        if initial and response.status >= 200:
            dialog.happened(DialogEvent.ANSWERED)
            dialog.invite = None
            ground.dialogs.expire_at(dialog, now + ground.limits.dialog_idle_s)
        elif initial:
            ground.dialogs.expire_at(dialog, now + ground.limits.invite_timeout_s)
        return []


class CallerResponses:
    """Answers of callers to what workers, or the edge in a worker's stead, sent them."""

    def __init__(self, ground: Ground, pending: PendingRequests, dialing: Dialing) -> None:
        self._ground = ground
        self._dialing = dialing
        self._pending = pending

    def handle(self, response: Response, hop: Hop, now: float) -> list[Action]:
        ground = self._ground
        if not ground.is_public_via(response.via):
            return self._stray()
        branch = response.via.branch
        invite = ground.relays.asked(branch, "INVITE")
        if invite is not None and invite.initial and response.cseq_method in ("INVITE", "CANCEL"):
            if response.cseq_method == "INVITE":
                return self._dialing.response(response, invite, hop, now)
            if response.status >= 200 and ground.trust.may_speak(invite.dialog, hop):
                ground.resends.answered((branch, "CANCEL"))
            return []
        dialog = ground.dialogs.find(response.call_id, response.to_tag)
        if dialog is not None and not ground.trust.may_speak(dialog, hop):
            ground.counters.add("untrusted.response")
            return []
        if response.status >= 200 and ground.resends.answered(branch):
            return []
        asked = ground.relays.asked(branch, response.cseq_method)
        if asked is None or response.below is not None or dialog is not asked.dialog:
            return self._stray()
        if dialog.state is DialogState.LOST:
            return []
        if (again := self._pending.refused(response, asked, now)) is not None:
            return again
        actions = self._to_worker(response, asked, dialog, hop.ip)
        ground.counters.add(f"responses_in.{response.status // 100}xx")
        if not dialog.live or response.status < 200:
            return actions
        if response.cseq_method == "BYE":
            actions += ground.end_dialog(dialog, DialogEvent.BYE_ANSWERED, now)
        elif response.cseq_method in ("INVITE", "UPDATE") and response.status < 300:
            dialog.caller_contact = contact_uri(response.value("contact")) or dialog.caller_contact
        return actions

    def _to_worker(self, response: Response, asked: Asked, dialog: Dialog, source: str) -> list[Action]:
        """An answer whose body cannot be used is as good as a refusal; the caller's 2xx still gets its ACK."""
        ground, actions = self._ground, list[Action]()
        if asked.request.method in ("INVITE", "UPDATE") and response.status < 300:
            try:
                response.worker_body, _ = body_for_worker(response, ground.media_rule(dialog.trunk, source))
            except Unacceptable as error:
                ground.counters.add(f"refused.{error.rule}")
                if response.status >= 200 and asked.request.method == "INVITE":
                    actions.append(self._ack(dialog, response.cseq))
                response.status = 488
        data = response_to_worker(response, asked.request, asked.address, ground.worker_contact)
        return [SendWorker(*asked.address, data), *actions]

    def _ack(self, dialog: Dialog, cseq: int) -> SendPublic:
        ground = self._ground
        uri, routes, hop = way_to_caller(ground, dialog)
        branch = ground.branches.own(f"ack {dialog.sip_call_id}", cseq)
        headers = [("Via", ground.public_via(hop, branch)), *(("Route", value) for value in routes)]
        headers += [("From", dialog.worker_address), ("To", dialog.caller_address)]
        headers += [("Call-ID", dialog.sip_call_id), ("CSeq", f"{cseq} ACK")]
        return SendPublic(hop, own_request("ACK", uri, headers))

    def _stray(self) -> list[Action]:
        self._ground.counters.add("stray_response")
        return []
