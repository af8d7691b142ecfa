"""Calls that a worker places: its INVITE, which goes where the gateway has allowed beforehand, and everything that
follows.

Nothing that the worker writes decides where it goes or who the caller is. To the outside the edge is the caller, with
its own Call-ID, Via, Contact, tag and client transaction; to the worker it is the called party.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

import structlog

from telephony.edge.bodies import Unacceptable, body_for_worker
from telephony.edge.context import EdgeContext
from telephony.edge.dial_attempts import DialAttempts, worse
from telephony.edge.dialogs import Dialog, DialogEvent, DialogState, Party, PublicParty, ShownToWorker, WorkerParty
from telephony.edge.hops import Action, Hop, NotConnected, SendPublic, SendWorker
from telephony.edge.protocol import Dial, InviteInfo, Source, WorkerAddress
from telephony.edge.redirecting import Moved, NotFollowed
from telephony.edge.relays import Asked, DialAttempt, Dialed
from telephony.edge.reliable import ReliableAnswers, route_set
from telephony.edge.to_worker import response_to_worker
from telephony.errors import TelephonyMisuse
from telephony.sip import writing
from telephony.sip.causes import NO_ANSWER, NORMAL, OUT_OF_ORDER, OWN_ANSWER, cause_of, read_reasons, reason_values
from telephony.sip.headers import seconds_of
from telephony.sip.parse import Request, Response
from telephony.sip.resolving import Place
from telephony.sip.uri import as_ip, contact_uri

__all__ = ["Dialing"]

log = structlog.get_logger(__name__)

LEG_HEADER = "x-trunkline-leg"  # the leg's id, in the worker's INVITE
_ALLOWED_S = 10.0  # the worker's INVITE must come within this
_SILENT = "the destination does not answer"
_MOST_ALLOWED = 1000


class Dialing:
    def __init__(self, context: EdgeContext) -> None:
        self._context = context
        self._attempts = DialAttempts(context)
        self._reliable = ReliableAnswers(context)
        self._allowed: OrderedDict[str, tuple[Dial, float]] = OrderedDict()

    def allow(self, dial: Dial, now: float) -> None:
        """The worker's next INVITE with this leg ID goes there. Raises TelephonyMisuse for an invalid destination."""
        for over in (dial, *dial.then):
            for place in over.places:
                self._check(place)
        self._allowed[dial.leg_id] = (dial, now + _ALLOWED_S)
        if len(self._allowed) > _MOST_ALLOWED:
            self._allowed.popitem(last=False)

    def _check(self, place: Place) -> None:
        context = self._context
        if as_ip(place.ip) is None or not 0 < place.port < 65536:
            raise TelephonyMisuse(f"{place.ip}:{place.port} is not a valid IP address and port for a call")
        if context.is_own(place.ip, place.port):
            raise TelephonyMisuse(f"{place.ip}:{place.port} is our own: a call would come back to us")
        if not any(socket.transport == place.transport for socket in context.sockets):
            raise TelephonyMisuse(f"no listen address for {place.transport}, so no call can be placed over it")

    # Messages from the worker

    def invite(self, request: Request, worker: WorkerAddress, now: float) -> list[Action]:
        """A new call."""
        context, address = self._context, (worker.host, worker.port)
        dial, until = self._allowed.get(request.value(LEG_HEADER), (None, 0.0))
        if dial is None or until < now or dial.worker != worker:
            context.counters.add("refused.dial")
            log.warning("invite_not_allowed", worker=worker.name)
            return [context.answer_worker(request, address, 403)]
        del self._allowed[dial.leg_id]
        dialog = self._dialog(request, dial, now)
        context.dialogs.add(dialog)
        context.sessions.begin(dialog)
        dialed = self._attempts.dialed(dial, now)
        asked = Asked(dialog, request, address, initial=True, dialed=dialed, offer=request.body)
        return [context.answer_worker(request, address, 100), *self._attempts.next_place(asked, dialed, now)]

    def _dialog(self, request: Request, dial: Dial, now: float) -> Dialog:
        context = self._context
        hop = context.hop_to(dial.places[0], dial.trunk)
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
            sips=dial.uri.startswith("sips:"),
        )

    def of_invite(self, request: Request, dialog: Dialog, address: tuple[str, int], now: float) -> list[Action]:
        """A repeated INVITE, its CANCEL, or the ACK of a non-2xx answer."""
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
            return [answer, *self._attempts.cancel(asked, now, request.headers.get("reason"))]
        if asked is None:
            return []
        return [asked.final or context.answer_worker(request, address, 100)]

    # Answers of the called side

    def response(self, response: Response, asked: Asked, hop: Hop, now: float) -> list[Action]:
        context, dialog, dialed = self._context, asked.dialog, asked.dialed
        attempt = None if dialed is None or dialed.now is None else dialed.now
        if dialed is not None and attempt is not None and response.via.branch != attempt.branch:
            attempt = dialed.besides.get(response.via.branch) or dialed.earlier.get(response.via.branch)
        if (
            dialed is None
            or attempt is None
            or response.below is not None
            or response.call_id != dialog.sip_call_id
            or response.from_tag != dialog.worker.tag
            or response.cseq != attempt.cseq
        ):
            context.counters.add("stray_response")
            return []
        if hop.ip != attempt.hop.ip and not context.trust.is_of_trunk(hop.ip, attempt.dial.trunk):
            context.counters.add("untrusted.response")
            return []
        context.counters.add(f"responses_in.{response.status // 100}xx")
        if response.via.branch in dialed.besides:
            if 300 <= response.status < 600:
                return self._refused_beside(response, asked, dialed, attempt)
            if response.status >= 200 and dialog.state is DialogState.INVITING:
                self._attempts.make_current(asked, dialed, attempt)
        elif attempt is not dialed.now:
            return self._attempts.late(response, asked, attempt, now)
        if hop.ip == attempt.hop.ip and hop.connection:
            attempt.hop = replace(attempt.hop, connection=hop.connection)
        if attempt is dialed.now:
            dialog.public.hop = attempt.hop
        first, attempt.heard = not attempt.heard, True
        if response.status < 200:
            return self._provisional(response, asked, attempt, hop, now, first=first)
        for method in ("INVITE", "CANCEL"):  # a CANCEL has nothing left to do
            context.resends.answered((attempt.branch, method))
        if response.status < 300:
            answered = self._answered(response, asked, attempt, hop, now)
            return [*answered, *self._attempts.stop_besides(asked, dialed, "another phone was first", now)]
        return self._refused(response, asked, dialed, attempt, now)

    def _refused_beside(self, response: Response, asked: Asked, dialed: Dialed, attempt: DialAttempt) -> list[Action]:
        """One of several phones does not take the call; the others ring on."""
        for method in ("INVITE", "CANCEL"):
            self._context.resends.answered((attempt.branch, method))
        attempt.heard = True
        del dialed.besides[attempt.branch]
        dialed.earlier[attempt.branch] = attempt
        dialed.worst = worse(dialed.worst, response)
        return [self._attempts.acknowledge(response, asked.dialog, attempt)]

    def _provisional(
        self, response: Response, asked: Asked, attempt: DialAttempt, hop: Hop, now: float, *, first: bool
    ) -> list[Action]:
        context, dialog = self._context, asked.dialog
        context.resends.provisional((attempt.branch, "INVITE"), now)
        acknowledged = self._reliable.acknowledge(response, dialog, attempt, now)
        if acknowledged is None:
            return []
        if asked.cancelled:
            return [*acknowledged, *(self._attempts.cancel(asked, now) if first else ())]
        if response.status == 100 or dialog.state is not DialogState.INVITING:
            return acknowledged
        attempt.rang = True
        self._learn(dialog, response)
        try:
            rule = context.media_rule(dialog.trunk, hop)
            response.worker_body, _ = body_for_worker(response, rule, offer=asked.request.body)
        except Unacceptable as error:  # another answer may follow
            context.counters.add(f"refused.{error.rule}")
        if response.worker_body:
            attempt.described[response.to_tag] = response.worker_body
        return [*acknowledged, self._to_worker(response, asked)]

    def _answered(self, response: Response, asked: Asked, attempt: DialAttempt, hop: Hop, now: float) -> list[Action]:
        context, dialog = self._context, asked.dialog
        answered = dialog.state in (DialogState.CONFIRMED, DialogState.ENDING)
        if answered and response.to_tag == dialog.public.tag and asked.final:
            return [asked.final]  # the worker acknowledges it again
        if asked.cancelled or dialog.state is not DialogState.INVITING:
            # It crossed our CANCEL, or another phone was first.
            why = "the call was cancelled" if asked.cancelled else "another phone was first"
            actions = self._attempts.turn_down(response, dialog, attempt, now, why)
            return actions + (self._end(asked, 487, "cancelled", now) if not asked.final else [])
        self._learn(dialog, response)
        try:
            response.worker_body = self._description(response, dialog, attempt, hop, asked.request.body)
        except Unacceptable as error:
            context.counters.add(f"refused.{error.rule}")
            turned_down = self._attempts.turn_down(response, dialog, attempt, now, error.cause, cause_of(488))
            return [*turned_down, *self._end(asked, 488, error.cause, now)]
        dialog.describe(response.worker_body)
        dialog.happened(DialogEvent.ANSWERED)
        context.dialogs.expire_at(dialog, now + context.limits.dialog_idle_s)
        context.sessions.accepted(dialog, response.headers, now)
        asked.final = self._to_worker(response, asked)
        return [asked.final, *self._attempts.over(asked, response.status, response.reason, now)]

    def _description(self, response: Response, dialog: Dialog, attempt: DialAttempt, hop: Hop, offer: bytes) -> bytes:
        """A 2xx's own description, or that of the same phone's earlier answer (RFC 3262 section 5). Raises
        Unacceptable."""
        rule = self._context.media_rule(dialog.trunk, hop)
        body, _ = body_for_worker(response, rule, offer=offer)
        body = body or attempt.described.get(response.to_tag, b"")
        if not body:
            raise Unacceptable(488, "sdp", "the answer has no session description")
        return body

    def _refused(
        self, response: Response, asked: Asked, dialed: Dialed, attempt: DialAttempt, now: float
    ) -> list[Action]:
        context, dialog, attempts = self._context, asked.dialog, self._attempts
        actions: list[Action] = [attempts.acknowledge(response, dialog, attempt)]
        if asked.final or dialog.state is not DialogState.INVITING:
            return actions
        if (again := attempts.once_more(response, asked, dialed, now)) is not None:
            return [*actions, again]
        if attempts.go_on_beside(asked, dialed, response):
            return actions
        actions += attempts.stop_besides(asked, dialed, "refused for all", now)
        response.status, response.reason = _counts(dialed, response)
        retry_after_s = seconds_of(response.value("retry-after")) or 0
        moved = attempts.redirected(response, asked, dialed) if 300 <= response.status < 400 else None
        cause = next((r.cause for r in read_reasons(response.headers.get("reason")) if r.protocol == "Q.850"), 0)
        reason = moved.why if isinstance(moved, NotFollowed) else response.reason
        actions += attempts.over(asked, response.status, reason, now, retry_after_s, cause)
        if isinstance(moved, Moved):
            return [*actions, attempts.follow(asked, dialed, moved, now)]
        if attempts.fails_over(asked, dialed, response.status):
            return [*actions, *attempts.next_place(asked, dialed, now)]
        self._learn(dialog, response)
        if asked.cancelled:
            response.status, response.reason = 487, ""
        why = reason_values(cause or cause_of(response.status), response.status, reason) if moved else ()
        asked.final = self._to_worker(response, asked, why)
        context.resends.final_answer((dialog.branch, "final"), asked.final, now)
        refused = (response.status, response.reason)
        return [*actions, asked.final, *context.end_dialog(dialog, DialogEvent.REFUSED, now, refused=refused)]

    # Ending by the edge

    def no_answer(self, dialog: Dialog, now: float) -> list[Action]:
        """It has reached its ringing limit, or its CANCEL had no effect."""
        asked = self._context.relays.asked(dialog.branch, "INVITE")
        if asked is not None and asked.cancelled:
            return self._end(asked, 487, "cancelled", now)
        self._context.counters.add("invite_timeouts")
        attempt = None if asked is None or asked.dialed is None else asked.dialed.now
        if attempt is not None and not attempt.heard:
            return self.cut(dialog, 408, _SILENT, now, q850=OUT_OF_ORDER)
        return self.cut(dialog, 408, "the call was not answered in time", now, q850=NO_ANSWER)

    def unreachable(self, key: object, now: float) -> list[Action]:
        """A place has sent nothing at all for 32 s (timer B)."""
        if not isinstance(key, tuple) or key[1] != "INVITE":
            return []
        asked = self._context.relays.asked(key[0], "INVITE")
        if asked is None or asked.final or asked.dialed is None or asked.dialed.now is None:
            return []
        if (beside := asked.dialed.besides.get(key[0])) is not None:
            return self._attempts.silent_beside(asked.dialed, beside, now)
        return self._silent(asked, asked.dialed, now) if asked.dialed.now.branch == key[0] else []

    def not_connected(self, failed: NotConnected, now: float) -> list[Action]:
        """No connection could be made to this address."""
        actions: list[Action] = []
        for dialog in self._context.dialogs.inviting():
            asked = self._context.relays.asked(dialog.branch, "INVITE")
            dialed = None if asked is None else asked.dialed
            if asked is None or asked.final or dialed is None or dialed.now is None:
                continue
            for beside in tuple(dialed.besides.values()):
                if beside.hop.place == failed.hop.place and not beside.heard:
                    actions += self._attempts.silent_beside(dialed, beside, now)
            if dialed.now.hop.place == failed.hop.place and not dialed.now.heard:
                actions += self._silent(asked, dialed, now, failed.why)
        return actions

    def due(self, now: float) -> list[Action]:
        """Move on from places that have been silent for too long."""
        actions: list[Action] = []
        for asked, attempt in self._attempts.silent(now):
            if asked.dialed is None or asked.dialog.state is not DialogState.INVITING:
                continue
            if attempt is not asked.dialed.now:
                actions += self._attempts.silent_beside(asked.dialed, attempt, now)
            else:
                actions += self._silent(asked, asked.dialed, now)
        return actions

    def _silent(self, asked: Asked, dialed: Dialed, now: float, why: str = "") -> list[Action]:
        if dialed.besides and not asked.cancelled:
            over = self._attempts.over(asked, 0, why or "no answer", now)
            self._attempts.go_on_beside(asked, dialed)
            return over
        if self._attempts.fails_over(asked, dialed, 0):
            over = self._attempts.over(asked, 0, why or "no answer", now)
            return [*over, *self._attempts.next_place(asked, dialed, now)]
        if why:  # no secure connection: RFC 3261 section 21.5.4
            return self._end(asked, 503, why, now, q850=OUT_OF_ORDER)
        return self._end(asked, 408, _SILENT, now, q850=OUT_OF_ORDER)

    def picked_up(self, dialog: Dialog, body: bytes, now: float) -> list[Action]:
        """Another phone takes a call that rings: to the worker it has been answered with this description, and the
        ringing stops. `dialog` is not heard of any more."""
        context, asked = self._context, self._context.relays.asked(dialog.branch, "INVITE")
        if asked is None:
            return []
        over = self._attempts.over(asked, 200, "picked up by another phone", now)
        stopped = self._attempts.cancel(asked, now, reason_values(NORMAL, 200, "Call completed elsewhere"))
        tag, request = dialog.shown.public_tag, asked.request
        texts = writing.reply_lines(request.lines, request.via, asked.address, tag)
        texts += [f"Contact: {context.worker_contact}", "Content-Type: application/sdp"]
        asked.final = SendWorker(*asked.address, writing.assemble("SIP/2.0 200 OK", texts, body))
        dialog.told = True  # the leg goes on
        return [*over, *stopped, asked.final, *context.end_dialog(dialog, DialogEvent.CUT, now, context.timers.kept_s)]

    def last_word(self, dialog: Dialog, why: Sequence[str]) -> SendPublic | None:
        """The CANCEL of a ringing call."""
        asked = self._context.relays.asked(dialog.branch, "INVITE")
        if asked is None or asked.final or asked.cancelled or asked.dialed is None or asked.dialed.now is None:
            return None
        attempt = asked.dialed.now
        return self._attempts.cancel_of(dialog, attempt, why) if attempt.heard else None

    def cut(
        self, dialog: Dialog, status: int, cause: str, now: float, *, tell_worker: bool = True, q850: int = 0
    ) -> list[Action]:
        """End a call that has not been answered, towards both sides."""
        asked = self._context.relays.asked(dialog.branch, "INVITE")
        if asked is None:
            return self._context.end_dialog(dialog, DialogEvent.CUT, now, self._context.timers.kept_s)
        why = reason_values(q850 or cause_of(status), text=cause)
        actions = [] if asked.cancelled else self._attempts.cancel(asked, now, why)
        return actions + self._end(asked, status, cause, now, tell_worker=tell_worker, q850=q850)

    def _end(
        self, asked: Asked, status: int, cause: str, now: float, *, tell_worker: bool = True, q850: int = 0
    ) -> list[Action]:
        """Our own final answer to the worker's INVITE."""
        context, dialog, request = self._context, asked.dialog, asked.request
        over = self._attempts.over(asked, 0, cause, now, cause=q850 or cause_of(status))
        headers = [("Reason", value) for value in reason_values(q850 or cause_of(status), status, cause)]
        headers.append(("Server", OWN_ANSWER))
        data = writing.respond(
            request.lines, request.via, asked.address, status, to_tag=dialog.shown.public_tag, headers=headers
        )
        asked.final = SendWorker(*asked.address, data)
        context.counters.add(f"answered.{status}")
        ended = context.end_dialog(dialog, DialogEvent.CUT, now, context.timers.kept_s, refused=(status, cause))
        if not tell_worker:
            return [*over, *ended]
        context.resends.final_answer((dialog.branch, "final"), asked.final, now)
        return [*over, asked.final, *ended]

    def _learn(self, dialog: Dialog, response: Response) -> None:
        """The called side's tag, target and route set (RFC 3261 section 12.1.2). Each ringing phone has its own dialog;
        ours is the latest one until one answers."""
        context, tag, shown = self._context, response.to_tag, dialog.shown
        if tag and tag != dialog.public.tag:
            context.dialogs.rename(dialog, tag)
            dialog.public.address = f"<{dialog.called_uri}>;tag={tag}"
            ours = context.branches.public_tag(f"{dialog.leg_id} {tag}")
            address = shown.public.partition(";tag=")[0]
            dialog.shown = replace(shown, public=f"{address};tag={ours}", public_tag=ours)
        dialog.learn_methods(response.headers)
        if response.status < 300 and (contact := contact_uri(response.value("contact"))):
            dialog.public.contact = contact
            dialog.public.routes = route_set(response)

    def _to_worker(self, response: Response, asked: Asked, why: Sequence[str] = ()) -> SendWorker:
        """`why`: our Reason values."""
        tag = asked.dialog.shown.public_tag
        contact = self._context.worker_contact
        data = response_to_worker(response, asked.request, asked.address, contact, to_tag=tag, why=why)
        return SendWorker(*asked.address, data)


def _counts(dialed: Dialed, response: Response) -> tuple[int, str]:
    """Status and phrase of the refusal that counts, where several phones were called at the same time."""
    worst = dialed.worst
    return (response.status, response.reason) if worst is None else (worst.status, worst.reason)
