"""A peer's REFER within a call (RFC 3515): whether it is honoured is for the gateway to say, which then calls the
target; the peer is told by NOTIFY how that goes. Workers see nothing of the SIP messages.
"""

from __future__ import annotations

from dataclasses import dataclass

from telephony.edge.context import EdgeContext
from telephony.edge.dialogs import Dialog, DialogState
from telephony.edge.hops import Action, Hop, PeerReferred, SendPublic
from telephony.edge.own_requests import challenged, headers_within
from telephony.edge.protocol import PeerRefers, Refuse
from telephony.edge.way import way_to_public
from telephony.sip.digest import DigestClient
from telephony.sip.parse import Request, Response
from telephony.sip.replaces import Replaces, read_refer_to
from telephony.sip.uri import contact_uri
from telephony.sip.writing import clean, own_request, phrase_of, reason_header

__all__ = ["ReferredHere"]

_EXPIRES_S = 180  # of the subscription: longer than a target may ring
_MOST = 1000  # subscriptions at once


@dataclass(slots=True)
class _Subscription:
    """Made by a REFER. `cseq`: of that REFER, which is the event's id."""

    dialog: Dialog
    cseq: int
    silent: bool  # the peer wants no reports (RFC 4488)
    over: bool = False


@dataclass(slots=True)
class _Sent:
    subscription: _Subscription
    status: int
    reason: str
    digest: DigestClient | None
    challenges: int = 0


