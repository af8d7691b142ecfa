"""Our REFER within a dialog, and the peer's reports on the resulting call (RFC 3515). Workers see nothing of it:
neither the request nor its answers nor the NOTIFYs go through PJSIP.
"""

from __future__ import annotations

from telephony.edge.context import EdgeContext
from telephony.edge.dialogs import Dialog, DialogState, Referral
from telephony.edge.hops import Action, Hop, ReferAnswered, ReferNotified, SendPublic
from telephony.edge.own_requests import challenged, headers_within
from telephony.edge.way import way_to_public
from telephony.errors import TelephonyMisuse
from telephony.sip.digest import DigestClient
from telephony.sip.parse import Request, Response
from telephony.sip.sipfrag import read_sipfrag, read_subscription
from telephony.sip.uri import contact_uri, try_uri
from telephony.sip.writing import own_request

__all__ = ["Referring"]


class Referring:
    def __init__(self, context: EdgeContext) -> None:
        self._context = context
        self._sent: dict[str, Dialog] = {}  # REFERs without a final answer, by branch

    def refer(self, dialog: Dialog, target: str, now: float) -> list[Action]:
        """Ask the peer to call `target`, a URI. Raises TelephonyMisuse."""
        if dialog.state is not DialogState.CONFIRMED:
            raise TelephonyMisuse(f"a call that is {dialog.state} cannot be transferred")
        if try_uri(target) is None or any(char in target for char in '<>" \r\n'):
            raise TelephonyMisuse(f"{target!r} is not an address to transfer to")
        if dialog.referral is not None and dialog.referral.waits:
            raise TelephonyMisuse("another transfer of this call has not been answered yet")
        account = self._context.account_of(dialog.trunk)
        digest = None if account is None else DigestClient(account, self._context.random_token)
        dialog.referral = Referral(target, digest=digest)
        return [self._send(dialog, dialog.referral, now)]

    def _send(self, dialog: Dialog, referral: Referral, now: float) -> SendPublic:
        context = self._context
        uri, routes, hop = way_to_public(context, dialog)
        cseq = dialog.worker.take_number()
        branch = referral.branch = context.branches.own(f"refer {dialog.sip_call_id}", cseq)
        headers = headers_within(context, dialog, hop, routes, branch, cseq, "REFER")
        headers += [("Contact", context.contact_in(dialog, hop.listener))]
        headers += [("Refer-To", f"<{referral.target}>")]
        if ours := contact_uri(dialog.worker.name):
            headers.append(("Referred-By", f"<{ours}>"))  # RFC 3892
        headers += [("Accept", "message/sipfrag")]
        if referral.digest is not None:
            headers += referral.digest.answers("REFER", uri)
        sent = SendPublic(hop, own_request("REFER", uri, headers))
        self._sent[branch] = dialog
        context.resends.request(branch, sent, now)
        context.counters.add("forwarded_out.REFER")
        return sent

    def response(self, response: Response, hop: Hop, now: float) -> list[Action] | None:
        """None: not an answer to one of our REFERs."""
        context, branch = self._context, response.via.branch
        dialog = self._sent.get(branch)
        if dialog is None or response.cseq_method != "REFER":
            return None
        if response.call_id != dialog.sip_call_id or not context.trust.may_speak(dialog, hop):
            context.counters.add("untrusted.response")
            return []
        if response.status < 200:
            context.resends.provisional(branch, now)
            return []
        context.counters.add(f"responses_in.{response.status // 100}xx")
        context.resends.answered(branch)
        del self._sent[branch]
        referral = dialog.referral
        if referral is None or referral.branch != branch:
            return []
        if response.status in (401, 407) and challenged(response, referral):
            return [self._send(dialog, referral, now)] if dialog.state is DialogState.CONFIRMED else []
        return [self._answered(dialog, referral, response.status, response.reason)]

    def lost(self, key: object) -> list[Action]:
        """Our request got no answer within 32 s (timer F)."""
        dialog = self._sent.pop(key, None) if isinstance(key, str) else None
        if dialog is None or dialog.referral is None or dialog.referral.branch != key:
            return []
        return [self._answered(dialog, dialog.referral, 0, "the peer did not answer the REFER")]

    def _answered(self, dialog: Dialog, referral: Referral, status: int, reason: str) -> Action:
        referral.waits = False
        if not 200 <= status < 300:
            dialog.referral = None  # there is no subscription
        return ReferAnswered(dialog.leg_id, status, reason)

    @staticmethod
    def notify(request: Request, dialog: Dialog) -> tuple[int, dict[str, str], list[Action]]:
        """Status and headers of the answer, and the peer's report. It may arrive before the REFER's own answer, and
        after the BYE."""
        event = request.value("event").partition(";")[0].strip().lower()
        if event != "refer":
            return 489, {"Allow-Events": "refer"}, []
        if dialog.referral is None:
            return 481, {}, []  # there is no subscription (RFC 6665 section 4.1.3)
        over, why = read_subscription(request.value("subscription-state"))
        found = read_sipfrag(request.body)
        if found is None and not over:
            return 400, {}, []
        status, reason = found or (0, why)
        over = over or status >= 200
        if over:
            dialog.referral = None
        return 200, {}, [ReferNotified(dialog.leg_id, status, reason, over)]
