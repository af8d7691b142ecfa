"""Calls from registered phones: who calls, and their password (RFC 3261 section 22.3).

Over UDP a source can be forged, so each call is challenged. A TCP or TLS connection over which a phone has registered
is the phone's.
"""

from __future__ import annotations

from telephony.edge.attempts import Attempt, attempt_key
from telephony.edge.context import EdgeContext
from telephony.edge.hops import Hop, SendPublic
from telephony.edge.phone_book import PhoneBook
from telephony.edge.protocol import Refuse
from telephony.edge.registrar import challenges, password_check
from telephony.sip.digest import DigestError, read_parameters
from telephony.sip.parse import Request
from telephony.sip.registering import RegisterRefused
from telephony.sip.uri import try_uri

__all__ = ["calling_phone", "phone_challenge"]


def calling_phone(context: EdgeContext, request: Request, hop: Hop) -> str:
    """The phone that calls, or says that it does: by its connection, its credentials, or its From where it is
    registered. Empty: the call is no phone's."""
    book = context.phones
    if book is None:
        return ""
    sender = try_uri(request.sender.uri)
    name = "" if sender is None else sender.user.lower()
    if hop.connection and (registered := book.registered_over(hop.connection)) and registered == name:
        return registered
    if user := _credentials_user(request, book):
        return user
    if name not in book.settings.users:
        return ""
    alone = context.trunks.trunks_of(hop.ip) == (book.trunk,)
    return name if alone or book.is_bound(name, hop.ip) else ""


def phone_challenge(
    context: EdgeContext, request: Request, hop: Hop, name: str, now: float
) -> SendPublic | Refuse | None:
    """None: accept the caller. A challenge is not a refusal and leaves no record; a wrong password is and does."""
    book = context.phones
    assert book is not None, "there are phones"
    if hop.connection and book.registered_over(hop.connection) == name:
        return None
    if name not in book.settings.users or not book.may_be_at(name, hop.ip):
        return Refuse(403, "Forbidden", cause_text="no phone of this name may call from there")
    try:
        verdict = password_check(context, request, _given(request), hop, name, now)
    except RegisterRefused as refused:
        return Refuse(403, "Forbidden", cause_text=f"digest: {refused.reason}")
    if verdict is not None and verdict.username:
        return None
    if verdict is not None and not verdict.stale:
        return Refuse(403, "Forbidden", cause_text=f"digest: {verdict.reason}")
    values = challenges(context, request, hop, now, stale=verdict is not None)
    answer = context.answer(request, hop, 407, headers=[("Proxy-Authenticate", value) for value in values])
    known = Attempt(None, "", now, answer.data, answered_by_us=True)  # so that its ACK ends here
    context.attempts_of(hop.ip).add(attempt_key(request, request.via, hop.ip), known)
    context.counters.add("challenged")
    return answer


def _given(request: Request) -> str:
    return request.value("proxy-authorization") or request.value("authorization")


def _credentials_user(request: Request, book: PhoneBook) -> str:
    given = _given(request)
    if not given:
        return ""
    try:
        parameters = read_parameters(given)
    except DigestError:
        return ""
    if parameters.get("realm") != book.settings.realm:
        return ""
    return parameters.get("username", "").lower()
