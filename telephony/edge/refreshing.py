"""Refreshes sessions: with UPDATE if the peer supports it, else with a re-INVITE and the current description."""

from __future__ import annotations

from dataclasses import dataclass

from telephony.edge.context import EdgeContext
from telephony.edge.dialogs import Dialog, DialogState
from telephony.edge.ending import EndingCalls
from telephony.edge.hops import Action, Hop, SendPublic
from telephony.edge.own_requests import challenged, headers_within
from telephony.edge.way import acknowledge, way_to_public
from telephony.sip.digest import DigestClient
from telephony.sip.parse import Response
from telephony.sip.session_timer import SessionDue
from telephony.sip.writing import own_request

__all__ = ["Refreshing"]

_DIALOG_GONE = frozenset({404, 408, 410, 416, 481, 482, 483, 484, 485, 502, 604})  # RFC 5057 section 5.1


@dataclass(slots=True)
class _Sent:
    dialog: Dialog
    method: str
    digest: DigestClient | None
    challenges: int = 0


class Refreshing:
    def __init__(self, context: EdgeContext, ending: EndingCalls) -> None:
        self._context = context
        self._ending = ending
        self._sent: dict[str, _Sent] = {}  # without a final answer, by branch
        self._acknowledged: dict[str, SendPublic] = {}  # the ACK of each re-INVITE, for a repeated 2xx

    def due(self, now: float) -> list[Action]:
        """The refreshes to send, and the ends of sessions that nobody refreshed."""
        actions: list[Action] = []
        for dialog, due in self._context.sessions.due(now):
            if due is SessionDue.REFRESH:
                account = self._context.account_of(dialog.trunk)
                digest = None if account is None else DigestClient(account, self._context.random_token)
                actions.append(self._send(_Sent(dialog, dialog.refresh_by, digest), now))
            else:
                actions += self._ending.expired(dialog, now)
        return actions

    def _send(self, sent: _Sent, now: float) -> SendPublic:
        context, dialog, method = self._context, sent.dialog, sent.method
        uri, routes, hop = way_to_public(context, dialog)
        cseq = dialog.worker.take_number()
        branch = context.branches.own(f"refresh {dialog.sip_call_id}", cseq)
        body = dialog.described if method == "INVITE" else b""
        headers, able = (
            headers_within(context, dialog, hop, routes, branch, cseq, method),
            context.announced(dialog.trunk),
        )
        headers += [("Contact", context.contact_in(dialog, hop.listener)), ("Allow", able.allow)]
        headers += [("Supported", able.supported), *context.sessions.asks(dialog)]
        if sent.digest is not None:
            headers += sent.digest.answers(method, uri, body)
        if body:
            headers.append(("Content-Type", "application/sdp"))
        action = SendPublic(hop, own_request(method, uri, headers, body))
        self._sent[branch] = sent
        dialog.refreshing = method == "INVITE"
        context.resends.request(branch, action, now, invite=method == "INVITE")
        context.counters.add(f"refreshes.{method}")
        return action

    def response(self, response: Response, hop: Hop, now: float) -> list[Action] | None:
        """None: not an answer to a refresh."""
        context, branch = self._context, response.via.branch
        sent = self._sent.get(branch)
        if sent is None or response.cseq_method != sent.method:
            again = self._acknowledged.get(branch)
            return None if again is None or response.cseq_method != "INVITE" else [again]
        dialog = sent.dialog
        if response.call_id != dialog.sip_call_id or not context.trust.may_speak(dialog, hop):
            context.counters.add("untrusted.response")
            return []
        if response.status < 200:
            context.resends.provisional(branch, now)
            return []
        context.resends.answered(branch)
        del self._sent[branch]
        dialog.refreshing = False
        actions: list[Action] = []
        if sent.method == "INVITE":
            actions.append(self._ack(dialog, response, branch))
        return [*actions, *self._result(response, sent, now)]

    def _ack(self, dialog: Dialog, response: Response, branch: str) -> SendPublic:
        if response.status >= 300:
            return acknowledge(self._context, dialog, response.cseq, branch)
        ack = acknowledge(self._context, dialog, response.cseq)
        self._acknowledged[branch] = ack
        if len(self._acknowledged) > self._context.limits.remembered_attempts:
            del self._acknowledged[next(iter(self._acknowledged))]
        return ack

    def _result(self, response: Response, sent: _Sent, now: float) -> list[Action]:
        sessions, dialog = self._context.sessions, sent.dialog
        if dialog.state is not DialogState.CONFIRMED:
            return []
        if response.status < 300:
            sessions.accepted(dialog, response.headers, now)
            self._context.dialogs.expire_at(dialog, now + self._context.limits.dialog_idle_s)
            return []
        if response.status == 422 and sessions.too_short(dialog, response.headers):
            return [self._send(sent, now)]
        if response.status in (401, 407) and challenged(response, sent):
            return [self._send(sent, now)]
        if response.status in (405, 501) and sent.method == "UPDATE" and dialog.described:
            dialog.refresh_by = sent.method = "INVITE"
            return [self._send(sent, now)]
        if response.status in _DIALOG_GONE:
            return self._ending.expired(dialog, now)
        sessions.failed(dialog, now)
        return []

    def lost(self, key: object, now: float) -> list[Action]:
        """A refresh got no answer within 32 s: the peer is gone (section 10)."""
        sent = self._sent.pop(key, None) if isinstance(key, str) else None
        if sent is None or sent.dialog.state is not DialogState.CONFIRMED:
            return []
        sent.dialog.refreshing = False
        return self._ending.expired(sent.dialog, now)
