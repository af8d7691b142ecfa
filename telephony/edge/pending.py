"""A worker's re-INVITE or UPDATE that collided with the caller's (491) is sent again after a moment, with a new CSeq
(RFC 3261 section 14.1). The worker is not told, as PJSIP would end the call."""

from __future__ import annotations

import heapq

from telephony.edge.context import EdgeContext
from telephony.edge.dialogs import DialogState
from telephony.edge.hops import Action, SendPublic, SendWorker
from telephony.edge.relays import Asked
from telephony.edge.to_public import request_to_public
from telephony.edge.to_worker import response_to_worker
from telephony.edge.way import acknowledge, way_to_public
from telephony.sip.parse import Response

__all__ = ["PendingRequests"]

REQUEST_PENDING = 491
TRY_LATER = 503  # what PJSIP takes for that, after ten seconds; for a 491 it would end the call
_MOST_TIMES = 3
_STEPS = 201  # of 10 ms: up to 2 s, since the call and its Call-ID are the caller's
_METHODS = frozenset({"INVITE", "UPDATE"})


class PendingRequests:
    def __init__(self, context: EdgeContext) -> None:
        self._context = context
        self._heap: list[tuple[float, int, Asked]] = []
        self._count = 0

    def refused(self, response: Response, asked: Asked, now: float) -> list[Action] | None:
        """How to handle an answer; None: it is not a 491 to such a request."""
        if response.status != REQUEST_PENDING or asked.request.method not in _METHODS:
            return None
        actions: list[Action] = []
        if asked.request.method == "INVITE":
            actions.append(acknowledge(self._context, asked.dialog, response.cseq, response.via.branch))
        if asked.waits:  # the same answer again
            return actions
        if asked.refusals >= _MOST_TIMES or asked.dialog.state is not DialogState.CONFIRMED:
            response.status = TRY_LATER
            context = self._context
            answer = response_to_worker(response, asked.request, asked.address, context.worker_contact)
            return [SendWorker(*asked.address, answer), *actions]
        asked.refusals += 1
        asked.waits, asked.resent = True, None
        self._count += 1
        step = int.from_bytes(response.via.branch.encode()[-3:], "big") % _STEPS  # as good as random, and repeatable
        heapq.heappush(self._heap, (now + step / 100, self._count, asked))
        self._context.counters.add("request_pending")
        return actions

    def due(self, now: float) -> list[Action]:
        """The request to send again now. Further copies are the worker's retransmissions."""
        actions: list[Action] = []
        while self._heap and self._heap[0][0] <= now:
            asked = heapq.heappop(self._heap)[2]
            if asked.dialog.state is DialogState.CONFIRMED:
                actions.append(self._again(asked, now))
        return actions

    def _again(self, asked: Asked, now: float) -> SendPublic:
        context, dialog, request = self._context, asked.dialog, asked.request
        cseq = dialog.worker.renumber(request.cseq)
        dialog.worker.cseq = max(dialog.worker.cseq, cseq)
        uri, routes, hop = way_to_public(context, dialog)
        branch = context.branches.own(f"again {request.method} {dialog.sip_call_id}", cseq)
        data = request_to_public(
            request,
            dialog,
            via=context.public_via(hop, branch),
            contact=context.contact_in(dialog, hop.listener),
            uri=uri,
            routes=routes,
            extra=context.sessions.asks(dialog),
            announced=context.announced(dialog.trunk),
        )
        asked.waits, asked.resent = False, SendPublic(hop, data)
        context.relays.ask(branch, asked, now)
        return asked.resent
