"""The bindings of a registrar (RFC 3261 section 10.3): which phones are registered under a name, and where they are
reached. Pure: time is an argument, seconds of one clock.

A binding's flow is where its REGISTER really came from; a phone behind a NAT is reached there and nowhere else (RFC
5626). Its Contact is only what requests to it are addressed to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from telephony.sip.registering import RegisterOrder, RegisterRefused, WantedContact
from telephony.sip.resolving import Place
from telephony.sip.uri import same_uri

__all__ = ["Binding", "BindingPolicy", "BindingTable", "Change", "Changed", "Flow", "listed"]


@dataclass(frozen=True, slots=True)
class Flow:
    """Where a phone is reached. `connection`: of TCP or TLS; 0 for UDP. `listener`: which of our sockets it came to."""

    place: Place
    connection: int = 0
    listener: int = 0


@dataclass(frozen=True, slots=True)
class Binding:
    """One phone that is registered under `name`. Times are seconds of the caller's clock."""

    name: str
    uri: str
    flow: Flow
    expires_at: float
    registered_at: float
    call_id: str
    cseq: int
    q: float = 1.0  # preference, from 0 to 1: the highest is called first
    instance: str = ""  # +sip.instance (RFC 5626)
    reg_id: int = 0  # 0: none
    path: tuple[str, ...] = ()  # Route values of requests to it (RFC 3327)
    agent: str = ""  # its User-Agent


@dataclass(frozen=True, slots=True)
class BindingPolicy:
    """`usual_s`: for a phone that does not ask for a time. `most`: bindings of one name; the oldest makes room."""

    shortest_s: int = 60
    longest_s: int = 3600
    usual_s: int = 3600
    most: int = 5


class Change(StrEnum):
    REGISTERED = "registered"
    REFRESHED = "refreshed"
    UNREGISTERED = "unregistered"  # by the phone
    EXPIRED = "expired"
    REPLACED = "replaced"  # by a newer binding of the same name
    FLOW_CLOSED = "connection closed"


@dataclass(frozen=True, slots=True)
class Changed:
    binding: Binding
    change: Change

    @property
    def gone(self) -> bool:
        return self.change not in (Change.REGISTERED, Change.REFRESHED)


class BindingTable:
    def __init__(self) -> None:
        self._bindings: dict[str, list[Binding]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._bindings.values()))

    def __iter__(self) -> Iterator[Binding]:
        return (binding for bindings in self._bindings.values() for binding in bindings)

    def of(self, name: str, now: float) -> tuple[Binding, ...]:
        """Those that have not expired: by preference, the latest registered first among equals."""
        live = [binding for binding in self._bindings.get(name, ()) if binding.expires_at > now]
        return tuple(sorted(live, key=lambda binding: (-binding.q, -binding.registered_at)))

    def restore(self, bindings: Iterable[Binding]) -> None:
        """What was kept over a restart."""
        for binding in bindings:
            self._bindings.setdefault(binding.name, []).append(binding)

    def update(
        self, name: str, order: RegisterOrder, flow: Flow, now: float, policy: BindingPolicy
    ) -> tuple[Changed, ...]:
        """All of what a REGISTER asks for, or nothing. Raises RegisterRefused."""
        if not order.contacts and not order.all_of_them:
            return ()
        before = self._bindings.get(name, [])
        after = list(before)
        changes: list[Changed] = []
        if order.all_of_them:
            for binding in before:
                _check_order(binding, order)
            changes = [Changed(binding, Change.UNREGISTERED) for binding in before]
            after = []
        for wanted in order.contacts:
            changes += self._apply(name, after, wanted, order, flow, now, policy)
        while len(after) > policy.most:
            oldest = min(after, key=lambda binding: binding.registered_at)
            after.remove(oldest)
            changes.append(Changed(oldest, Change.REPLACED))
        self._set(name, after)
        return tuple(changes)

    @staticmethod
    def _apply(
        name: str,
        after: list[Binding],
        wanted: WantedContact,
        order: RegisterOrder,
        flow: Flow,
        now: float,
        policy: BindingPolicy,
    ) -> list[Changed]:
        expires_s = policy.usual_s if wanted.expires_s is None else wanted.expires_s
        if 0 < expires_s < policy.shortest_s:
            raise RegisterRefused(423, "Interval Too Brief", {"Min-Expires": str(policy.shortest_s)})
        found = next((binding for binding in after if _is_same(binding, wanted)), None)
        if found is not None:
            _check_order(found, order)
            after.remove(found)
        if expires_s == 0:
            return [] if found is None else [Changed(found, Change.UNREGISTERED)]
        binding = Binding(
            name=name,
            uri=wanted.uri,
            flow=flow,
            expires_at=now + min(expires_s, policy.longest_s),
            registered_at=now if found is None else found.registered_at,
            call_id=order.call_id,
            cseq=order.cseq,
            q=wanted.q,
            instance=wanted.instance,
            reg_id=wanted.reg_id,
            path=order.path,
            agent=order.agent,
        )
        after.append(binding)
        return [Changed(binding, Change.REGISTERED if found is None else Change.REFRESHED)]

    def expire(self, now: float) -> tuple[Changed, ...]:
        """Forget those whose time is over."""
        return self._drop(lambda binding: binding.expires_at <= now, Change.EXPIRED)

    def closed(self, connection: int) -> tuple[Changed, ...]:
        """A connection is closed: who was registered over it cannot be reached any more."""
        return self._drop(lambda binding: binding.flow.connection == connection, Change.FLOW_CLOSED)

    def _drop(self, is_over: Callable[[Binding], bool], change: Change) -> tuple[Changed, ...]:
        over = [binding for binding in self if is_over(binding)]
        for binding in over:
            self._set(binding.name, [each for each in self._bindings[binding.name] if each is not binding])
        return tuple(Changed(binding, change) for binding in over)

    def _set(self, name: str, bindings: list[Binding]) -> None:
        if bindings:
            self._bindings[name] = bindings
        else:
            self._bindings.pop(name, None)


def _is_same(binding: Binding, wanted: WantedContact) -> bool:
    """The same phone: by its instance and registration (RFC 5626 section 6), else by its URI."""
    if wanted.instance and wanted.reg_id and (wanted.instance, wanted.reg_id) == (binding.instance, binding.reg_id):
        return True
    return same_uri(binding.uri, wanted.uri)


def _check_order(binding: Binding, order: RegisterOrder) -> None:
    """An older REGISTER of the same phone that comes late changes nothing (RFC 3261 section 10.3, step 7)."""
    if binding.call_id == order.call_id and order.cseq <= binding.cseq:
        raise RegisterRefused(400, "CSeq is not higher than before")


def listed(bindings: Sequence[Binding], now: float) -> list[tuple[str, str]]:
    """The Contact fields of the answer: all current bindings (RFC 3261 section 10.3, step 8)."""
    fields = []
    for binding in bindings:
        value = f"<{binding.uri}>;expires={max(1, round(binding.expires_at - now))}"
        if binding.q != 1.0:
            value += f";q={binding.q:g}"
        if binding.instance:
            value += f';+sip.instance="{binding.instance}"'
        if binding.reg_id:
            value += f";reg-id={binding.reg_id}"
        fields.append(("Contact", value))
    return fields
