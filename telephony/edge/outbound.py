"""What workers send, and what callers answer to it: in-dialog requests outwards, responses both ways."""

from __future__ import annotations

from telephony.edge import rewrite
from telephony.edge.attempts import attempt_key
from telephony.edge.counters import counted_method
from telephony.edge.dialogs import Dialog, DialogState
from telephony.edge.ground import AFTER_BYE_S, Ground, via_hop
from telephony.edge.hops import Action, Hop, SendPublic, SendWorker
from telephony.edge.parse import Request, Response
from telephony.edge.protocol import WorkerAddress
from telephony.edge.uri import contact_uri, route_uri

__all__ = ["CallerResponses", "WorkerMessages"]

_FROM_WORKER = -1  # stands for the listener in branches of requests that workers sent


class WorkerMessages:
    """Messages from the worker socket; their source has been checked."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def request(self, request: Request, worker: WorkerAddress, now: float) -> list[Action]:
        ground = self._ground
        address = (worker.host, worker.port)
        dialog = ground.dialogs.find(request.call_id, request.to_tag)
        if dialog is None or dialog.worker != worker or dialog.worker_tag != request.from_tag:
            ground.counters.add("unknown_dialog")
            return [] if request.method == "ACK" else [ground.answer_worker(request, address, 481)]
        if dialog.state is DialogState.LOST:
            if request.method == "ACK":
                return []
            return [ground.answer_worker(request, address, 200 if request.method == "BYE" else 481)]
        if request.max_forwards == 0 and request.method != "ACK":
            return [ground.answer_worker(request, address, 483)]
        dialog.worker_cseq = max(dialog.worker_cseq, request.cseq)
        if request.method in ("INVITE", "UPDATE"):
            dialog.worker_contact = contact_uri(request.value("contact")) or dialog.worker_contact
        if request.method == "BYE" and dialog.live and dialog.state is not DialogState.ENDING:
            dialog.state = DialogState.ENDING
            dialog.ended_by_worker = True
            ground.dialogs.expire_at(dialog, now + AFTER_BYE_S)
        elif dialog.state is DialogState.CONFIRMED:
            ground.dialogs.expire_at(dialog, now + ground.limits.dialog_idle_s)
        return [self._to_caller(request, address, dialog)]

    def _to_caller(self, request: Request, address: tuple[str, int], dialog: Dialog) -> Action:
        """Our own Route entries go; the next one, or the Request-URI, says where to (RFC 3261 sections 16.4-16.6)."""
        ground = self._ground
        routes = request.headers.get("route")
        while routes and (top := route_uri(routes[0])) is not None and ground.is_ours(top):
            routes = routes[1:]
        uri_text, target = request.uri_text, request.uri
        if routes:
            top = route_uri(routes[0])
            if top is not None and "lr" not in [part.partition("=")[0] for part in top.params.split(";")]:
                uri_text, routes = contact_uri(routes[0]), [*routes[1:], f"<{uri_text}>"]  # a strict router is next
            target = top if top is not None else target
        hop = ground.trust.way_to_caller(dialog, target)
        branch = ground.branches.forwarded(request, request.via, _FROM_WORKER, 0)
        data = rewrite.forward_request(
            request,
            via=ground.public_via(hop, branch),
            received_from=address,
            uri=uri_text,
            routes=routes,
        )
        ground.counters.add(f"forwarded_out.{counted_method(request.method)}")
        return SendPublic(hop, data)

    def response(self, response: Response, worker: WorkerAddress, now: float) -> list[Action]:
        ground = self._ground
        if response.below is None:  # an answer to a request of our own
            if response.status < 200 or not ground.resends.answered(response.via.branch):
                ground.counters.add("absorbed.response")
            return []
        via = response.below
        flow = ground.branches.flow_of(response.via.branch)
        if flow is None or not ground.branches.fits(response.via.branch, response, via):
            return self._stray()
        listener, connection = flow
        if not 0 <= listener < len(ground.sockets):
            return self._stray()
        hop = via_hop(via, ground.sockets[listener], listener, connection)
        if hop is None or ground.trunks.trunk_of(hop.ip) is None:  # only trunks' requests reach a worker
            return self._stray()
        data = rewrite.forward_response(response)
        actions: list[Action] = [SendPublic(hop, data)]
        if response.cseq_method == "INVITE":
            ip = via.received or via.host
            attempts, key = ground.attempts_of(ip), attempt_key(response, via, ip)
            attempt = attempts.get(key)
            if attempt is not None and attempt.answered_by_us:
                return self._late(response, attempt.dialog, now)
            if attempt is not None and response.status == 100:
                return []  # the caller has had our own
            if attempt is not None and response.status >= 200:
                attempt.final = data
                attempts.finished(key, now)
        dialog = ground.dialogs.find(response.call_id, response.from_tag)
        if dialog is not None and dialog.worker == worker:
            actions += self._learn(response, dialog, now)
        ground.counters.add(f"responses_out.{response.status // 100}xx")
        return actions

    def _late(self, response: Response, dialog: Dialog | None, now: float) -> list[Action]:
        """The caller has already had our own final answer. The worker gets what the caller would send: an ACK, and a
        BYE if it has answered, so that no agent talks to nobody."""
        ground = self._ground
        if response.status < 200 or dialog is None:
            return []
        answered = response.status < 300
        target = contact_uri(response.value("contact")) or dialog.invite_uri
        shared = [("From", response.value("from")), ("To", response.value("to")), ("Call-ID", response.call_id)]
        branch = ground.branches.own(f"ack {response.call_id}", response.cseq) if answered else response.via.branch
        ack = [("Via", ground.worker_via(branch)), *shared, ("CSeq", f"{response.cseq} ACK")]
        to = (dialog.worker.host, dialog.worker.port)
        actions: list[Action] = [
            SendWorker(*to, rewrite.own_request("ACK", target if answered else dialog.invite_uri, ack))
        ]
        bye_branch = ground.branches.own(f"late {response.call_id}", response.cseq)
        if answered and bye_branch not in ground.resends:
            bye = [("Via", ground.worker_via(bye_branch)), *shared, ("CSeq", f"{response.cseq + 1000} BYE")]
            sent = SendWorker(*to, rewrite.own_request("BYE", target, bye))
            ground.resends.start(bye_branch, sent, now)
            actions.append(sent)
        return actions

    def _stray(self) -> list[Action]:
        self._ground.counters.add("stray_response")
        return []

    def _learn(self, response: Response, dialog: Dialog, now: float) -> list[Action]:
        ground = self._ground
        if response.cseq_method == "BYE" and response.status >= 200 and dialog.live:
            return ground.end_dialog(dialog, DialogState.ENDED, now)
        if response.cseq_method not in ("INVITE", "UPDATE") or response.status == 100:
            return []
        initial = response.cseq == dialog.invite_cseq and dialog.state is DialogState.INVITING
        if initial and response.status >= 300:
            return ground.end_dialog(dialog, DialogState.ENDED, now)
        if response.status >= 300:
            return []
        if initial and response.to_tag:
            dialog.worker_tag = response.to_tag
            dialog.worker_address = response.value("to")
        dialog.worker_contact = contact_uri(response.value("contact")) or dialog.worker_contact
        if initial and response.status >= 200:
            dialog.state = DialogState.CONFIRMED
            dialog.invite = None
            ground.dialogs.expire_at(dialog, now + ground.limits.dialog_idle_s)
        elif initial:
            ground.dialogs.expire_at(dialog, now + ground.limits.invite_timeout_s)
        return []


class CallerResponses:
    """Answers of callers to what workers, or the edge in a worker's stead, sent them."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def handle(self, response: Response, hop: Hop, now: float) -> list[Action]:
        ground = self._ground
        if not ground.is_public_via(response.via):
            return self._stray()
        dialog = ground.dialogs.find(response.call_id, response.to_tag)
        if dialog is not None and not ground.trust.may_speak(dialog, hop):
            ground.counters.add("untrusted.response")
            return []
        if response.status >= 200 and ground.resends.answered(response.via.branch):
            return []
        via = response.below
        if via is None or not ground.branches.fits(response.via.branch, response, via):
            return self._stray()
        port = int(via.rport) if via.rport and via.rport.isdigit() else via.port or 5060
        worker = ground.worker_addresses.get((via.received or via.host, port))
        if worker is None:
            return self._stray()
        actions: list[Action] = [SendWorker(worker.host, worker.port, rewrite.forward_response(response))]
        ground.counters.add(f"responses_in.{response.status // 100}xx")
        if dialog is None or not dialog.live or response.status < 200:
            return actions
        if response.cseq_method == "BYE":
            actions += ground.end_dialog(dialog, DialogState.ENDED, now)
        elif response.cseq_method in ("INVITE", "UPDATE") and response.status < 300:
            dialog.caller_contact = contact_uri(response.value("contact")) or dialog.caller_contact
        return actions

    def _stray(self) -> list[Action]:
        self._ground.counters.add("stray_response")
        return []
