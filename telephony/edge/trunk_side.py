"""The edge's own dealings with a trunk: registration, and OPTIONS probes of its hosts. Pure.

Names have been resolved by whoever runs the core (`set_places`, `set_registrar`): there are only addresses here.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import structlog

from telephony.edge.context import EdgeContext
from telephony.edge.hops import Action, Hop, NotConnected, SendPublic, TrunkChanged
from telephony.edge.settings import Trunk
from telephony.edge.trunk_status import PlaceStatus, TlsFailure, TrunkStatus
from telephony.sip.new_request import NewRequest
from telephony.sip.parse import Response
from telephony.sip.probing import Probe, Reachability
from telephony.sip.registration import (
    Lost,
    Registration,
    RegistrationAction,
    RegistrationState,
    SendRegister,
    StatusChanged,
    answer_of,
)
from telephony.sip.resolving import Place
from telephony.sip.srtp import Srtp
from telephony.sip.uri import bracketed

__all__ = ["TrunkSide"]

log = structlog.get_logger(__name__)

_FAILURES_KEPT = 5


@dataclass(slots=True)
class _Side:
    trunk: Trunk
    registration: Registration | None
    call_id: str
    tag: str
    places: tuple[Place, ...] = ()
    probes: dict[Place, Probe] = field(default_factory=dict)
    registrar: tuple[Place, ...] = ()
    known: bool = False  # whether names have been looked up at all
    tried: list[Place] = field(default_factory=list)  # in this attempt to register
    at: Place | None = None  # where the last REGISTER went
    cseq: int = 0
    branch: str = ""  # of the last REGISTER: only its answer counts
    tls_failures: deque[TlsFailure] = field(default_factory=lambda: deque(maxlen=_FAILURES_KEPT))


@dataclass(frozen=True, slots=True)
class _Sent:
    side: _Side
    place: Place
    hop: Hop
    method: str


class TrunkSide:
    """`random` returns numbers from 0 to 1."""

    def __init__(self, context: EdgeContext, random: Callable[[], float]) -> None:
        self._context = context
        self._random = random
        self._sent: dict[str, _Sent] = {}  # by branch
        self._count = 0
        self._sides: dict[str, _Side] = {}
        for trunk in context.settings.trunks:
            registration = None
            if (wanted := trunk.register) is not None:
                registration = Registration(wanted.uri, trunk.account, wanted.policy, random, context.random_token)
            call_id = context.branches.public_call_id("register", trunk.name)
            self._sides[trunk.name] = _Side(trunk, registration, call_id, context.branches.public_tag(trunk.name))

    # State of the trunk's hosts

    def set_places(self, trunk: str, places: Iterable[Place], now: float) -> None:
        """Set the trunk's hosts, in the order to try them. Probes of hosts that stay continue."""
        side = self._sides[trunk]
        media = side.trunk.media
        safe = media.srtp is not Srtp.REQUIRED or media.keys_over_plain_sip
        side.places = tuple(p for p in places if self._can_reach(p) and (safe or p.transport == "tls"))
        if side.trunk.probe is not None:
            policy = side.trunk.probe
            side.probes = {place: side.probes.get(place) or Probe(policy, now, self._random) for place in side.places}
        self._allow(side)

    def set_registrar(self, trunk: str, places: Iterable[Place], now: float) -> list[Action]:
        side = self._sides[trunk]
        side.registrar = tuple(place for place in places if self._can_reach(place))
        self._allow(side)
        registration = side.registration
        if registration is None or registration.status.state is not RegistrationState.IDLE:
            return []
        return self._perform(side, registration.start(now), now)

    def _allow(self, side: _Side) -> None:
        names = {place.ip: place.name for place in (*side.registrar, *side.places)}
        self._context.trunks.set_hosts(side.trunk.name, names, names)

    def _can_reach(self, place: Place) -> bool:
        context = self._context
        able = any(socket.transport == place.transport for socket in context.sockets)
        return able and not context.is_own(place.ip, place.port)

    def places(self, trunk: str, now: float) -> tuple[Place, ...]:
        """Where a call of the trunk is to be tried, best first: hosts that are down or failed recently come last."""
        side = self._sides.get(trunk)
        if side is None:
            return ()
        ordered = self._context.failed_places.ordered(side.places, now)
        return tuple(sorted(ordered, key=lambda place: self._is_down(side, place)))

    def is_well(self, trunk: str, now: float) -> bool:
        """It is registered, if it is to be, and one of its hosts has not failed of late."""
        side = self._sides.get(trunk)
        if side is None:
            return False
        if side.registration is not None and side.registration.status.registered_until <= now:
            return False
        failed = self._context.failed_places
        return any(not self._is_down(side, place) and failed.passed_over_until(place) <= now for place in side.places)

    @staticmethod
    def _is_down(side: _Side, place: Place) -> bool:
        probe = side.probes.get(place)
        return probe is not None and probe.status.reachability is Reachability.DOWN

    def status(self) -> tuple[TrunkStatus, ...]:
        return tuple(self._status(side) for side in self._sides.values())

    def _status(self, side: _Side) -> TrunkStatus:
        failed = self._context.failed_places
        places = []
        for place in side.places:
            probe = side.probes.get(place)
            probed = None if probe is None else probe.status
            places.append(PlaceStatus(place, probed, failed.passed_over_until(place)))
        name = side.trunk.name
        registration = None if side.registration is None else side.registration.status
        refusals = tuple(self._context.trunk_refusals.get(name, ()))
        away = tuple(self._context.turned_away.get(name, ()))
        return TrunkStatus(name, tuple(places), registration, side.at, refusals, tuple(side.tls_failures), away)

    def tls_failed(self, trunk: str, ip: str, port: int, why: str, now: float) -> None:
        """`port` 0: the connection was made by the peer. One of a stranger is only counted."""
        if (side := self._sides.get(trunk)) is None:
            return
        peer = f"{bracketed(ip)}:{port}" if port else ip
        last = side.tls_failures[-1] if side.tls_failures else None
        if last is not None and (last.peer, last.why) == (peer, why):
            side.tls_failures.pop()
        else:
            log.warning("tls_failed", trunk=trunk, peer=peer, why=why)
        side.tls_failures.append(TlsFailure(now, peer, why))

    # Time, answers, the end

    def due(self, now: float) -> list[Action]:
        actions: list[Action] = []
        for side in self._sides.values():
            for place, probe in side.probes.items():
                if now >= probe.next_at and probe.due(now):
                    actions.append(self._options(side, place, now))
            registration = side.registration
            if registration is not None and now >= min(registration.next_at, _until(registration)):
                actions += self._perform(side, registration.due(now), now)
        return actions

    def stop(self, now: float) -> list[Action]:
        """Deregister everywhere."""
        actions: list[Action] = []
        for side in self._sides.values():
            if side.registration is not None:
                actions += self._perform(side, side.registration.stop(now), now)
            side.probes = {}
        return actions

    @property
    def ending(self) -> bool:
        """Whether some registrar has not answered the deregistration yet."""
        registrations = [side.registration for side in self._sides.values() if side.registration is not None]
        return any(registration.status.state is RegistrationState.ENDING for registration in registrations)

    def response(self, response: Response, hop: Hop, now: float) -> list[Action] | None:
        """None: not an answer to one of our requests."""
        branch = response.via.branch
        sent = self._sent.get(branch)
        if sent is None or response.cseq_method != sent.method:
            return None
        if hop.ip != sent.place.ip and not self._context.trust.is_of_trunk(hop.ip, sent.side.trunk.name):
            self._context.counters.add("untrusted.response")
            return []
        if response.status < 200:
            self._context.resends.provisional(branch, now)
            return []
        del self._sent[branch]
        self._context.resends.answered(branch)
        if sent.method == "OPTIONS":
            return self._probed(sent, response.status, now)
        side = sent.side
        if side.registration is None or side.branch != branch:
            return []
        if response.status in (408, 503):
            self._context.failed_places.failed(sent.place, now)
        else:
            self._context.failed_places.worked(sent.place)
        answer = answer_of(response, self._contact(side, sent.place), other_host=bool(self._untried(side)))
        return self._perform(side, side.registration.answered(answer, now), now)

    def lost(self, branch: object, now: float, why: str = "") -> list[Action]:
        """Our request got no response. `why`, if more is known than that."""
        sent = self._sent.pop(branch, None) if isinstance(branch, str) else None
        if sent is None:
            return []
        if sent.method == "OPTIONS":
            return self._probed(sent, None, now)
        self._context.failed_places.failed(sent.place, now)
        side = sent.side
        if side.registration is None or side.branch != branch:
            return []
        where = f"{sent.place.ip}:{sent.place.port}"
        why = f"{where}: {why}" if why else f"{where} does not answer"
        return self._perform(side, side.registration.lost(Lost(why, bool(self._untried(side))), now), now)

    def not_connected(self, failed: NotConnected, now: float) -> list[Action]:
        found = [branch for branch, sent in self._sent.items() if sent.hop.place == failed.hop.place]
        actions: list[Action] = []
        for branch in found:
            self._context.resends.answered(branch)
            actions += self.lost(branch, now, failed.why)
        return actions

    def _probed(self, sent: _Sent, status: int | None, now: float) -> list[Action]:
        probe = sent.side.probes.get(sent.place)
        if probe is None:
            return []
        changed = probe.lost(now) if status is None else probe.answered(status, now)
        if not changed:
            return []
        name, reachability = sent.side.trunk.name, probe.status.reachability
        log.warning(
            "trunk_host_changed", trunk=name, host=f"{sent.place.ip}:{sent.place.port}", state=reachability.value
        )
        what: Literal["up", "down"] = "up" if reachability is Reachability.UP else "down"
        text = f"host {sent.place.ip}:{sent.place.port} is {reachability.value}"
        return [TrunkChanged(name, what, text, sent.place)]

    # Sending

    def _perform(self, side: _Side, done: Sequence[RegistrationAction], now: float) -> list[Action]:
        actions: list[Action] = []
        for action in done:
            if isinstance(action, StatusChanged):
                status = action.status
                well = status.registered_until > now and not status.reason
                text = "registered" if well else status.reason or "not registered"
                log.info("trunk_registration_changed", trunk=side.trunk.name, state=status.state.value, text=text)
                what: Literal["registered", "registration_failed", "unregistered"] = "registered"
                if not well:
                    what = "registration_failed" if status.reason else "unregistered"
                actions.append(TrunkChanged(side.trunk.name, what, text))
            else:
                actions += self._register(side, action, now)
        return actions

    def _untried(self, side: _Side) -> list[Place]:
        places = side.registrar or side.places
        return [place for place in places if place not in side.tried]

    def _register(self, side: _Side, wanted: SendRegister, now: float) -> list[Action]:
        registration, register = side.registration, side.trunk.register
        assert registration is not None and register is not None
        if wanted.new_try:  # start where it worked before, or at the best host
            well = side.at in (side.registrar or side.places) and not registration.status.reason
            side.tried = [side.at] if well and side.at is not None else []
        if wanted.next_host or not side.tried:
            untried = self._context.failed_places.ordered(self._untried(side), now)
            if not untried:
                return self._perform(side, registration.lost(Lost("no address of the registrar is known"), now), now)
            side.at = untried[0]
            side.tried.append(side.at)
        place = side.at
        assert place is not None
        request = self._register_request(side, place, wanted)
        limit_s = register.policy.answer_s if self._untried(side) else None
        return [self._send(side, place, request, now, limit_s)]

    def _register_request(self, side: _Side, place: Place, wanted: SendRegister) -> NewRequest:
        register = side.trunk.register
        assert register is not None
        side.cseq += 1
        request = NewRequest("REGISTER", register.uri)
        for route in self._context.route_of(side.trunk.name):
            request.add("Route", route)
        request.add("From", f"<{register.address}>;tag={side.tag}")
        request.add("To", f"<{register.address}>")
        request.add("Call-ID", side.call_id)
        request.add("CSeq", f"{side.cseq} REGISTER")
        request.add("Contact", f"<{self._contact(side, place)}>")
        request.add("Expires", str(wanted.expires_s))
        request.add("Allow", self._context.announced(side.trunk.name).allow)
        for name, value in wanted.headers:
            request.add(name, value)
        return request

    def _contact(self, side: _Side, place: Place) -> str:
        register = side.trunk.register
        user = "" if register is None else register.user
        contact = self._context.public_contact(self._listener(place), sips=side.trunk.tls.sips)
        scheme, _, plain = contact[1:-1].partition(":")
        return f"{scheme}:{user}@{plain}" if user else f"{scheme}:{plain}"

    def _options(self, side: _Side, place: Place, now: float) -> Action:
        self._count += 1
        listener = self._listener(place)
        scheme, contact = side.trunk.scheme, self._context.public_contact(listener, sips=side.trunk.tls.sips)
        target = f"{scheme}:{bracketed(place.name or place.ip)}"
        request = NewRequest("OPTIONS", target)
        call_id = self._context.branches.public_call_id("options", str(self._count))
        request.add("From", f"{contact};tag={call_id[:12]}")
        request.add("To", f"<{target}>")
        request.add("Call-ID", call_id)
        request.add("CSeq", "1 OPTIONS")
        request.add("Contact", contact)
        request.add("Accept", "application/sdp")
        policy = side.trunk.probe
        return self._send(side, place, request, now, None if policy is None else policy.answer_s)

    def _send(
        self, side: _Side, place: Place, request: NewRequest, now: float, limit_s: float | None = None
    ) -> SendPublic:
        context = self._context
        self._count += 1
        branch = context.branches.own(f"{request.method} {side.trunk.name}", self._count)
        hop = context.hop_to(place, side.trunk.name)
        request.fields.insert(0, ("Via", context.public_via(hop, branch)))
        request.add("Max-Forwards", "70")
        request.add("User-Agent", "Trunkline")
        sent = SendPublic(hop, bytes(request))
        self._sent[branch] = _Sent(side, place, hop, request.method)
        if request.method == "REGISTER":
            side.branch = branch
        context.resends.request(branch, sent, now, limit_s=limit_s)
        return sent

    def _listener(self, place: Place) -> int:
        return next(n for n, socket in enumerate(self._context.sockets) if socket.transport == place.transport)


def _until(registration: Registration) -> float:
    """When the current registration expires."""
    return registration.status.registered_until or math.inf
