"""The edge's own dealings with registered phones: their registrations' ends, and OPTIONS that keep a NAT's mapping open
and notice a phone that is gone. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from telephony.edge.context import EdgeContext
from telephony.edge.hops import Action, BindingChanged, Hop, SendPublic
from telephony.edge.phone_book import PhoneBook, PhoneStatus, at_listener, hop_of
from telephony.edge.registrar import Registrar
from telephony.sip.bindings import Binding
from telephony.sip.new_request import NewRequest
from telephony.sip.parse import Request, Response
from telephony.sip.probing import Probe

__all__ = ["PhoneSide"]

log = structlog.get_logger(__name__)

_LOOK_S = 0.5  # how often the bindings are looked through


@dataclass(frozen=True, slots=True)
class _Sent:
    binding: Binding
    probe: Probe
    hop: Hop


class PhoneSide:
    def __init__(self, context: EdgeContext) -> None:
        self._context = context
        self._registrar = Registrar(context)
        self._sent: dict[str, _Sent] = {}  # by branch
        self._count = 0
        self._next_look = 0.0

    @property
    def _book(self) -> PhoneBook | None:
        return self._context.phones

    def register(self, request: Request, hop: Hop, now: float) -> list[Action]:
        return self._registrar.handle(request, hop, now)

    def status(self, now: float) -> tuple[PhoneStatus, ...]:
        return () if self._book is None else self._book.status(now)

    def reachable(self, name: str, now: float) -> tuple[Binding, ...]:
        """Those of its bindings that answer, best first."""
        return () if self._book is None else self._book.reachable(name, now)

    def bans(self, now: float) -> int:
        return 0 if self._book is None else self._book.guesses.bans(now)

    def restore(self, bindings: Iterable[Binding], now: float) -> None:
        """What was registered before a restart; each is asked at once whether it is still there."""
        if self._book is None:
            return
        sockets = self._context.sockets
        udp = [n for n, socket in enumerate(sockets) if socket.transport == "udp"]
        at = [
            each if each.flow.listener in udp else at_listener(each, udp[0])
            for each in bindings
            if udp and not self._context.is_own(each.flow.place.ip, each.flow.place.port)
        ]
        self._book.restore(at, now)

    def due(self, now: float) -> list[Action]:
        book = self._book
        if book is None or now < self._next_look:
            return []
        self._next_look = now + _LOOK_S
        actions = self._registrar.expire(now)
        return [*actions, *(self._options(binding, probe, now) for binding, probe in book.due(now))]

    def closed(self, connection: int, now: float) -> list[Action]:
        """A connection is closed."""
        return self._registrar.closed(connection, now)

    def response(self, response: Response, hop: Hop, now: float) -> list[Action] | None:
        """None: not an answer to one of our requests."""
        sent = self._sent.get(response.via.branch)
        if sent is None or response.cseq_method != "OPTIONS":
            return None
        if hop.ip != sent.hop.ip:
            self._context.counters.add("untrusted.response")
            return []
        if response.status < 200:
            return []
        del self._sent[response.via.branch]
        self._context.resends.answered(response.via.branch)
        return self._probed(sent, response.status, now)

    def lost(self, branch: object, now: float) -> list[Action]:
        """Our request got no response."""
        sent = self._sent.pop(branch, None) if isinstance(branch, str) else None
        return [] if sent is None else self._probed(sent, None, now)

    def _probed(self, sent: _Sent, status: int | None, now: float) -> list[Action]:
        book = self._book
        if book is None or not book.probed(sent.binding, sent.probe, status, now):
            return []
        return [self._changed(sent.binding, reachable=book.answers(sent.binding))]

    @staticmethod
    def _changed(binding: Binding, *, reachable: bool) -> BindingChanged:
        why = "answers again" if reachable else "no answer"
        place = binding.flow.place
        log.warning(
            "phone_reachability", phone=binding.name, place=f"{place.transport}:{place.ip}:{place.port}", why=why
        )
        return BindingChanged(binding, reachable, why)

    def _options(self, binding: Binding, probe: Probe, now: float) -> Action:
        context, book = self._context, self._book
        assert book is not None, "there are phones"
        self._count += 1
        hop = hop_of(binding.flow)
        contact = context.public_contact(hop.listener)
        call_id = context.branches.public_call_id("phone", str(self._count))
        branch = context.branches.own(f"OPTIONS {binding.name}", self._count)
        request = NewRequest("OPTIONS", binding.uri)
        request.add("Via", context.public_via(hop, branch))
        request.add("Max-Forwards", "70")
        for route in binding.path:
            request.add("Route", route)
        request.add("From", f"{contact};tag={call_id[:12]}")
        request.add("To", f"<{binding.uri}>")
        request.add("Call-ID", call_id)
        request.add("CSeq", "1 OPTIONS")
        request.add("Contact", contact)
        request.add("Accept", "application/sdp")
        request.add("User-Agent", "Trunkline")
        sent = SendPublic(hop, bytes(request))
        self._sent[branch] = _Sent(binding, probe, hop)
        context.resends.request(branch, sent, now, limit_s=book.settings.probe.answer_s)
        return sent
