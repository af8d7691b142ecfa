"""A phone moves from its own leg to another one, whose phone leaves: the end of an attended transfer between two calls
of ours (RFC 5589 section 7). The edge asks both sides by re-INVITE (RFC 3725):

    worker of the leg    <- the phone's description, as an offer; its answer ->
    the phone            <- that answer, as an offer; its own answer, which the worker gets once more if it differs

Then the phone's dialog is the leg's: its old leg's worker and the phone that leaves get a BYE.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from telephony.edge.bodies import Unacceptable, body_for_worker
from telephony.edge.context import EdgeContext
from telephony.edge.dialogs import Dialog, DialogState, WorkerParty
from telephony.edge.ending import EndingCalls
from telephony.edge.hops import Action, Hop, LegReplaced, MoveEnded, SendPublic, SendWorker
from telephony.edge.own_requests import challenged, headers_within
from telephony.edge.protocol import InviteInfo, WorkerAddress
from telephony.edge.referred import ReferredHere
from telephony.edge.to_worker import invite_to_worker, own_to_worker
from telephony.edge.way import acknowledge, way_to_public
from telephony.errors import TelephonyMisuse
from telephony.sip.digest import DigestClient
from telephony.sip.parse import Response
from telephony.sip.uri import contact_uri
from telephony.sip.writing import own_request

__all__ = ["Moving"]

_ACKS_KEPT = 1000


@dataclass(slots=True)
class _Move:
    """`source`: the phone's dialog; `target`: that of the leg it moves to."""

    source: Dialog
    target: Dialog
    token: str
    number: int  # CSeq of the last INVITE to the target's worker
    offered: bytes  # to that worker
    digest: DigestClient | None = None
    challenges: int = 0
    answer: bytes = b""  # the worker's, as the phone is offered it


