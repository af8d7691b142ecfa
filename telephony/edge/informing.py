"""Our keys by INFO within a dialog (application/dtmf-relay). As with REFER, workers see nothing of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from telephony.edge.context import EdgeContext
from telephony.edge.dialogs import Dialog, DialogState
from telephony.edge.hops import Action, Hop, KeyAnswered, SendPublic
from telephony.edge.own_requests import challenged, headers_within
from telephony.edge.way import way_to_public
from telephony.errors import TelephonyMisuse
from telephony.sip.digest import DigestClient
from telephony.sip.info import key_body
from telephony.sip.parse import Response
from telephony.sip.writing import own_request

__all__ = ["Informing"]


@dataclass(slots=True)
class _Sent:
    """One key, until it has a final answer."""

    dialog: Dialog
    token: str
    body: bytes = field(repr=False)
    digest: DigestClient | None
    challenges: int = 0


class Informing:
    def __init__(self, context: EdgeContext) -> None:
        self._context = context
        self._sent: dict[str, _Sent] = {}  # by branch

    def send(self, dialog: Dialog, key: str, duration_ms: int, token: str, now: float) -> list[Action]:
        """`token`: what its `KeyAnswered` has. Raises TelephonyMisuse."""
        if dialog.state is not DialogState.CONFIRMED:
            raise TelephonyMisuse(f"no key can be sent in a call that is {dialog.state}")
        account = self._context.account_of(dialog.trunk)
        digest = None if account is None else DigestClient(account, self._context.random_token)
        return [self._request(_Sent(dialog, token, key_body(key, duration_ms), digest), now)]

    def _request(self, sent: _Sent, now: float) -> SendPublic:
        context, dialog = self._context, sent.dialog
        uri, routes, hop = way_to_public(context, dialog)
        cseq = dialog.worker.take_number()
        branch = context.branches.own(f"info {dialog.sip_call_id}", cseq)
        headers = headers_within(context, dialog, hop, routes, branch, cseq, "INFO")
        headers += [("Contact", context.contact_in(dialog, hop.listener)), ("Content-Type", "application/dtmf-relay")]
        if sent.digest is not None:
            headers += sent.digest.answers("INFO", uri)
        request = SendPublic(hop, own_request("INFO", uri, headers, sent.body))
        self._sent[branch] = sent
        context.resends.request(branch, request, now)
        context.counters.add("forwarded_out.INFO")
        return request

    def response(self, response: Response, hop: Hop, now: float) -> list[Action] | None:
        """None: not an answer to a key of ours."""
        context, branch = self._context, response.via.branch
        sent = self._sent.get(branch)
        if sent is None or response.cseq_method != "INFO":
            return None
        if response.call_id != sent.dialog.sip_call_id or not context.trust.may_speak(sent.dialog, hop):
            context.counters.add("untrusted.response")
            return []
        if response.status < 200:
            context.resends.provisional(branch, now)
            return []
        context.counters.add(f"responses_in.{response.status // 100}xx")
        context.resends.answered(branch)
        del self._sent[branch]
        if response.status in (401, 407) and challenged(response, sent):
            return [self._request(sent, now)] if sent.dialog.state is DialogState.CONFIRMED else []
        return [KeyAnswered(sent.token, response.status, response.reason)]

    def lost(self, key: object) -> list[Action]:
        """Our request got no answer within 32 s (timer F)."""
        sent = self._sent.pop(key, None) if isinstance(key, str) else None
        return [] if sent is None else [KeyAnswered(sent.token, 0, "the peer did not answer the INFO")]
