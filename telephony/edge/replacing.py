"""INVITE with Replaces (RFC 3891): another phone takes the place of the public side of a dialog.

To its worker it is the same call throughout: it gets a re-INVITE with the new phone's description. Who was there before
gets a BYE, or a CANCEL if it was still ringing.
"""

from __future__ import annotations

from telephony.edge.attempts import Attempt, attempt_key
from telephony.edge.bodies import Unacceptable, body_for_worker
from telephony.edge.context import EdgeContext, reply_hop
from telephony.edge.dialing import Dialing
from telephony.edge.dialogs import Dialog, DialogState, Party, PublicParty, Reply, WorkerParty
from telephony.edge.ending import EndingCalls
from telephony.edge.forwarding import forward
from telephony.edge.hops import Action, Hop, LegReplaced, SendPublic, SendWorker
from telephony.edge.protocol import InviteInfo, Refuse
from telephony.edge.relays import Relay
from telephony.edge.to_worker import own_to_worker
from telephony.sip.parse import Request, Response
from telephony.sip.replaces import Replaces, read_replaces
from telephony.sip.uri import contact_uri
from telephony.sip.writing import respond

__all__ = ["Replacing"]


class Replacing:
    def __init__(self, context: EdgeContext, dialing: Dialing, ending: EndingCalls) -> None:
        self._context = context
        self._dialing = dialing
        self._ending = ending

    def invite(self, request: Request, hop: Hop, info: InviteInfo) -> list[Action] | Refuse:
        """A new INVITE that names a dialog; its trunk takes such INVITEs, and its body has been checked."""
        try:
            replaces = self._read(request)
        except ValueError as error:
            return Refuse(400, "", cause_text=str(error))
        old = self._context.dialogs.named_by(replaces)
        if old is None:
            return Refuse(481, "", cause_text="the dialog that is to be replaced is not known here")
        refuse = self._refused(old, replaces, hop)
        if refuse is not None:
            return refuse
        if old.state is DialogState.INVITING:
            return self._pick_up(old, request, hop, info)
        return self._forward(old, request, hop, info)

    @staticmethod
    def _read(request: Request) -> Replaces:
        values = request.headers.get("replaces")
        if len(values) != 1 or "join" in request.headers:
            raise ValueError("an INVITE replaces one dialog, and does nothing else")
        return read_replaces(values[0])

    def _refused(self, old: Dialog, replaces: Replaces, hop: Hop) -> Refuse | None:
        """RFC 3891 section 3."""
        if not self._context.trust.may_speak(old, hop):
            return Refuse(403, "", cause_text="the dialog that is to be replaced is of another trunk")
        if old.state in (DialogState.ENDING, DialogState.ENDED, DialogState.LOST):
            return Refuse(603, "", cause_text="the dialog that is to be replaced is over")
        if old.state is DialogState.INVITING and old.initiator is Party.PUBLIC:
            return Refuse(481, "", cause_text="only the called side of an unanswered call can be replaced")
        if replaces.early_only and old.state is not DialogState.INVITING:
            return Refuse(486, "", cause_text="the call has been answered already")
        if old.replaced or old.refreshing:
            return Refuse(491, "", cause_text="another change of the call is in progress")
        return self._context.replace_refused(old.leg_id)

    def _forward(self, old: Dialog, request: Request, hop: Hop, info: InviteInfo) -> list[Action]:
        context, now = self._context, info.received_at
        branch = context.branches.forwarded(request)
        new = self._dialog(old, request, hop, info, branch)
        context.sessions.begin(new)
        new.learn_methods(request.headers)
        old.replaced = True
        context.attempts_of(hop.ip).add(attempt_key(request, request.via, hop.ip), Attempt(new, branch, now))
        sent = forward(context, request, hop, new, now, branch=branch, initial=True, replaces=old)
        return [context.answer(request, hop, 100), sent]

    def _pick_up(self, old: Dialog, request: Request, hop: Hop, info: InviteInfo) -> list[Action] | Refuse:
        """A phone of ours rings, and another one takes the call. Its description is no answer to the worker's offer in
        all details (numbers of payloads), so the worker gets it once more, as an offer, when it has sent its ACK."""
        context, now = self._context, info.received_at
        asked = context.relays.asked(old.branch, "INVITE")
        if asked is None or asked.cancelled or asked.final is not None:
            return Refuse(603, "", cause_text="the dialog that is to be replaced is over")
        try:
            rule = context.media_rule(old.trunk, hop)
            body, _ = body_for_worker(request, rule, offer=asked.request.body)
        except Unacceptable as error:
            return Refuse(error.status, "", cause_text=error.cause)
        if not body:
            return Refuse(488, "", cause_text="a call that rings is only taken with a session description")
        new = self._dialog(old, request, hop, info, old.branch)
        new.pickup, new.replaced = (request, hop), True
        context.sessions.begin(new)
        new.learn_methods(request.headers)
        key, branch = attempt_key(request, request.via, hop.ip), context.branches.forwarded(request)
        context.attempts_of(hop.ip).add(key, Attempt(new, branch, now))
        actions = self._dialing.picked_up(old, body, now)
        context.dialogs.add(new)
        return [context.answer(request, hop, 100), *actions]

    def acknowledged(self, dialog: Dialog, now: float) -> list[Action]:
        """The worker's ACK for a call that was picked up."""
        assert dialog.pickup is not None, "only of such a dialog"
        (request, hop), dialog.pickup = dialog.pickup, None
        branch = self._context.branches.forwarded(request)
        return [forward(self._context, request, hop, dialog, now, branch=branch, initial=True, replaces=dialog)]

    def _dialog(self, old: Dialog, request: Request, hop: Hop, info: InviteInfo, branch: str) -> Dialog:
        """With the same worker, which goes on with the numbers and names that it knows."""
        worker, public = old.worker, old.public
        return Dialog(
            leg_id=old.leg_id,
            sip_call_id=request.call_id,
            public=PublicParty(
                request.from_tag,
                _written(request, "from"),
                contact_uri(request.value("contact")) or request.sender.uri,
                hop,
                request.cseq,
                tuple(request.headers.get("record-route")),
                cseq_shift=max(0, public.cseq + public.cseq_shift + 1 - request.cseq),
            ),
            worker=WorkerParty(
                worker.at,
                worker.call_id,
                _written(request, "to"),
                worker.tag,
                worker.contact,
                worker.cseq,
                worker.cseq_shift,
                dict(worker.numbers),
            ),
            trunk=old.trunk,
            invite_cseq=request.cseq,
            branch=old.branch if old.initiator is Party.WORKER else branch,
            created_at=old.created_at,
            expires_at=info.received_at + self._context.limits.dialog_idle_s,
            invite=Reply(request.lines, request.via, (hop.ip, hop.port), hop),
            shown=old.shown,
            info=info,
            initiator=old.initiator,
            called_uri=old.called_uri,
            sips=request.uri.scheme == "sips",
            savp=old.savp,
            state=DialogState.CONFIRMED,
        )

    # --- the worker's answer -----------------------------------------------------------------------------------------

    def refused(self, relay: Relay, now: float) -> list[Action]:
        """The call goes on with whoever is there; where nobody is, it is over."""
        assert relay.replaces is not None, "only of such a relay"
        relay.replaces.replaced = False
        if relay.replaces is relay.dialog:
            return self._ending.given_up(relay.dialog, "the phone that picked up could not be connected", now)
        return []

    def taken(self, relay: Relay, now: float) -> list[Action]:
        """The new phone has the call. Who was there is told that it is over."""
        old, new = relay.replaces, relay.dialog
        assert old is not None, "only of such a relay"
        new.invite = None
        new.replaced = False
        self._context.counters.add("legs_replaced")
        told = LegReplaced(new.leg_id, new.info)
        if old is new:  # it was picked up
            return [told]
        self._context.dialogs.add(new)
        return [told, *self._ending.replaced(old, now)]

    def too_late(self, response: Response, relay: Relay, now: float) -> list[Action]:
        """The worker has accepted a phone in the place of one that has just hung up, and its leg ends."""
        if response.status < 200:
            return []
        context, dialog, reply = self._context, relay.dialog, relay.reply
        via = context.worker_via(context.branches.own(f"ack {response.call_id}", response.cseq))
        ack = own_to_worker("ACK", dialog, response.cseq, via)
        final = respond(reply.lines, reply.via, reply.received_from, 603, to_tag=dialog.worker.tag)
        relay.status, relay.final = 603, final
        sent = SendPublic(reply_hop(reply.via, reply.hop), final)
        context.resends.final_answer(context.finish_attempt(dialog, reply, final, now, by_us=True), sent, now)
        return [sent, SendWorker(dialog.worker.at.host, dialog.worker.at.port, ack)]


def _written(request: Request, name: str) -> str:
    """A header value as the caller wrote it, to be sent back to the caller."""
    return next(line.value for line in request.lines if line.name == name)
