"""Tries a worker's call at one place after the other, and answers their challenges. Each attempt is a separate client
transaction, with its own branch and CSeq. The worker knows one INVITE, and one answer to it.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from functools import partial

from telephony.edge.capabilities import Reliable
from telephony.edge.context import EdgeContext
from telephony.edge.dialogs import Dialog
from telephony.edge.hops import Action, DialAttempted, Hop, SendPublic, TrunkChanged
from telephony.edge.protocol import Dial, Fork
from telephony.edge.redirecting import Moved, NotFollowed, redirection
from telephony.edge.relays import Asked, DialAttempt, Dialed
from telephony.edge.reliable import route_set
from telephony.edge.to_public import request_to_public
from telephony.edge.trunk_status import Refusal
from telephony.edge.way import way_to
from telephony.sip.causes import NORMAL, OUT_OF_ORDER, cause_of, reason_values
from telephony.sip.digest import DigestClient
from telephony.sip.parse import Response
from telephony.sip.resolving import Place
from telephony.sip.uri import contact_uri
from telephony.sip.writing import own_request

__all__ = ["DialAttempts"]

_ELSEWHERE = "tried elsewhere by now"
_MOST_MOVES = 5
_OF_THE_CALLED = frozenset({408, 480})  # once a phone has rung; before that they concern the place
# The trunk did its part: busy, absent, declined, no such number.
_CALLEE_SAYS = frozenset({404, 410, 480, 484, 486, 487, 600, 603, 604, 607, 608})


class DialAttempts:
    def __init__(self, context: EdgeContext) -> None:
        self._context = context
        self._limits: list[
            tuple[float, int, Asked, DialAttempt]
        ] = []  # when a place will have been silent for too long
        self._count = 0

    def dialed(self, dial: Dial, now: float) -> Dialed:
        return Dialed(dial, self._places(dial, now), self._digest(dial), list(dial.then))

    def _places(self, dial: Dial, now: float) -> list[Place]:
        """Those that failed recently come last."""
        return list(self._context.failed_places.ordered(dial.places, now))

    def _digest(self, dial: Dial) -> DigestClient | None:
        account = dial.account or self._context.account_of(dial.trunk)
        return None if account is None else DigestClient(account, self._context.random_token)

    def next_place(self, asked: Asked, dialed: Dialed, now: float) -> list[Action]:
        """Send the INVITE there: to the trunk's next place, or to the next trunk's first, and to all that are to ring
        beside it. Raises IndexError if none is left."""
        if not dialed.left:
            self._next_trunk(asked.dialog, dialed, now)
        place = dialed.left.pop(0)
        dialed.challenges = 0
        hop = self._context.hop_to(place, dialed.dial.trunk)
        first = self._send(asked, dialed, place, hop, dialed.dial.uri, now)
        return [first, *(self._fork(asked, dialed, fork, now) for fork in dialed.dial.besides)]

    def _fork(self, asked: Asked, dialed: Dialed, fork: Fork, now: float) -> SendPublic:
        """The same INVITE to one more phone: only Request-URI, Route and branch differ (RFC 3261 section 16.6)."""
        context, dialog, first = self._context, asked.dialog, dialed.now
        assert first is not None, "the first has been sent"
        hop = context.hop_to(fork.place, dialed.dial.trunk)
        branch = context.branches.own(f"fork {dialog.branch} {fork.uri}", first.cseq)
        attempt = DialAttempt(branch, hop, fork.place, first.cseq, now, dialed.dial, fork.uri, fork.routes)
        dialed.besides[branch] = attempt
        return self._invite(asked, dialed, attempt, now)

    def _next_trunk(self, dialog: Dialog, dialed: Dialed, now: float) -> None:
        """From now on the dialog is with that trunk."""
        dial = dialed.dial = dialed.then.pop(0)
        dialed.left, dialed.digest = self._places(dial, now), self._digest(dial)
        dialed.moves = 0
        dialog.trunk, dialog.called_uri = dial.trunk, dial.uri
        dialog.sips = dial.uri.startswith("sips:")
        dialog.public.address, dialog.public.contact, dialog.public.routes = f"<{dial.uri}>", dial.uri, ()
        dialog.worker.name = f"<{dial.caller}>"
        self._context.sessions.begin(dialog)

    def _send(self, asked: Asked, dialed: Dialed, place: Place, hop: Hop, uri: str, now: float) -> SendPublic:
        """`uri`: the Request-URI."""
        context, dialog, request = self._context, asked.dialog, asked.request
        branch = dialog.branch
        if dialed.now is not None:
            dialed.earlier[dialed.now.branch] = dialed.now
            dialog.worker.renumber(request.cseq)
            branch = context.branches.own(f"dial {dialog.branch}", dialog.worker.cseq_shift)
        cseq = dialog.worker.number(request.cseq)
        routes = dialed.dial.routes or context.route_of(dialog.trunk)
        attempt = dialed.now = DialAttempt(branch, hop, place, cseq, now, dialed.dial, uri, routes)
        dialog.public.hop = hop
        dialog.invite_cseq = dialog.worker.cseq = cseq
        return self._invite(asked, dialed, attempt, now)

    def _invite(self, asked: Asked, dialed: Dialed, attempt: DialAttempt, now: float) -> SendPublic:
        context, dialog, request = self._context, asked.dialog, asked.request
        uri, hop, branch = attempt.uri, attempt.hop, attempt.branch
        request.body = dialog.described = context.described(asked.offer, dialog, offer=True)
        credentials = () if dialed.digest is None else dialed.digest.answers("INVITE", uri, request.body)
        data = request_to_public(
            request,
            dialog,
            via=context.public_via(hop, branch),
            contact=context.contact_in(dialog, hop.listener),
            uri=uri,
            routes=attempt.routes,
            extra=(
                *dialed.dial.headers,
                *credentials,
                *_extensions(context.reliable(dialog.trunk)),
                *context.sessions.asks(dialog),
            ),
            announced=context.announced(dialog.trunk),
        )
        sent = SendPublic(hop, data)
        context.relays.ask(branch, asked, now)
        context.resends.request((branch, "INVITE"), sent, now, invite=True)
        context.counters.add("forwarded_out.INVITE")
        is_phone = context.phones is not None and context.phones.trunk == dialog.trunk
        if dialed.left or dialed.then or is_phone:
            self._count += 1
            heapq.heappush(self._limits, (now + dialed.dial.answer_s, self._count, asked, attempt))
        return sent

    def silent(self, now: float) -> list[tuple[Asked, DialAttempt]]:
        """Calls, and the destination of each that has not responded in time."""
        found = []
        while self._limits and self._limits[0][0] <= now:
            _, _, asked, attempt = heapq.heappop(self._limits)
            dialed = asked.dialed
            now_tried = dialed is not None and (dialed.now is attempt or attempt.branch in dialed.besides)
            if now_tried and not attempt.heard and not asked.final:
                found.append((asked, attempt))
        return found

    def once_more(self, response: Response, asked: Asked, dialed: Dialed, now: float) -> SendPublic | None:
        """The INVITE again at the same place, with an answer to its challenge, or for a longer session (RFC 4028
        section 7.3); None: neither helps."""
        attempt = dialed.now
        if response.status != 422 or attempt is None or asked.cancelled:
            return self._with_credentials(response, asked, dialed, now)
        if not self._context.sessions.too_short(asked.dialog, response.headers):
            return None
        return self._send(asked, dialed, attempt.place, attempt.hop, attempt.uri, now)

    def _with_credentials(self, response: Response, asked: Asked, dialed: Dialed, now: float) -> SendPublic | None:
        attempt, digest = dialed.now, dialed.digest
        if attempt is None or digest is None or asked.cancelled or response.status not in (401, 407):
            return None
        name = "proxy-authenticate" if response.status == 407 else "www-authenticate"
        if not digest.challenged(response.status, response.headers.get(name), before=dialed.challenges):
            return None
        dialed.challenges += 1
        return self._send(asked, dialed, attempt.place, attempt.hop, attempt.uri, now)

    def redirected(self, response: Response, asked: Asked, dialed: Dialed) -> Moved | NotFollowed:
        """Where a 3xx sends the call."""
        dial = dialed.dial
        if asked.cancelled or dialed.moves >= _MOST_MOVES:
            return NotFollowed("the call was cancelled" if asked.cancelled else "redirected too many times")
        if not dial.follow:
            return NotFollowed(f"redirected by {response.status}, which is not followed for who is called in")
        may_dial = partial(self._context.may_redirect, dial.trunk)
        return redirection(response, dial.places, dial.uri, may_dial)

    def follow(self, asked: Asked, dialed: Dialed, moved: Moved, now: float) -> SendPublic:
        dialed.moves += 1
        dialed.challenges = 0
        return self._send(
            asked, dialed, moved.place, self._context.hop_to(moved.place, dialed.dial.trunk), moved.uri, now
        )

    def fails_over(self, asked: Asked, dialed: Dialed, status: int) -> bool:
        """Whether to try the next place after this status; 0: no answer."""
        able = status == 0 or (status in dialed.dial.fail_over_on and status < 600 and status != 486)
        if dialed.now is not None and dialed.now.rang:
            return False  # somebody's phone has rung, and would ring again
        return able and not asked.cancelled and (bool(dialed.left) or self._has_trunk(asked.dialog.leg_id, dialed))

    def _has_trunk(self, leg_id: str, dialed: Dialed) -> bool:
        """Whether one of the further trunks takes the leg now, skipping full ones."""
        while dialed.then and not self._context.may_dial_over(leg_id, dialed.then[0].trunk):
            del dialed.then[0]
        return bool(dialed.then)

    def over(
        self, asked: Asked, status: int, reason: str, now: float, retry_after_s: float = 0.0, cause: int = 0
    ) -> list[Action]:
        """The current attempt has ended; its result is remembered for the destination. Reports it once. `cause`: the
        peer's (Q.850); 0: none."""
        dialed = asked.dialed
        if dialed is None or dialed.now is None or dialed.told is dialed.now:
            return []
        attempt = dialed.told = dialed.now
        self._context.resends.answered((attempt.branch, "INVITE"))
        rang = attempt.rang and status in _OF_THE_CALLED
        silent = status == 0 and not attempt.heard and not asked.cancelled
        if (status in (408, 503) and not rang) or silent:
            self._context.failed_places.failed(attempt.place, now, retry_after_s)
        elif attempt.heard:
            self._context.failed_places.worked(attempt.place)
        refused: list[Action] = self._unanswered(attempt, now) if silent else []
        if (status == 0 or status >= 300) and not asked.cancelled:
            kept = self._context.trunk_refusals.get(attempt.dial.trunk)
            if kept is not None:
                kept.append(Refusal(now, attempt.place, status, reason[:100]))
                if status not in _CALLEE_SAYS:
                    text = f"{status} {reason[:100]}".strip() if status else f"no answer: {reason[:100]}"
                    refused.append(TrunkChanged(attempt.dial.trunk, "refused", text, attempt.place))
        if not cause:
            cause = cause_of(status) if status else NORMAL if asked.cancelled else OUT_OF_ORDER
        leg_id = asked.dialog.leg_id
        failed = silent or 500 <= status < 600 or (status == 408 and not rang)
        trunk = attempt.dial.trunk
        told = DialAttempted(leg_id, attempt.place, status, reason[:100], attempt.began_at, now, trunk, failed, cause)
        return [told, *refused]

    # The edge's own requests

    def cancel(self, asked: Asked, now: float, why: Sequence[str] = ()) -> list[Action]:
        """Send it once the called side has responded, and not before (RFC 3261 section 9.1). `why`: Reason values;
        those of the first call count."""
        if not asked.cancelled:
            asked.cancelled, asked.why = True, tuple(why)
        if (dialed := asked.dialed) is None:
            return []
        attempts = [*([dialed.now] if dialed.now is not None else []), *dialed.besides.values()]
        return [a for each in attempts for a in self._cancel_attempt(asked.dialog, each, asked.why, now)]

    # Phones that ring at the same time

    def go_on_beside(self, asked: Asked, dialed: Dialed, refused: Response | None = None) -> bool:
        """The current attempt is over, and another phone rings on: that is the current one now. A refusal for all
        (6xx) leaves nobody ringing. `refused`: None: it was silent."""
        if refused is not None:
            dialed.worst = worse(dialed.worst, refused)
        if not dialed.besides or asked.cancelled or (refused is not None and refused.status >= 600):
            return False
        if dialed.now is not None:
            dialed.earlier[dialed.now.branch] = dialed.now
        self.make_current(asked, dialed, next(iter(dialed.besides.values())), keep=False)
        return True

    def make_current(self, asked: Asked, dialed: Dialed, attempt: DialAttempt, *, keep: bool = True) -> None:
        """`keep`: the one that was current rings beside it."""
        del dialed.besides[attempt.branch]
        if keep and dialed.now is not None:
            dialed.besides[dialed.now.branch] = dialed.now
        dialed.now = attempt
        asked.dialog.public.hop = attempt.hop

    def stop_besides(self, asked: Asked, dialed: Dialed, why: str, now: float) -> list[Action]:
        """One phone has the call, or none is to ring any more. Answers of the others are late from now on."""
        actions: list[Action] = []
        for branch, attempt in tuple(dialed.besides.items()):
            actions += self._cancel_attempt(asked.dialog, attempt, reason_values(NORMAL, text=why), now)
            dialed.earlier[branch] = attempt
        dialed.besides.clear()
        return actions

    def silent_beside(self, dialed: Dialed, attempt: DialAttempt, now: float) -> list[Action]:
        """One of the others has not said anything."""
        dialed.besides.pop(attempt.branch, None)
        dialed.earlier[attempt.branch] = attempt
        self._context.resends.answered((attempt.branch, "INVITE"))
        return self._unanswered(attempt, now)

    def _unanswered(self, attempt: DialAttempt, now: float) -> list[Action]:
        """A registered phone that does not answer is not called again until it does."""
        phones = self._context.phones
        if phones is None or phones.trunk != attempt.dial.trunk:
            return []
        return list(phones.unanswered(attempt.place, now))

    def _cancel_attempt(self, dialog: Dialog, attempt: DialAttempt, why: Sequence[str], now: float) -> list[Action]:
        if not attempt.heard or attempt.cancel:
            return []
        attempt.cancel = True
        sent = self.cancel_of(dialog, attempt, why)
        self._context.resends.request((attempt.branch, "CANCEL"), sent, now)
        return [sent]

    def cancel_of(self, dialog: Dialog, attempt: DialAttempt, why: Sequence[str]) -> SendPublic:
        return SendPublic(attempt.hop, self._own("CANCEL", dialog, attempt, f"<{attempt.dial.uri}>", why))

    def acknowledge(self, response: Response, dialog: Dialog, attempt: DialAttempt) -> SendPublic:
        """ACK of a non-2xx answer, with the branch of its INVITE (RFC 3261 section 17.1.1.3)."""
        to = f"<{attempt.dial.uri}>" + (f";tag={response.to_tag}" if response.to_tag else "")
        return SendPublic(attempt.hop, self._own("ACK", dialog, attempt, to))

    def _own(self, method: str, dialog: Dialog, attempt: DialAttempt, to: str, why: Sequence[str] = ()) -> bytes:
        """With the Route of the INVITE (RFC 3261 sections 9.1 and 17.1.1.3)."""
        headers = [("Via", self._context.public_via(attempt.hop, attempt.branch))]
        headers += [("Route", value) for value in attempt.routes]
        headers += [("From", _sender(dialog, attempt)), ("To", to), ("Call-ID", dialog.sip_call_id)]
        headers += [("CSeq", f"{attempt.cseq} {method}"), *(("Reason", value) for value in why)]
        return own_request(method, attempt.uri, headers)

    def turn_down(
        self, response: Response, dialog: Dialog, attempt: DialAttempt, now: float, text: str, cause: int = NORMAL
    ) -> list[Action]:
        """ACK and BYE for a 2xx that was too late or is unusable, in its own dialog."""
        context = self._context
        contact = contact_uri(response.value("contact")) or attempt.dial.uri
        uri, routes, hop = way_to(context, attempt.hop, attempt.dial.trunk, contact, route_set(response))
        actions: list[Action] = []
        for method, cseq in (("ACK", attempt.cseq), ("BYE", attempt.cseq + 1000)):
            branch = context.branches.own(f"{method} {dialog.sip_call_id} {response.to_tag}", cseq)
            if branch in context.resends:
                continue
            headers = [("Via", context.public_via(hop, branch)), *(("Route", value) for value in routes)]
            headers += [("From", _sender(dialog, attempt)), ("To", f"<{attempt.dial.uri}>;tag={response.to_tag}")]
            headers += [("Call-ID", dialog.sip_call_id), ("CSeq", f"{cseq} {method}")]
            if method == "BYE":
                headers += [("Reason", value) for value in reason_values(cause, text=text)]
            action = SendPublic(hop, own_request(method, uri, headers))
            if method == "BYE":
                context.resends.request(branch, action, now)
            actions.append(action)
        return actions

    def late(self, response: Response, asked: Asked, attempt: DialAttempt, now: float) -> list[Action]:
        """An answer to an abandoned attempt: it must neither keep ringing nor be connected."""
        self._context.resends.answered((attempt.branch, "INVITE"))
        attempt.heard = True
        if response.status < 200:
            return self._cancel_attempt(asked.dialog, attempt, reason_values(NORMAL, text=_ELSEWHERE), now)
        if response.status < 300:
            return self.turn_down(response, asked.dialog, attempt, now, _ELSEWHERE)
        return [self.acknowledge(response, asked.dialog, attempt)]


def worse(one: Response | None, other: Response) -> Response:
    """Of the refusals of phones that rang at the same time, the one that says most about the call (RFC 3261 section
    16.7): that nobody there wants it, that somebody is busy, else the latest."""
    if one is None or other.status >= 600:
        return other
    return one if one.status >= 600 or (one.status == 486 and other.status != 486) else other


def _extensions(reliable: Reliable) -> list[tuple[str, str]]:
    return [("Require", "100rel")] if reliable == "required" else []


def _sender(dialog: Dialog, attempt: DialAttempt) -> str:
    """The From of the attempt's INVITE."""
    return f"<{attempt.dial.caller}>;tag={dialog.worker.tag}"
