"""Calls that a worker places: its INVITE, which goes where the gateway has said beforehand, and what belongs to it.

Nothing that the worker writes decides where it goes or who it comes from. Towards the outside the edge is the caller:
its own Call-ID, Via, Contact and tag, and its own client transaction; towards the worker it is the called party.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import structlog

from telephony.edge.bodies import Unacceptable, body_for_worker
from telephony.edge.context import EdgeContext
from telephony.edge.dialogs import Dialog, DialogEvent, DialogState, Party, PublicParty, ShownToWorker, WorkerParty
from telephony.edge.hops import Action, Hop, SendPublic, SendWorker
from telephony.edge.protocol import Dial, InviteInfo, Source, WorkerAddress
from telephony.edge.relays import Asked
from telephony.edge.to_public import request_to_public
from telephony.edge.to_worker import response_to_worker
from telephony.edge.way import way_to
from telephony.errors import TelephonyMisuse
from telephony.sip import writing
from telephony.sip.parse import Request, Response
from telephony.sip.uri import as_ip, contact_uri

__all__ = ["Dialing"]

log = structlog.get_logger(__name__)

LEG_HEADER = "x-trunkline-leg"  # the leg's id, in the worker's INVITE
_ALLOWED_S = 10.0  # the worker's INVITE must come within this
_MOST_ALLOWED = 1000


class Dialing:
    def __init__(self, context: EdgeContext) -> None:
        self._context = context
        self._allowed: OrderedDict[str, tuple[Dial, float]] = OrderedDict()

    def allow(self, dial: Dial, now: float) -> None:
        """The worker's next INVITE with this call id goes there. Raises TelephonyMisuse for what is no destination."""
        context = self._context
        if as_ip(dial.host) is None or not 0 < dial.port < 65536:
            raise TelephonyMisuse(f"{dial.host}:{dial.port} is not an IP address and port that a call can go to")
        if context.is_own(dial.host, dial.port):
            raise TelephonyMisuse(f"{dial.host}:{dial.port} is our own: a call would come back to us")
        if not any(socket.transport == dial.transport for socket in context.sockets):
            raise TelephonyMisuse(f"no listen address for {dial.transport}, so no call can be placed over it")
        self._allowed[dial.leg_id] = (dial, now + _ALLOWED_S)
        if len(self._allowed) > _MOST_ALLOWED:
            self._allowed.popitem(last=False)

    # What the worker sends

    def invite(self, request: Request, worker: WorkerAddress, now: float) -> list[Action]:
        """A new call."""
        context, address = self._context, (worker.host, worker.port)
        dial, until = self._allowed.get(request.value(LEG_HEADER), (None, 0.0))
        if dial is None or until < now or dial.worker != worker:
            context.counters.add("refused.dial")
            log.warning("call of a worker that nobody allowed", worker=worker.name)
            return [context.answer_worker(request, address, 403)]
        del self._allowed[dial.leg_id]
        dialog = self._dialog(request, dial, now)
        context.dialogs.add(dialog)
        via = context.public_via(dialog.public.hop, dialog.branch)
        contact = context.public_contact(dialog.public.hop.listener)
        data = request_to_public(request, dialog, via=via, contact=contact, uri=dial.uri, routes=())
        sent = SendPublic(dialog.public.hop, data)
        context.relays.ask(dialog.branch, Asked(dialog, request, address, initial=True), now)
        context.resends.request((dialog.branch, "INVITE"), sent, now, invite=True)
        context.counters.add("forwarded_out.INVITE")
        return [context.answer_worker(request, address, 100), sent]

    def _dialog(self, request: Request, dial: Dial, now: float) -> Dialog:
        context = self._context
        listener = next(n for n, socket in enumerate(context.sockets) if socket.transport == dial.transport)
        hop = Hop(dial.transport, dial.host, dial.port, listener)
        sip_call_id = context.branches.public_call_id(dial.leg_id, request.call_id)
        tag = context.branches.public_tag(dial.leg_id)
        source = Source(dial.host, dial.port, dial.transport)
        return Dialog(
            leg_id=dial.leg_id,
            sip_call_id=sip_call_id,
            public=PublicParty("", f"<{dial.uri}>", dial.uri, hop),
            worker=WorkerParty(
                dial.worker,
                request.call_id,
                f"<{dial.caller}>",
                request.from_tag,
                contact_uri(request.value("contact")),
                request.cseq,
            ),
            trunk=dial.trunk,
            invite_cseq=request.cseq,
            branch=context.branches.forwarded(request, from_worker=True),
            created_at=now,
            expires_at=now + dial.ring_s,
            invite=None,
            shown=ShownToWorker(f"<{request.recipient.uri}>;tag={tag}", tag, f"<{request.sender.uri}>", ""),
            info=InviteInfo(sip_call_id, dial.uri, "", dial.caller, {}, dial.trunk, source, now),
            initiator=Party.WORKER,
            called_uri=dial.uri,
        )

    def of_invite(self, request: Request, dialog: Dialog, address: tuple[str, int], now: float) -> list[Action]:
        """The INVITE again, its CANCEL, or the ACK of an answer that is no 2xx."""
        context = self._context
        asked = context.relays.asked(dialog.branch, "INVITE")
        if request.method == "ACK":
            context.resends.answered((dialog.branch, "final"))
            return []
        if request.method == "CANCEL":
            answer = context.answer_worker(request, address, 481 if asked is None else 200)
            if asked is None or asked.cancelled or dialog.state is not DialogState.INVITING:
                return [answer]
            context.dialogs.expire_at(dialog, now + context.timers.dial_cancelled_s)
            return [answer, *self._cancel(asked, now)]
        if asked is None:
            return []
        return [asked.final or context.answer_worker(request, address, 100)]

    # What the called side answers

    def response(self, response: Response, asked: Asked, hop: Hop, now: float) -> list[Action]:
        context, dialog = self._context, asked.dialog
        if (
            response.below is not None
            or response.call_id != dialog.sip_call_id
            or response.from_tag != dialog.worker.tag
            or response.cseq != asked.request.cseq
        ):
            context.counters.add("stray_response")
            return []
        if not context.trust.may_speak(dialog, hop):
            context.counters.add("untrusted.response")
            return []
        context.counters.add(f"responses_in.{response.status // 100}xx")
        if hop.ip == dialog.public.hop.ip and hop.connection:
            dialog.public.hop = replace(dialog.public.hop, connection=hop.connection)
        if response.status < 200:
            return self._provisional(response, asked, hop, now)
        context.resends.answered((dialog.branch, "INVITE"))
        if response.status < 300:
            return self._answered(response, asked, hop, now)
        return self._refused(response, asked, now)

    def _provisional(self, response: Response, asked: Asked, hop: Hop, now: float) -> list[Action]:
        context, dialog = self._context, asked.dialog
        context.resends.provisional((dialog.branch, "INVITE"), now)
        first, asked.provisional = not asked.provisional, True
        if asked.cancelled:
            return self._cancel(asked, now) if first else []
        if response.status == 100 or dialog.state is not DialogState.INVITING:
            return []
        self._learn(dialog, response)
        try:
            response.worker_body, _ = body_for_worker(response, context.media_rule(dialog.trunk, hop.ip))
        except Unacceptable as error:  # the call may be answered with another
            context.counters.add(f"refused.{error.rule}")
        return [self._to_worker(response, asked)]

    def _answered(self, response: Response, asked: Asked, hop: Hop, now: float) -> list[Action]:
        context, dialog = self._context, asked.dialog
        answered = dialog.state in (DialogState.CONFIRMED, DialogState.ENDING)
        if answered and response.to_tag == dialog.public.tag and asked.final:
            return [asked.final]  # the worker acknowledges it again
        if asked.cancelled or dialog.state is not DialogState.INVITING:
            actions = self._turn_down(response, dialog, now)  # it crossed our CANCEL, or another phone was first
            return actions + (self._end(asked, 487, "cancelled", now) if not asked.final else [])
        self._learn(dialog, response)
        try:
            response.worker_body, _ = body_for_worker(response, context.media_rule(dialog.trunk, hop.ip))
        except Unacceptable as error:
            context.counters.add(f"refused.{error.rule}")
            return [*self._turn_down(response, dialog, now), *self._end(asked, 488, error.cause, now)]
        dialog.happened(DialogEvent.ANSWERED)
        context.dialogs.expire_at(dialog, now + context.limits.dialog_idle_s)
        asked.final = self._to_worker(response, asked)
        return [asked.final]

    def _refused(self, response: Response, asked: Asked, now: float) -> list[Action]:
        context, dialog = self._context, asked.dialog
        actions: list[Action] = [self._ack(response, dialog)]
        if asked.final or dialog.state is not DialogState.INVITING:
            return actions
        self._learn(dialog, response)
        if asked.cancelled:
            response.status, response.reason = 487, ""
        asked.final = self._to_worker(response, asked)
        context.resends.final_answer((dialog.branch, "final"), asked.final, now)
        refused = (response.status, response.reason)
        return [*actions, asked.final, *context.end_dialog(dialog, DialogEvent.REFUSED, now, refused=refused)]

    # What the edge ends

    def no_answer(self, dialog: Dialog, now: float) -> list[Action]:
        """It has rung for as long as it may, or its CANCEL has brought no end."""
        asked = self._context.relays.asked(dialog.branch, "INVITE")
        if asked is not None and asked.cancelled:
            return self._end(asked, 487, "cancelled", now)
        self._context.counters.add("invite_timeouts")
        return self.cut(dialog, 408, "the call was not answered in time", now)

    def unreachable(self, key: object, now: float) -> list[Action]:
        """Nothing at all has come from the destination in 32 s (timer B)."""
        if not isinstance(key, tuple) or key[1] != "INVITE":
            return []
        asked = self._context.relays.asked(key[0], "INVITE")
        if asked is None or asked.final:
            return []
        return self._end(asked, 408, "the destination does not answer", now)

    def cut(self, dialog: Dialog, status: int, cause: str, now: float, *, tell_worker: bool = True) -> list[Action]:
        """End a call that has not been answered, towards both sides."""
        asked = self._context.relays.asked(dialog.branch, "INVITE")
        if asked is None:
            return self._context.end_dialog(dialog, DialogEvent.CUT, now, self._context.timers.kept_s)
        actions = [] if asked.cancelled else self._cancel(asked, now)
        return actions + self._end(asked, status, cause, now, tell_worker=tell_worker)

    def _end(self, asked: Asked, status: int, cause: str, now: float, *, tell_worker: bool = True) -> list[Action]:
        """Our own final answer to the worker's INVITE."""
        context, dialog, request = self._context, asked.dialog, asked.request
        context.resends.answered((dialog.branch, "INVITE"))
        headers = {"Reason": writing.reason_header(status, cause)}
        data = writing.respond(
            request.lines, request.via, asked.address, status, to_tag=dialog.shown.public_tag, headers=headers
        )
        asked.final = SendWorker(*asked.address, data)
        context.counters.add(f"answered.{status}")
        ended = context.end_dialog(dialog, DialogEvent.CUT, now, context.timers.kept_s, refused=(status, cause))
        if not tell_worker:
            return ended
        context.resends.final_answer((dialog.branch, "final"), asked.final, now)
        return [asked.final, *ended]

    def _cancel(self, asked: Asked, now: float) -> list[Action]:
        """Once the called side has shown a sign of life, and not before (RFC 3261 section 9.1)."""
        context, dialog = self._context, asked.dialog
        asked.cancelled = True
        if not asked.provisional:
            return []
        sent = SendPublic(dialog.public.hop, self._own("CANCEL", dialog, f"<{dialog.called_uri}>"))
        context.resends.request((dialog.branch, "CANCEL"), sent, now)
        return [sent]

    def _ack(self, response: Response, dialog: Dialog) -> SendPublic:
        """Of an answer that is no 2xx: with the branch of the INVITE (RFC 3261 section 17.1.1.3)."""
        to = f"<{dialog.called_uri}>" + (f";tag={response.to_tag}" if response.to_tag else "")
        return SendPublic(dialog.public.hop, self._own("ACK", dialog, to))

    def _own(self, method: str, dialog: Dialog, to: str) -> bytes:
        headers = [("Via", self._context.public_via(dialog.public.hop, dialog.branch)), ("From", dialog.worker.address)]
        headers += [("To", to), ("Call-ID", dialog.sip_call_id), ("CSeq", f"{dialog.invite_cseq} {method}")]
        return writing.own_request(method, dialog.called_uri, headers)

    def _turn_down(self, response: Response, dialog: Dialog, now: float) -> list[Action]:
        """A 2xx that came too late: ACK and BYE, as its dialog wants them."""
        context = self._context
        contact = contact_uri(response.value("contact")) or dialog.called_uri
        uri, routes, hop = way_to(context, dialog, contact, _route_set(response))
        actions: list[Action] = []
        for method, cseq in (("ACK", dialog.invite_cseq), ("BYE", dialog.invite_cseq + 1000)):
            branch = context.branches.own(f"{method} {dialog.sip_call_id} {response.to_tag}", cseq)
            if branch in context.resends:
                continue
            headers = [("Via", context.public_via(hop, branch)), *(("Route", value) for value in routes)]
            headers += [("From", dialog.worker.address), ("To", f"<{dialog.called_uri}>;tag={response.to_tag}")]
            headers += [("Call-ID", dialog.sip_call_id), ("CSeq", f"{cseq} {method}")]
            action = SendPublic(hop, writing.own_request(method, uri, headers))
            if method == "BYE":
                context.resends.request(branch, action, now)
            actions.append(action)
        return actions

    def _learn(self, dialog: Dialog, response: Response) -> None:
        """The called side's tag, target and route set (RFC 3261 section 12.1.2). Each phone that rings is a dialog of
        its own; ours is the last that was heard of, until one answers."""
        context, tag, shown = self._context, response.to_tag, dialog.shown
        if tag and tag != dialog.public.tag:
            context.dialogs.rename(dialog, tag)
            dialog.public.address = f"<{dialog.called_uri}>;tag={tag}"
            ours = context.branches.public_tag(f"{dialog.leg_id} {tag}")
            address = shown.public.partition(";tag=")[0]
            dialog.shown = replace(shown, public=f"{address};tag={ours}", public_tag=ours)
        if response.status < 300 and (contact := contact_uri(response.value("contact"))):
            dialog.public.contact = contact
            dialog.public.routes = _route_set(response)

    def _to_worker(self, response: Response, asked: Asked) -> SendWorker:
        data = response_to_worker(
            response, asked.request, asked.address, self._context.worker_contact, to_tag=asked.dialog.shown.public_tag
        )
        return SendWorker(*asked.address, data)


def _route_set(response: Response) -> tuple[str, ...]:
    return tuple(reversed(response.headers.get("record-route")))
