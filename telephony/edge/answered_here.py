"""In-dialog requests that the edge answers itself, since a worker need not see them."""

from __future__ import annotations

from collections.abc import Mapping

from telephony.edge.bodies import content_type
from telephony.edge.context import EdgeContext
from telephony.edge.dialogs import Dialog, DialogState
from telephony.edge.hops import Action, DigitPressed, Hop, SendPublic
from telephony.edge.referred import ReferredHere
from telephony.edge.referring import Referring
from telephony.sip.info import DTMF_TYPES, read_key
from telephony.sip.parse import Request

__all__ = ["FORWARDED", "AnsweredHere", "capable"]

FORWARDED = frozenset({"INVITE", "BYE", "UPDATE", "PRACK"})  # what goes to the worker, besides ACK and CANCEL
_BODIES = ", ".join(DTMF_TYPES)
_ACCEPT = f"application/sdp, {_BODIES}"
_REMEMBERED = 16  # answers kept per dialog, for retransmissions
_NO_INFO_PACKAGE = {"Recv-Info": ""}  # RFC 6086 section 5.2.2: none are accepted

# Method -> status and headers, where the answer does not depend on the request. All others: 405.
_FIXED: Mapping[str, tuple[int, Mapping[str, str]]] = {
    "SUBSCRIBE": (489, {"Allow-Events": ""}),  # RFC 6665 section 4.2.1.1: no event package
    "MESSAGE": (415, {"Accept": _ACCEPT}),  # texts are not supported: RFC 3428 section 7
}


def capable(context: EdgeContext, trunk: str) -> dict[str, str]:
    """What an answer to OPTIONS says (RFC 3261 section 11)."""
    told = context.announced(trunk)
    return {"Allow": told.allow, "Accept": _ACCEPT, "Supported": told.supported}


class AnsweredHere:
    def __init__(self, context: EdgeContext, referred: ReferredHere) -> None:
        self._context = context
        self._referred = referred

    def handle(self, request: Request, hop: Hop, dialog: Dialog, now: float) -> list[Action]:
        """Answer it. Retransmissions get the same answer; a key, a report or a REFER is passed on only once."""
        context = self._context
        key = (request.cseq, request.via.branch)
        if (before := dialog.answered.get(key)) is not None:
            context.counters.add("retransmissions.other")
            return [SendPublic(context.reply_hop(request, hop), before)]
        if request.method == "REFER" and context.takes_refer(dialog.trunk):
            answer, told = self._referred.receive(request, hop, dialog, now)
        else:
            status, headers, told = self._answer(request, dialog)
            answer = context.answer(request, hop, status, headers=headers)
        dialog.answered[key] = answer.data
        while len(dialog.answered) > _REMEMBERED:
            del dialog.answered[next(iter(dialog.answered))]
        return [answer, *told]

    def _answer(self, request: Request, dialog: Dialog) -> tuple[int, Mapping[str, str], list[Action]]:
        """Status and headers, and what follows."""
        match request.method:
            case "INFO":
                return self._info(request, dialog)
            case "NOTIFY":
                return Referring.notify(request, dialog)
            case "OPTIONS":
                return 200, capable(self._context, dialog.trunk), []
            case method if method in _FIXED:
                return *_FIXED[method], []
            case _:
                return 405, {"Allow": self._context.announced(dialog.trunk).allow}, []

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
