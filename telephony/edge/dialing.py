"""Calls that a worker places: its INVITE, which goes where the gateway has said beforehand, and what belongs to it.

Nothing that the worker writes decides where it goes or who it comes from. Towards the outside the edge is the caller:
its own Call-ID, Via, Contact and tag, and its own client transaction; towards the worker it is the called party.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import structlog

from telephony.edge import rewrite
from telephony.edge.bodies import Unacceptable, body_for_worker
from telephony.edge.dialogs import Dialog, DialogEvent, DialogState, Party, WorkerNames
from telephony.edge.ground import Ground
from telephony.edge.hops import Action, Hop, SendPublic, SendWorker
from telephony.edge.parse import Request, Response
from telephony.edge.protocol import Dial, InviteInfo, Source, WorkerAddress
from telephony.edge.relays import Asked
from telephony.edge.to_caller import request_to_caller
from telephony.edge.to_worker import response_to_worker
from telephony.edge.uri import as_ip, contact_uri
from telephony.edge.way import way_to
from telephony.errors import TelephonyMisuse

__all__ = ["Dialing"]

log = structlog.get_logger(__name__)

CALL_HEADER = "x-trunkline-call"  # the leg's id, in the worker's INVITE
_ALLOWED_S = 10.0  # the worker's INVITE must come within this
_MOST_ALLOWED = 1000
_KEPT_S = 64.0
_CANCELLED_WITHIN_S = 1.5  # as long as a cancelled INVITE's own final answer is waited for: a leg waits for 2 s


class Dialing:
    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._allowed: OrderedDict[str, tuple[Dial, float]] = OrderedDict()

    def allow(self, dial: Dial, now: float) -> None:
        """The worker's next INVITE with this call id goes there. Raises TelephonyMisuse for what is no destination."""
        ground = self._ground
        if as_ip(dial.host) is None or not 0 < dial.port < 65536:
            raise TelephonyMisuse(f"{dial.host}:{dial.port} is not an IP address and port that a call can go to")
        if ground.is_own(dial.host, dial.port):
            raise TelephonyMisuse(f"{dial.host}:{dial.port} is our own: a call would come back to us")
        if not any(socket.transport == dial.transport for socket in ground.sockets):
            raise TelephonyMisuse(f"no listen address for {dial.transport}, so no call can be placed over it")
        self._allowed[dial.call_id] = (dial, now + _ALLOWED_S)
        if len(self._allowed) > _MOST_ALLOWED:
            self._allowed.popitem(last=False)

    # What the worker sends

    def invite(self, request: Request, worker: WorkerAddress, now: float) -> list[Action]:
        """A new call."""
        ground, address = self._ground, (worker.host, worker.port)
        dial, until = self._allowed.get(request.value(CALL_HEADER), (None, 0.0))
        if dial is None or until < now or dial.worker != worker:
            ground.counters.add("refused.dial")
            log.warning("call of a worker that nobody allowed", worker=worker.name)
            return [ground.answer_worker(request, address, 403)]
        del self._allowed[dial.call_id]
        dialog = self._dialog(request, dial, now)
        ground.dialogs.add(dialog)
        via = ground.public_via(dialog.hop, dialog.branch)
        contact = ground.public_contact(dialog.hop.listener)
        data = request_to_caller(request, dialog, via=via, contact=contact, uri=dial.uri, routes=())
        sent = SendPublic(dialog.hop, data)
        ground.relays.ask(dialog.branch, Asked(dialog, request, address, initial=True), now)
        ground.resends.request((dialog.branch, "INVITE"), sent, now, invite=True)
        ground.counters.add("forwarded_out.INVITE")
        return [ground.answer_worker(request, address, 100), sent]

    def _dialog(self, request: Request, dial: Dial, now: float) -> Dialog:
        ground = self._ground
        listener = next(n for n, socket in enumerate(ground.sockets) if socket.transport == dial.transport)
        hop = Hop(dial.transport, dial.host, dial.port, listener)
        sip_call_id = ground.branches.public_call_id(dial.call_id, request.call_id)
        tag = ground.branches.caller_tag(dial.call_id)
        source = Source(dial.host, dial.port, dial.transport)
        return Dialog(
            call_id=dial.call_id,
            sip_call_id=sip_call_id,
            caller_tag="",
            worker=dial.worker,
            trunk=dial.trunk,
            hop=hop,
            caller_address=f"<{dial.uri}>",
            worker_address=f"<{dial.caller}>;tag={request.from_tag}",
            caller_contact=dial.uri,
            invite_cseq=request.cseq,
            branch=ground.branches.forwarded(request, from_worker=True),
            created_at=now,
            expires_at=now + dial.ring_s,
            invite=None,
            names=WorkerNames(f"<{request.recipient.uri}>;tag={tag}", tag, f"<{request.sender.uri}>", ""),
            info=InviteInfo(sip_call_id, dial.uri, "", dial.caller, {}, dial.trunk, source, now),
            initiator=Party.WORKER,
            worker_call_id=request.call_id,
            called_uri=dial.uri,
            worker_tag=request.from_tag,
            worker_address_tagged=True,
            worker_contact=contact_uri(request.value("contact")),
            worker_cseq=request.cseq,
        )

    def of_invite(self, request: Request, dialog: Dialog, address: tuple[str, int], now: float) -> list[Action]:
        """The INVITE again, its CANCEL, or the ACK of an answer that is no 2xx."""
        ground = self._ground
        asked = ground.relays.asked(dialog.branch, "INVITE")
        if request.method == "ACK":
            ground.resends.answered((dialog.branch, "final"))
            return []
        if request.method == "CANCEL":
            answer = ground.answer_worker(request, address, 481 if asked is None else 200)
            if asked is None or asked.cancelled or dialog.state is not DialogState.INVITING:
                return [answer]
            ground.dialogs.expire_at(dialog, now + _CANCELLED_WITHIN_S)
            return [answer, *self._cancel(asked, now)]
        if asked is None:
            return []
        return [asked.final or ground.answer_worker(request, address, 100)]

    # What the called side answers

    def response(self, response: Response, asked: Asked, hop: Hop, now: float) -> list[Action]:
        ground, dialog = self._ground, asked.dialog
        if (
            response.below is not None
            or response.call_id != dialog.sip_call_id
            or response.from_tag != dialog.worker_tag
            or response.cseq != asked.request.cseq
        ):
            ground.counters.add("stray_response")
            return []
        if not ground.trust.may_speak(dialog, hop):
            ground.counters.add("untrusted.response")
            return []
        ground.counters.add(f"responses_in.{response.status // 100}xx")
        if hop.ip == dialog.hop.ip and hop.connection:
            dialog.hop = replace(dialog.hop, connection=hop.connection)
        if response.status < 200:
            return self._provisional(response, asked, hop, now)
        ground.resends.answered((dialog.branch, "INVITE"))
        if response.status < 300:
            return self._answered(response, asked, hop, now)
        return self._refused(response, asked, now)

    def _provisional(self, response: Response, asked: Asked, hop: Hop, now: float) -> list[Action]:
        ground, dialog = self._ground, asked.dialog
        ground.resends.provisional((dialog.branch, "INVITE"), now)
        first, asked.provisional = not asked.provisional, True
        if asked.cancelled:
            return self._cancel(asked, now) if first else []
        if response.status == 100 or dialog.state is not DialogState.INVITING:
            return []
        self._learn(dialog, response)
        try:
            response.worker_body, _ = body_for_worker(response, ground.media_rule(dialog.trunk, hop.ip))
        except Unacceptable as error:  # the call may be answered with another
            ground.counters.add(f"refused.{error.rule}")
        return [self._to_worker(response, asked)]

    def _answered(self, response: Response, asked: Asked, hop: Hop, now: float) -> list[Action]:
        ground, dialog = self._ground, asked.dialog
        answered = dialog.state in (DialogState.CONFIRMED, DialogState.ENDING)
        if answered and response.to_tag == dialog.caller_tag and asked.final:
            return [asked.final]  # the worker acknowledges it again
        if asked.cancelled or dialog.state is not DialogState.INVITING:
            actions = self._turn_down(response, dialog, now)  # it crossed our CANCEL, or another phone was first
            return actions + (self._end(asked, 487, "cancelled", now) if not asked.final else [])
        self._learn(dialog, response)
        try:
            response.worker_body, _ = body_for_worker(response, ground.media_rule(dialog.trunk, hop.ip))
        except Unacceptable as error:
            ground.counters.add(f"refused.{error.rule}")
            return [*self._turn_down(response, dialog, now), *self._end(asked, 488, error.cause, now)]
        dialog.happened(DialogEvent.ANSWERED)
        ground.dialogs.expire_at(dialog, now + ground.limits.dialog_idle_s)
        asked.final = self._to_worker(response, asked)
        return [asked.final]

    def _refused(self, response: Response, asked: Asked, now: float) -> list[Action]:
        ground, dialog = self._ground, asked.dialog
        actions: list[Action] = [self._ack(response, dialog)]
        if asked.final or dialog.state is not DialogState.INVITING:
            return actions
        self._learn(dialog, response)
        if asked.cancelled:
            response.status, response.reason = 487, ""
        asked.final = self._to_worker(response, asked)
        ground.resends.final_answer((dialog.branch, "final"), asked.final, now)
        refused = (response.status, response.reason)
        return [*actions, asked.final, *ground.end_dialog(dialog, DialogEvent.REFUSED, now, refused=refused)]

    # What the edge ends

    def no_answer(self, dialog: Dialog, now: float) -> list[Action]:
        """It has rung for as long as it may, or its CANCEL has brought no end."""
        asked = self._ground.relays.asked(dialog.branch, "INVITE")
        if asked is not None and asked.cancelled:
            return self._end(asked, 487, "cancelled", now)
        self._ground.counters.add("invite_timeouts")
        return self.cut(dialog, 408, "the call was not answered in time", now)

    def unreachable(self, key: object, now: float) -> list[Action]:
        """Nothing at all has come from the destination in 32 s (timer B)."""
        if not isinstance(key, tuple) or key[1] != "INVITE":
            return []
        asked = self._ground.relays.asked(key[0], "INVITE")
        if asked is None or asked.final:
            return []
        return self._end(asked, 408, "the destination does not answer", now)

    def cut(self, dialog: Dialog, status: int, cause: str, now: float, *, tell_worker: bool = True) -> list[Action]:
        """End a call that has not been answered, towards both sides."""
        asked = self._ground.relays.asked(dialog.branch, "INVITE")
        if asked is None:
            return self._ground.end_dialog(dialog, DialogEvent.CUT, now, _KEPT_S)
        actions = [] if asked.cancelled else self._cancel(asked, now)
        return actions + self._end(asked, status, cause, now, tell_worker=tell_worker)

    def _end(self, asked: Asked, status: int, cause: str, now: float, *, tell_worker: bool = True) -> list[Action]:
        """Our own final answer to the worker's INVITE."""
        ground, dialog, request = self._ground, asked.dialog, asked.request
        ground.resends.answered((dialog.branch, "INVITE"))
        headers = {"Reason": rewrite.reason_header(status, cause)}
        data = rewrite.respond(
            request.lines, request.via, asked.address, status, to_tag=dialog.names.caller_tag, headers=headers
        )
        asked.final = SendWorker(*asked.address, data)
        ground.counters.add(f"answered.{status}")
        ended = ground.end_dialog(dialog, DialogEvent.CUT, now, _KEPT_S, refused=(status, cause))
        if not tell_worker:
            return ended
        ground.resends.final_answer((dialog.branch, "final"), asked.final, now)
        return [asked.final, *ended]

    def _cancel(self, asked: Asked, now: float) -> list[Action]:
        """Once the called side has shown a sign of life, and not before (RFC 3261 section 9.1)."""
        ground, dialog = self._ground, asked.dialog
        asked.cancelled = True
        if not asked.provisional:
            return []
        sent = SendPublic(dialog.hop, self._own("CANCEL", dialog, f"<{dialog.called_uri}>"))
        ground.resends.request((dialog.branch, "CANCEL"), sent, now)
        return [sent]

    def _ack(self, response: Response, dialog: Dialog) -> SendPublic:
        """Of an answer that is no 2xx: with the branch of the INVITE (RFC 3261 section 17.1.1.3)."""
        to = f"<{dialog.called_uri}>" + (f";tag={response.to_tag}" if response.to_tag else "")
        return SendPublic(dialog.hop, self._own("ACK", dialog, to))

    def _own(self, method: str, dialog: Dialog, to: str) -> bytes:
        headers = [("Via", self._ground.public_via(dialog.hop, dialog.branch)), ("From", dialog.worker_address)]
        headers += [("To", to), ("Call-ID", dialog.sip_call_id), ("CSeq", f"{dialog.invite_cseq} {method}")]
        return rewrite.own_request(method, dialog.called_uri, headers)

    def _turn_down(self, response: Response, dialog: Dialog, now: float) -> list[Action]:
        """A 2xx that came too late: ACK and BYE, as its dialog wants them."""
        ground = self._ground
        contact = contact_uri(response.value("contact")) or dialog.called_uri
        uri, routes, hop = way_to(ground, dialog, contact, _route_set(response))
        actions: list[Action] = []
        for method, cseq in (("ACK", dialog.invite_cseq), ("BYE", dialog.invite_cseq + 1000)):
            branch = ground.branches.own(f"{method} {dialog.sip_call_id} {response.to_tag}", cseq)
            if branch in ground.resends:
                continue
            headers = [("Via", ground.public_via(hop, branch)), *(("Route", value) for value in routes)]
            headers += [("From", dialog.worker_address), ("To", f"<{dialog.called_uri}>;tag={response.to_tag}")]
            headers += [("Call-ID", dialog.sip_call_id), ("CSeq", f"{cseq} {method}")]
            action = SendPublic(hop, rewrite.own_request(method, uri, headers))
            if method == "BYE":
                ground.resends.request(branch, action, now)
            actions.append(action)
        return actions

    def _learn(self, dialog: Dialog, response: Response) -> None:
        """The called side's tag, target and route set (RFC 3261 section 12.1.2). Each phone that rings is a dialog of
        its own; ours is the last that was heard of, until one answers."""
        ground, tag, names = self._ground, response.to_tag, dialog.names
        if tag and tag != dialog.caller_tag:
            ground.dialogs.rename(dialog, tag)
            dialog.caller_address = f"<{dialog.called_uri}>;tag={tag}"
            ours = ground.branches.caller_tag(f"{dialog.call_id} {tag}")
            address = names.caller.partition(";tag=")[0]
            dialog.names = replace(names, caller=f"{address};tag={ours}", caller_tag=ours)
        if response.status < 300 and (contact := contact_uri(response.value("contact"))):
            dialog.caller_contact = contact
            dialog.routes = _route_set(response)

    def _to_worker(self, response: Response, asked: Asked) -> SendWorker:
        data = response_to_worker(
            response, asked.request, asked.address, self._ground.worker_contact, to_tag=asked.dialog.names.caller_tag
        )
        return SendWorker(*asked.address, data)


def _route_set(response: Response) -> tuple[str, ...]:
    return tuple(reversed(response.headers.get("record-route")))
