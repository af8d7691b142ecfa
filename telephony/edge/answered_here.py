"""In-dialog requests that the edge answers itself, since a worker need not see them."""

from __future__ import annotations

from collections.abc import Mapping

from telephony.edge.bodies import content_type
from telephony.edge.capabilities import ALLOW, SUPPORTED
from telephony.edge.context import EdgeContext
from telephony.edge.dialogs import Dialog, DialogState
from telephony.edge.hops import Action, DigitPressed, Hop, SendPublic
from telephony.edge.referring import Referring
from telephony.sip.info import DTMF_TYPES, read_key
from telephony.sip.parse import Request

__all__ = ["CAPABLE", "FORWARDED", "AnsweredHere"]

FORWARDED = frozenset({"INVITE", "BYE", "UPDATE", "PRACK"})  # what goes to the worker, besides ACK and CANCEL
_ALLOW = {"Allow": ALLOW}
_BODIES = ", ".join(DTMF_TYPES)
CAPABLE = {**_ALLOW, "Accept": f"application/sdp, {_BODIES}", "Supported": SUPPORTED}
_REMEMBERED = 16  # answers kept per dialog, for retransmissions
_NO_INFO_PACKAGE = {"Recv-Info": ""}  # RFC 6086 section 5.2.2: none are accepted

# Method -> status and headers, where the answer does not depend on the request. All others: 405.
_FIXED: Mapping[str, tuple[int, Mapping[str, str]]] = {
    "OPTIONS": (200, CAPABLE),  # RFC 3261 section 11
    "SUBSCRIBE": (489, {"Allow-Events": ""}),  # RFC 6665 section 4.2.1.1: no event package
    "MESSAGE": (415, {"Accept": f"application/sdp, {_BODIES}"}),  # texts are not supported: RFC 3428 section 7
}


class AnsweredHere:
    def __init__(self, context: EdgeContext) -> None:
        self._context = context

    def handle(self, request: Request, hop: Hop, dialog: Dialog) -> list[Action]:
        """Answer it. Retransmissions get the same answer; a key or a report is passed on only once."""
        context = self._context
        key = (request.cseq, request.via.branch)
        if (before := dialog.answered.get(key)) is not None:
            context.counters.add("retransmissions.other")
            return [SendPublic(context.reply_hop(request, hop), before)]
        told: list[Action] = []
        if request.method == "INFO":
            status, headers, told = self._info(request, dialog)
        elif request.method == "NOTIFY":
            status, headers, told = Referring.notify(request, dialog)
        else:
            status, headers = _FIXED.get(request.method, (405, _ALLOW))
        answer = context.answer(request, hop, status, headers=headers)
        dialog.answered[key] = answer.data
        while len(dialog.answered) > _REMEMBERED:
            del dialog.answered[next(iter(dialog.answered))]
        return [answer, *told]

    def _info(self, request: Request, dialog: Dialog) -> tuple[int, Mapping[str, str], list[Action]]:
        kind = content_type(request)
        if kind in DTMF_TYPES:
            key = read_key(kind, request.body)
            if key is None:
                return 400, {}, []
            if not key.digit or dialog.state not in (DialogState.INVITING, DialogState.CONFIRMED):
                return 200, {}, []
            return 200, {}, [DigitPressed(dialog.leg_id, key.digit, key.duration_ms)]
        if request.value("info-package"):
            return 469, _NO_INFO_PACKAGE, []
        if not request.body.strip():
            return 200, {}, []  # RFC 6086 section 4.2.2: legacy usage, such as a keep-alive
        return 415, {"Accept": _BODIES}, []
