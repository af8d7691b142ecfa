"""Reliable provisional answers to our INVITEs (RFC 3262): each is acknowledged here with PRACK, so that workers see
only plain ones."""

from __future__ import annotations

from telephony.edge.context import EdgeContext
from telephony.edge.dialogs import Dialog
from telephony.edge.hops import Action, SendPublic
from telephony.edge.relays import DialAttempt
from telephony.edge.way import way_to
from telephony.sip.parse import Response
from telephony.sip.uri import contact_uri
from telephony.sip.writing import own_request

__all__ = ["ReliableAnswers", "route_set"]

_MOST_RSEQ = 2**31 - 1


class ReliableAnswers:
    def __init__(self, context: EdgeContext) -> None:
        self._context = context

    def acknowledge(self, response: Response, dialog: Dialog, attempt: DialAttempt, now: float) -> list[Action] | None:
        """The PRACK; empty: none is needed. None: a repeated answer, or one out of order, which must be ignored
        (section 4)."""
        number = _rseq(response)
        if number is None:
            return []
        last = attempt.reliable.get(response.to_tag)
        if last is not None and number != last + 1:
            self._context.counters.add("retransmissions.reliable")
            return None
        attempt.reliable[response.to_tag] = number
        return [self._prack(response, dialog, attempt, number, now)]

    def _prack(self, response: Response, dialog: Dialog, attempt: DialAttempt, number: int, now: float) -> SendPublic:
        """In the answer's early dialog."""
        context = self._context
        contact = contact_uri(response.value("contact")) or attempt.dial.uri
        uri, routes, hop = way_to(context, attempt.hop, attempt.dial.trunk, contact, route_set(response))
        cseq = dialog.worker.take_number()
        branch = context.branches.own(f"prack {dialog.sip_call_id} {response.to_tag}", cseq)
        headers = [("Via", context.public_via(hop, branch)), *(("Route", value) for value in routes)]
        headers += [("From", f"<{attempt.dial.caller}>;tag={dialog.worker.tag}")]
        headers += [("To", f"<{attempt.dial.uri}>;tag={response.to_tag}"), ("Call-ID", dialog.sip_call_id)]
        headers += [("CSeq", f"{cseq} PRACK"), ("RAck", f"{number} {attempt.cseq} INVITE")]
        sent = SendPublic(hop, own_request("PRACK", uri, headers))
        context.resends.request(branch, sent, now)
        context.counters.add("forwarded_out.PRACK")
        return sent


def _rseq(response: Response) -> int | None:
    """The RSeq of an answer that needs a PRACK."""
    wanted = any(token.lower() == "100rel" for token in response.headers.get("require"))
    value = response.value("rseq")
    if not wanted or response.status == 100 or not response.to_tag or not (value.isascii() and value.isdigit()):
        return None
    number = int(value[:11])
    return number if 0 < number <= _MOST_RSEQ else None


def route_set(response: Response) -> tuple[str, ...]:
    """The route set of the dialog created by an answer to our INVITE (RFC 3261 section 12.1.2)."""
    return tuple(reversed(response.headers.get("record-route")))
