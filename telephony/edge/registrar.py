"""REGISTER from outside: answered here, never seen by a worker (RFC 3261 section 10.3). Pure.

A phone proves its password each time that it registers. Who guesses is not listened to for a while, and learns neither
which names there are nor, by the time that an answer takes, how near a guess was.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable

import structlog

from telephony.edge.context import EdgeContext, reply_hop
from telephony.edge.hops import Action, BindingChanged, ConnectionTaken, Hop, SendPublic
from telephony.edge.phone_book import PhoneBook
from telephony.sip.bindings import Changed, Flow, listed
from telephony.sip.digest_server import UNKNOWN_NONCE, WRONG_PASSWORD, Verdict
from telephony.sip.parse import Request
from telephony.sip.registering import RegisterRefused, read_register
from telephony.sip.resolving import Place
from telephony.sip.uri import try_uri

__all__ = ["Registrar", "password_check"]

log = structlog.get_logger(__name__)

_REMEMBERED = 2_000  # answers, for retransmissions
_EXTENSIONS = frozenset({"path", "outbound"})
_SUPPORTED = "path, outbound"
# Phones that give up when one of several challenges is not MD5, instead of passing it over (RFC 8760 section 2.4).
_FAILS_AT_OTHERS = re.compile(r"baresip v[012]\.", re.IGNORECASE)


class Registrar:
    def __init__(self, context: EdgeContext) -> None:
        self._context = context
        self._answers: OrderedDict[tuple[str, int, str, str, int], bytes] = OrderedDict()

    def handle(self, request: Request, hop: Hop, now: float) -> list[Action]:
        """A REGISTER. A retransmission gets the same answer, as its nonce count counts only once."""
        book = self._context.phones
        assert book is not None, "there are phones"
        key = (hop.ip, hop.port, request.via.branch, request.call_id, request.cseq)
        if (before := self._answers.get(key)) is not None:
            self._context.counters.add("retransmissions.other")
            return [SendPublic(reply_hop(request.via, hop), before)]
        try:
            actions = self._registered(request, hop, book, now)
        except RegisterRefused as refused:
            self._context.counters.add(f"register.{refused.status}")
            answer = self._context.answer(request, hop, refused.status, reason=refused.reason, headers=refused.headers)
            actions = [answer]
            if refused.status == 401:
                return actions
        for action in actions:
            if isinstance(action, SendPublic):
                self._answers[key] = action.data
        if len(self._answers) > _REMEMBERED:
            self._answers.popitem(last=False)
        return actions

    def _registered(self, request: Request, hop: Hop, book: PhoneBook, now: float) -> list[Action]:
        """Raises RegisterRefused."""
        context = self._context
        recipient = try_uri(request.recipient.uri)
        name = "" if recipient is None else recipient.user.lower()
        if not name or not book.may_be_at(name, hop.ip):
            raise RegisterRefused(403, "Not allowed to register from here")
        unknown = [each for each in request.headers.get("require") if each.lower() not in _EXTENSIONS]
        if unknown:
            raise RegisterRefused(420, "", {"Unsupported": ", ".join(unknown[:5])})
        verdict = password_check(context, request, request.value("authorization"), hop, name, now)
        if verdict is None or verdict.stale:
            values = challenges(context, request, hop, now, stale=verdict is not None)
            answer = context.answer(request, hop, 401, headers=[("WWW-Authenticate", value) for value in values])
            context.counters.add("challenged")
            return [answer]
        if not verdict.username:
            raise RegisterRefused(403, "Forbidden")
        order = read_register(request)
        flow = Flow(Place(hop.transport, hop.ip, hop.port), hop.connection, hop.listener)
        changes = book.table.update(name, order, flow, now, book.settings.policy)
        actions = self._noted(book, changes, now)
        if hop.connection and book.registered_over(hop.connection):
            actions.append(ConnectionTaken(hop.connection, book.trunk))
        return [self._accepted(request, hop, book, name, now), *actions]

    def _accepted(self, request: Request, hop: Hop, book: PhoneBook, name: str, now: float) -> SendPublic:
        bindings = book.table.of(name, now)
        headers = listed(bindings, now)
        headers += [("Path", value) for value in request.headers.get("path")]
        headers.append(("Supported", _SUPPORTED))
        # We keep to the connection of a phone that can do it (RFC 5626 section 6); over UDP we would have to answer
        # STUN on this socket.
        asks = [value.lower() for value in request.headers.get("supported")]
        if hop.stream and "outbound" in asks and any(each.reg_id for each in bindings):
            headers.append(("Require", "outbound"))
        self._context.counters.add("register.200")
        return self._context.answer(request, hop, 200, headers=headers)

    def expire(self, now: float) -> list[Action]:
        book = self._context.phones
        if book is None or book.next_expiry > now:
            return []
        return self._noted(book, book.table.expire(now), now)

    def closed(self, connection: int, now: float) -> list[Action]:
        book = self._context.phones
        return [] if book is None else self._noted(book, book.table.closed(connection), now)

    def _noted(self, book: PhoneBook, changes: tuple[Changed, ...], now: float) -> list[Action]:
        if not changes:
            return []
        book.changed(changes, now)
        for each in changes:
            if each.change != "refreshed":
                place = each.binding.flow.place
                log.info("phone_" + ("gone" if each.gone else "registered"), phone=each.binding.name,
                         place=f"{place.transport}:{place.ip}:{place.port}", why=each.change.value)  # fmt: skip
        return [BindingChanged(each.binding, not each.gone, each.change.value) for each in changes]


def challenges(context: EdgeContext, request: Request, hop: Hop, now: float, *, stale: bool) -> list[str]:
    """They are good for this address only, so that nobody can have others banned by answers in their name."""
    book = context.phones
    assert book is not None, "there are phones"
    book.digest.expire(now)
    salt = bytes.fromhex(context.random_token())
    values = book.digest.challenges(now, salt, stale=stale, about=hop.ip.encode())
    if _FAILS_AT_OTHERS.match(request.value("user-agent")):
        return [value for value in values if "algorithm=MD5" in value]
    return values


def password_check(
    context: EdgeContext, request: Request, given: str, hop: Hop, name: str, now: float
) -> Verdict | None:
    """Whether these credentials are the phone's. None: there are none. Raises RegisterRefused for who has guessed too
    often."""
    book = context.phones
    assert book is not None, "there are phones"
    if not given:
        return None
    wait_s = book.guesses.wait_s(hop.ip, name, now, known=book.is_bound(name, hop.ip))
    if wait_s > 0:
        context.counters.add("register.banned")
        raise RegisterRefused(403, "Too many wrong passwords", {"Retry-After": str(int(wait_s) + 1)})
    verdict = book.digest.check(
        given, method=request.method, uri=request.uri_text, now=now, password_of=_passwords(book, name),
        about=hop.ip.encode(),
    )  # fmt: skip
    if verdict.username:
        book.guesses.worked(hop.ip, name)
        return verdict
    if verdict.reason == UNKNOWN_NONCE:  # of another address, or from before our start
        return Verdict(reason=verdict.reason, stale=True)
    if verdict.reason == WRONG_PASSWORD:
        banned = book.guesses.failed(hop.ip, name, now)
        log.warning("phone_wrong_password", phone=name[:64], source=hop.ip, banned=banned)
    return verdict


def _passwords(book: PhoneBook, name: str) -> Callable[[str], str | None]:
    def password_of(user: str) -> str | None:
        phone = book.settings.users.get(name)
        return phone.password if phone is not None and user.lower() == name else None

    return password_of