class Moving:
    def __init__(self, context: EdgeContext, ending: EndingCalls, referred: ReferredHere) -> None:
        self._context = context
        self._referred = referred
        self._ending = ending
        self._at_worker: dict[str, _Move | Dialog] = {}  # INVITEs without a final answer, by branch; Dialog: only told
        self._at_phone: dict[str, _Move] = {}
        self._acks: dict[str, SendPublic | SendWorker] = {}  # for repeated answers
        self._count = 0

    def begin(self, source: Dialog, target: Dialog, token: str, now: float) -> list[Action]:
        """`token`: what its `MoveEnded` has. Raises TelephonyMisuse."""
        if source is target or any(each.state is not DialogState.CONFIRMED for each in (source, target)):
            raise TelephonyMisuse("both calls must have been answered")
        if any(each.replaced or each.refreshing for each in (source, target)) or not source.seen:
            raise TelephonyMisuse("another change of one of the calls is in progress")
        source.replaced = target.replaced = source.refreshing = True
        account = self._context.account_of(source.trunk)
        digest = None if account is None else DigestClient(account, self._context.random_token)
        number = target.public.cseq + target.public.cseq_shift + 1
        move = _Move(source, target, token, number, source.seen, digest)
        return [self._ask_worker(target, number, source.seen, move, now)]

    # --- the worker of the leg ---------------------------------------------------------------------------------------

    def _ask_worker(self, dialog: Dialog, number: int, body: bytes, what: _Move | Dialog, now: float) -> SendWorker:
        context = self._context
        self._count += 1
        branch = context.branches.own(f"move {dialog.leg_id}", self._count)
        via = context.worker_via(branch)
        data = invite_to_worker(dialog, number, via, context.worker_contact, body)
        sent = SendWorker(dialog.worker.at.host, dialog.worker.at.port, data)
        self._at_worker[branch] = what
        context.resends.request(branch, sent, now, invite=True, limit_s=context.timers.worker.limit_s)
        return sent

    def from_worker(self, response: Response, worker: WorkerAddress, now: float) -> list[Action] | None:
        """None: not an answer to an INVITE of ours."""
        branch = response.via.branch
        what = self._at_worker.get(branch)
        if what is None:
            again = self._acks.get(branch)
            return None if again is None or response.cseq_method != "INVITE" else [again]
        dialog = what if isinstance(what, Dialog) else what.target
        if dialog.worker.at != worker or dialog.worker.call_id != response.call_id:
            return []
        if response.status < 200:
            self._context.resends.provisional(branch, now)
            return []
        self._context.resends.answered(branch)
        del self._at_worker[branch]
        ack = self._ack_worker(dialog, response, branch)
        if isinstance(what, Dialog):
            return [ack]
        if response.status >= 300 or not response.body:
            return [ack, *self._failed(what, response.status if response.status >= 300 else 488, response.reason)]
        return [ack, *self._ask_phone(what, response.body, now)]

    def _ack_worker(self, dialog: Dialog, response: Response, branch: str) -> SendWorker:
        context = self._context
        if response.status < 300:
            via = context.worker_via(context.branches.own(f"ack {branch}", response.cseq))
            data = own_to_worker("ACK", dialog, response.cseq, via)
        else:
            data = own_to_worker("ACK", dialog, response.cseq, context.worker_via(branch), to_tag=response.to_tag)
        ack = SendWorker(dialog.worker.at.host, dialog.worker.at.port, data)
        self._keep(branch, ack)
        return ack

    def _keep(self, branch: str, ack: SendPublic | SendWorker) -> None:
        self._acks[branch] = ack
        if len(self._acks) > _ACKS_KEPT:
            del self._acks[next(iter(self._acks))]

    # --- the phone ---------------------------------------------------------------------------------------------------

    def _ask_phone(self, move: _Move, answer: bytes, now: float) -> list[Action]:
        if move.source.state is not DialogState.CONFIRMED:
            return self._failed(move, 481, "the phone has hung up")
        context, source = self._context, move.source
        move.answer = source.streams.around(context.described(answer, source, offer=True))
        return [self._send(move, now)]

    def _send(self, move: _Move, now: float) -> SendPublic:
        context, dialog = self._context, move.source
        uri, routes, hop = way_to_public(context, dialog)
        cseq = dialog.worker.take_number()
        branch = context.branches.own(f"move {dialog.sip_call_id}", cseq)
        able = context.announced(dialog.trunk)
        headers = headers_within(context, dialog, hop, routes, branch, cseq, "INVITE")
        headers += [("Contact", context.contact_in(dialog, hop.listener)), ("Allow", able.allow)]
        headers += [("Supported", able.supported), *context.sessions.asks(dialog)]
        if move.digest is not None:
            headers += move.digest.answers("INVITE", uri, move.answer)
        headers.append(("Content-Type", "application/sdp"))
        sent = SendPublic(hop, own_request("INVITE", uri, headers, move.answer))
        self._at_phone[branch] = move
        context.resends.request(branch, sent, now, invite=True)
        context.counters.add("forwarded_out.INVITE")
        return sent

    def response(self, response: Response, hop: Hop, now: float) -> list[Action] | None:
        """None: not an answer to an INVITE of ours to a phone."""
        context, branch = self._context, response.via.branch
        move = self._at_phone.get(branch)
        if move is None or response.cseq_method != "INVITE":
            again = self._acks.get(branch)
            return None if again is None or response.cseq_method != "INVITE" else [again]
        source = move.source
        if response.call_id != source.sip_call_id or not context.trust.may_speak(source, hop):
            context.counters.add("untrusted.response")
            return []
        if response.status < 200:
            context.resends.provisional(branch, now)
            return []
        context.resends.answered(branch)
        del self._at_phone[branch]
        ack = acknowledge(context, source, response.cseq, branch if response.status >= 300 else "")
        self._keep(branch, ack)
        if source.state is not DialogState.CONFIRMED:
            return [ack, *self._failed(move, 481, "the phone has hung up", now)]
        if response.status in (401, 407) and challenged(response, move):
            return [ack, self._send(move, now)]
        if response.status >= 300:
            return [ack, *self._failed(move, response.status, response.reason, now)]
        try:
            rule = context.media_rule(source.trunk, hop)
            body, _ = body_for_worker(response, rule, in_call=True, offer=move.answer)
        except Unacceptable as error:
            return [ack, *self._failed(move, 488, error.cause, now)]
        source.public.contact = contact_uri(response.value("contact")) or source.public.contact
        return [ack, *self._done(move, response, body, now)]

    def lost(self, key: object, now: float) -> list[Action]:
        """An INVITE got no answer in time."""
        if not isinstance(key, str):
            return []
        if (what := self._at_worker.pop(key, None)) is not None:
            return [] if isinstance(what, Dialog) else self._failed(what, 500, "the worker did not answer")
        if (move := self._at_phone.pop(key, None)) is not None:
            return self._failed(move, 408, "the phone did not answer", now)
        return []

    # --- what comes of it --------------------------------------------------------------------------------------------

    def _failed(self, move: _Move, status: int, reason: str, now: float | None = None) -> list[Action]:
        """`now`: the worker has the phone's description, and gets back that of who is there."""
        source, target = move.source, move.target
        source.replaced = target.replaced = source.refreshing = False
        actions: list[Action] = [MoveEnded(move.token, status, reason)]
        target.public.cseq_shift += 1  # the number that we have used
        if now is not None and target.state is DialogState.CONFIRMED and target.seen:
            actions.append(self._ask_worker(target, move.number + 1, target.seen, target, now))
            target.public.cseq_shift += 1
        return actions

    def _done(self, move: _Move, response: Response, body: bytes, now: float) -> list[Action]:
        context, source, target = self._context, move.source, move.target
        if target.state is not DialogState.CONFIRMED:  # who was to leave has hung up, and the leg ends
            return self._failed(move, 603, "the other call has ended")
        new = self._moved(move)
        new.seen = body or move.offered
        actions: list[Action] = [MoveEnded(move.token, 200, "OK"), LegReplaced(target.leg_id, _who(source))]
        actions += self._referred.done(target, now)  # a phone is told before it gets the BYE
        actions += self._ending.replaced(target, now)
        actions += self._ending.left(source, "its phone has another leg now", now)
        context.dialogs.remove(source)
        context.dialogs.add(new)
        context.sessions.accepted(new, response.headers, now)
        if body and body != move.offered:
            actions.append(self._ask_worker(new, move.number + 1, body, new, now))
        context.counters.add("legs_moved")
        return actions

    def _moved(self, move: _Move) -> Dialog:
        """The phone's dialog, with the worker of the leg that it has now."""
        source, target = move.source, move.target
        theirs, ours = source.worker, target.worker
        native = ours.cseq - ours.cseq_shift  # as that worker counts
        worker = WorkerParty(
            ours.at, ours.call_id, theirs.name, ours.tag, ours.contact, theirs.cseq, theirs.cseq - native,
            known_as=theirs.public_tag,
        )  # fmt: skip
        shift = max(0, move.number + 1 - source.public.cseq)
        return replace(
            source, leg_id=target.leg_id, worker=worker, public=replace(source.public, cseq_shift=shift),
            shown=target.shown, initiator=target.initiator, branch=target.branch, streams=source.streams,
            replaced=False, refreshing=False, told=False, referral=None, described=move.answer, answered={},
        )  # fmt: skip


def _who(dialog: Dialog) -> InviteInfo:
    """Of a call of ours, whom we have called."""
    info = dialog.info
    return replace(info, caller=info.called) if dialog.called_uri else info