class ReferredHere:
    def __init__(self, context: EdgeContext) -> None:
        self._context = context
        self._subscriptions: dict[str, _Subscription] = {}  # by the id of the REFER
        self._sent: dict[str, _Sent] = {}  # NOTIFYs without a final answer, by branch
        self._number = 0

    def receive(self, request: Request, hop: Hop, dialog: Dialog, now: float) -> tuple[SendPublic, list[Action]]:
        """The answer, and what follows."""
        refers = self._read(request, hop, dialog)
        refuse = refers if isinstance(refers, Refuse) else self._context.refer_refused(refers)
        if refuse is not None or isinstance(refers, Refuse):
            assert refuse is not None
            return self._refuse(request, hop, refuse), []
        silent = request.value("refer-sub").strip().lower().startswith("false")
        subscription = self._subscriptions[refers.refer_id] = _Subscription(dialog, request.cseq, silent)
        while len(self._subscriptions) > _MOST:
            del self._subscriptions[next(iter(self._subscriptions))]
        headers = {"Contact": self._context.contact_in(dialog, hop.listener)}
        if silent:
            headers["Refer-Sub"] = "false"
        self._context.counters.add("refers_honoured")
        answer = self._context.answer(request, hop, 202, headers=headers)
        first = self._notify(subscription, 100, "", now)
        return answer, [*first, PeerReferred(refers)]

    def _read(self, request: Request, hop: Hop, dialog: Dialog) -> PeerRefers | Refuse:
        """What is asked for, or why nobody can do it."""
        if dialog.state is not DialogState.CONFIRMED:
            return Refuse(481, "", cause_text="the call has not been answered, or is over")
        if any(each.dialog is dialog and not each.over for each in self._subscriptions.values()):
            return Refuse(491, "", cause_text="another transfer of this call is in progress")
        values = request.headers.get("refer-to")
        if len(values) != 1:  # RFC 3515 section 2.4.2
            return Refuse(400, "", cause_text="a REFER needs one Refer-To")
        try:
            to = read_refer_to(values[0])
        except LookupError as error:
            return Refuse(501, "", cause_text=str(error))
        except ValueError as error:
            return Refuse(400, "", cause_text=str(error))
        if to.uri.partition(":")[0].lower() not in ("sip", "sips", "tel"):
            return Refuse(416, "", cause_text="only sip and tel addresses can be called")
        self._number += 1
        refer_id = f"{dialog.leg_id}-r{self._number}"
        by = contact_uri(request.value("referred-by")) or contact_uri(dialog.public.address)
        replaced = self._replaced(to.replaces, hop)
        return PeerRefers(
            dialog.leg_id,
            refer_id,
            dialog.trunk,
            to.uri,
            by,
            to.replaces,
            replaced,
            self._context.names_us(to.uri),
            to.required,
        )

    def _replaced(self, replaces: Replaces | None, hop: Hop) -> str:
        """The leg of ours whose dialog it names, if that is a dialog of the same peer's."""
        dialog = None if replaces is None else self._context.dialogs.named_by(replaces)
        if dialog is None or not dialog.live or not self._context.trust.may_speak(dialog, hop):
            return ""
        return dialog.leg_id

    def _refuse(self, request: Request, hop: Hop, refuse: Refuse) -> SendPublic:
        self._context.counters.add("refers_refused")
        cause = refuse.cause_text or refuse.reason
        headers = {"Reason": reason_header(refuse.status, cause)}
        return self._context.answer(request, hop, refuse.status, reason=refuse.reason, headers=headers)

    # --- NOTIFY ------------------------------------------------------------------------------------------------------

    def report(self, refer_id: str, status: int, reason: str, now: float) -> list[Action]:
        """The latest status of the call to the target; a final one is the last report. Nothing, where nobody is
        subscribed any more."""
        subscription = self._subscriptions.get(refer_id)
        if subscription is None:
            return []
        if status >= 200:
            subscription.over = True
            del self._subscriptions[refer_id]
        return self._notify(subscription, status, reason, now)

    def done(self, dialog: Dialog, now: float) -> list[Action]:
        """What was asked for in this dialog has been done, and it ends."""
        found = [refer_id for refer_id, each in self._subscriptions.items() if each.dialog is dialog]
        return [action for refer_id in found for action in self.report(refer_id, 200, "", now)]

    def _notify(self, subscription: _Subscription, status: int, reason: str, now: float) -> list[Action]:
        if subscription.silent or subscription.dialog.state is DialogState.LOST:
            return []
        account = self._context.account_of(subscription.dialog.trunk)
        digest = None if account is None else DigestClient(account, self._context.random_token)
        return [self._send(_Sent(subscription, status, reason, digest), now)]

    def _send(self, sent: _Sent, now: float) -> SendPublic:
        context, dialog = self._context, sent.subscription.dialog
        uri, routes, hop = way_to_public(context, dialog)
        cseq = dialog.worker.take_number()
        branch = context.branches.own(f"notify {dialog.sip_call_id}", cseq)
        over = sent.status >= 200
        body = f"SIP/2.0 {sent.status} {clean(sent.reason)[:80] or phrase_of(sent.status)}\r\n".encode()
        state = "terminated;reason=noresource" if over else f"active;expires={_EXPIRES_S}"
        headers = headers_within(context, dialog, hop, routes, branch, cseq, "NOTIFY")
        headers += [("Contact", context.contact_in(dialog, hop.listener))]
        headers += [("Event", f"refer;id={sent.subscription.cseq}"), ("Subscription-State", state)]
        headers += [("Content-Type", "message/sipfrag;version=2.0")]
        if sent.digest is not None:
            headers += sent.digest.answers("NOTIFY", uri, body)
        request = SendPublic(hop, own_request("NOTIFY", uri, headers, body))
        self._sent[branch] = sent
        context.resends.request(branch, request, now)
        context.counters.add("forwarded_out.NOTIFY")
        return request

    def response(self, response: Response, hop: Hop, now: float) -> list[Action] | None:
        """None: not an answer to a NOTIFY of ours."""
        context, branch = self._context, response.via.branch
        sent = self._sent.get(branch)
        if sent is None or response.cseq_method != "NOTIFY":
            return None
        dialog = sent.subscription.dialog
        if response.call_id != dialog.sip_call_id or not context.trust.may_speak(dialog, hop):
            context.counters.add("untrusted.response")
            return []
        if response.status < 200:
            context.resends.provisional(branch, now)
            return []
        context.resends.answered(branch)
        del self._sent[branch]
        if response.status in (401, 407) and challenged(response, sent):
            return [self._send(sent, now)]
        if response.status >= 300:  # it has no such subscription (RFC 6665 section 4.2.2)
            sent.subscription.silent = True
        return []

    def lost(self, key: object) -> list[Action]:
        """A NOTIFY got no answer within 32 s."""
        sent = self._sent.pop(key, None) if isinstance(key, str) else None
        if sent is not None:
            sent.subscription.silent = True
        return []
