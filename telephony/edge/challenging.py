"""Digest challenges (RFC 3261 section 22.2) for callers of a trunk that has passwords for them."""

from __future__ import annotations

from telephony.edge.attempts import Attempt, attempt_key
from telephony.edge.context import EdgeContext
from telephony.edge.hops import Hop, SendPublic
from telephony.edge.protocol import Refuse
from telephony.sip.parse import Request

__all__ = ["challenge"]


def challenge(context: EdgeContext, request: Request, hop: Hop, trunk: str, now: float) -> SendPublic | Refuse | None:
    """None: accept the caller. A first challenge, or one for an expired nonce, is not a refusal and leaves no
    record; a wrong password is and does."""
    digest, passwords = context.challengers.get(trunk), context.trunks.named(trunk).callers
    if digest is None or passwords is None:
        return None
    stale = False
    if given := request.value("authorization"):
        verdict = digest.check(given, method="INVITE", uri=request.uri_text, now=now, password_of=passwords.get)
        if verdict.username:
            return None
        if not verdict.stale:
            return Refuse(403, "Forbidden", cause_text=f"digest: {verdict.reason}")
        stale = True
    values = digest.challenges(now, bytes.fromhex(context.random_token()), stale=stale)
    answer = context.answer(request, hop, 401, headers=[("WWW-Authenticate", value) for value in values])
    known = Attempt(None, "", now, answer.data, answered_by_us=True)  # so that its ACK ends here
    context.attempts_of(hop.ip).add(attempt_key(request, request.via, hop.ip), known)
    context.counters.add("challenged")
    return answer
