"""Where registered phones are, and whether they answer: what the registrar, calls to phones and calls from phones have
in common. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from telephony.edge.admission import TrunkTable
from telephony.edge.guessing import Guesses
from telephony.edge.hops import BindingChanged, Hop
from telephony.edge.phone_settings import Phones
from telephony.sip.bindings import Binding, BindingTable, Changed, Flow
from telephony.sip.digest_server import DigestServer
from telephony.sip.probing import Probe, Reachability
from telephony.sip.resolving import Place

__all__ = ["PhoneBook", "PhoneStatus", "hop_of"]

_Key = tuple[str, str]  # a binding: name and URI


@dataclass(frozen=True, slots=True)
class PhoneStatus:
    """One binding. `reachable` False: it does not answer."""

    binding: Binding
    reachable: bool
    round_trip_ms: float | None  # of the last OPTIONS; None: none was answered


class PhoneBook:
    """`random` returns numbers from 0 to 1."""

    def __init__(self, settings: Phones, trunks: TrunkTable, key: bytes, random: Callable[[], float]) -> None:
        self.settings = settings
        self.digest = DigestServer(settings.realm, key, algorithms=settings.algorithms)
        self.guesses = Guesses(settings.guesses)
        self.table = BindingTable()
        self._trunks = trunks
        self._random = random
        self._probes: dict[_Key, Probe] = {}
        self._silent: set[_Key] = set()  # did not answer a call, and nothing has come from there since
        self._ips: frozenset[str] = frozenset()

    @property
    def trunk(self) -> str:
        return self.settings.trunk

    def may_be_at(self, name: str, ip: str) -> bool:
        of_trunk = self.trunk in self._trunks.trunks_of(ip)
        return self.settings.may_be_at(name, ip, of_trunk=of_trunk)

    # Who is where

    def reachable(self, name: str, now: float) -> tuple[Binding, ...]:
        """Those to call, best first."""
        return tuple(binding for binding in self.table.of(name, now) if self.answers(binding))

    def answers(self, binding: Binding) -> bool:
        key = (binding.name, binding.uri)
        probe = self._probes.get(key)
        return key not in self._silent and (probe is None or probe.status.reachability is not Reachability.DOWN)

    def is_bound(self, name: str, ip: str) -> bool:
        return any(binding.name == name and binding.flow.place.ip == ip for binding in self.table)

    def registered_over(self, connection: int) -> str:
        """The phone that has registered over this connection; empty: none."""
        if not connection:
            return ""
        return next((each.name for each in self.table if each.flow.connection == connection), "")

    def flow_to(self, place: Place) -> Flow | None:
        return next((binding.flow for binding in self.table if binding.flow.place == place), None)

    def status(self, now: float) -> tuple[PhoneStatus, ...]:
        return tuple(self._status(binding) for binding in self.table if binding.expires_at > now)

    def _status(self, binding: Binding) -> PhoneStatus:
        probe = self._probes.get((binding.name, binding.uri))
        return PhoneStatus(binding, self.answers(binding), None if probe is None else probe.status.round_trip_ms)

    # What happens to them

    def changed(self, changes: Iterable[Changed], now: float) -> None:
        """The table has changed: whoever has just registered answers, and is asked again later."""
        for change in changes:
            key = (change.binding.name, change.binding.uri)
            self._silent.discard(key)
            if change.gone:
                self._probes.pop(key, None)
            else:
                self._probes[key] = self._probe(now)
        ips = frozenset(binding.flow.place.ip for binding in self.table)
        if ips != self._ips:
            self._ips = ips
            self._trunks.set_hosts(self.trunk, ips)

    def restore(self, bindings: Iterable[Binding], now: float) -> None:
        """Over UDP only: the connections of the others are gone."""
        kept = [each for each in bindings if each.name in self.settings.users and not each.flow.connection]
        self.table.restore(kept)
        for binding in kept:
            self._probes[binding.name, binding.uri] = Probe(self.settings.probe, now, self._random)
        self.changed((), now)

    def _probe(self, now: float) -> Probe:
        probe = Probe(self.settings.probe, now, self._random)
        probe.next_at = now + self.settings.probe.every_s * (0.5 + 0.5 * self._random())
        return probe

    def due(self, now: float) -> list[tuple[Binding, Probe]]:
        """Whom to ask now whether they are there."""
        found = []
        for binding in self.table:
            probe = self._probes.get((binding.name, binding.uri))
            if probe is not None and now >= probe.next_at and probe.due(now):
                found.append((binding, probe))
        return found

    def probed(self, binding: Binding, probe: Probe, status: int | None, now: float) -> bool:
        """True: it answers again, or does not any more. None: no answer."""
        key = (binding.name, binding.uri)
        if self._probes.get(key) is not probe:
            return False
        answered = self.answers(binding)
        if status is None:
            probe.lost(now)
        else:
            probe.answered(status, now)
            self._silent.discard(key)
        return self.answers(binding) != answered

    def unanswered(self, place: Place, now: float) -> list[BindingChanged]:
        """A call to this place had no answer of any kind."""
        found = [each for each in self.table if each.flow.place == place and self.answers(each)]
        for binding in found:
            self._silent.add((binding.name, binding.uri))
            if (probe := self._probes.get((binding.name, binding.uri))) is not None:
                probe.next_at = min(probe.next_at, now)
        return [BindingChanged(binding, reachable=False, why="no answer") for binding in found]

    @property
    def next_expiry(self) -> float:
        return min((binding.expires_at for binding in self.table), default=math.inf)


def hop_of(flow: Flow) -> Hop:
    """Requests to a phone go where it has registered from, over the same connection."""
    place = flow.place
    return Hop(place.transport, place.ip, place.port, flow.listener, connection=flow.connection)


def at_listener(binding: Binding, listener: int) -> Binding:
    return replace(binding, flow=replace(binding.flow, listener=listener))
