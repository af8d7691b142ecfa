"""What the edge's deciding parts share: settings, tables, addresses, and answers that any of them may send."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import SystemRandom

from telephony.edge.admission import SourceRates, TrunkTable
from telephony.edge.attempts import AttemptKey, AttemptTable, attempt_key_of
from telephony.edge.bodies import MediaRule
from telephony.edge.branches import Branches
from telephony.edge.budget import StrangerBudget
from telephony.edge.capabilities import Announced, Reliable, announced, extensions
from telephony.edge.counters import EdgeCounters
from telephony.edge.dialogs import Dialog, DialogEvent, DialogTable, Reply
from telephony.edge.floods import FloodTable
from telephony.edge.hops import Action, DialogEnded, Hop, SendPublic, SendWorker
from telephony.edge.phone_book import PhoneBook, hop_of
from telephony.edge.protocol import Admitter, PeerRefers, Refuse, Transport, WorkerAddress
from telephony.edge.relays import RelayTable
from telephony.edge.resend import ResendTable
from telephony.edge.sessions import Sessions
from telephony.edge.settings import EdgeSettings, Trunk
from telephony.edge.trunk_status import Refusal
from telephony.edge.trust import Trust
from telephony.edge.undecided import UndecidedInvites
from telephony.edge.waiting import WaitingInvites
from telephony.sip import writing
from telephony.sip.codec_order import offer_in_order
from telephony.sip.digest import Credentials
from telephony.sip.digest_server import DigestServer
from telephony.sip.media_policy import TrunkMedia
from telephony.sip.parse import Request, Via
from telephony.sip.places import FailedPlaces
from telephony.sip.resolving import Place
from telephony.sip.srtp import for_public
from telephony.sip.uri import bracketed, try_uri

__all__ = ["EdgeContext", "PublicSocket", "reply_hop"]

LOOPBACK = "127.0.0.1"
_REFUSALS_KEPT = 10  # of each trunk
NO_TRUNK = TrunkMedia(())


@dataclass(frozen=True, slots=True)
class PublicSocket:
    """A public socket: its bound address and its public address."""

    transport: Transport
    bound: tuple[str, int]
    advertised: str

    @property
    def port(self) -> int:
        return self.bound[1]

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Both, for comparisons."""
        return (self.advertised.lower(), self.port), (self.bound[0].lower(), self.port)


def _latest_refusals(settings: EdgeSettings) -> dict[str, deque[Refusal]]:
    return {trunk.name: deque(maxlen=_REFUSALS_KEPT) for trunk in settings.trunks}


class EdgeContext:
    """Made when the sockets are open, since Record-Route and Via name their ports."""

    def __init__(
        self,
        settings: EdgeSettings,
        admitter: Admitter,
        counters: EdgeCounters,
        sockets: Sequence[PublicSocket],
        worker_port: int,
        key: bytes,
        trunks: TrunkTable | None = None,
    ) -> None:
        self.settings = settings
        self.may_dial_over: Callable[[str, str], bool] = _always  # a leg that its trunk did not take
        self.limits = settings.limits
        self.timers = settings.timers
        self.admitter = admitter
        self.counters = counters
        self.sockets = tuple(sockets)
        self.worker_port = worker_port
        self.branches = Branches(key)
        self._tokens = 0
        self.trunks = trunks or TrunkTable(settings.trunks)
        self.rates = SourceRates(settings.limits)
        self.undecided = UndecidedInvites()
        self.waiting = WaitingInvites(settings.limits.invites_per_second, settings.limits.invite_wait_s)
        self.dialogs = DialogTable()
        remembered, kept_s = settings.limits.remembered_attempts, settings.timers.kept_s
        self._attempts = AttemptTable(remembered, kept_s)
        self._strangers = AttemptTable(max(1, remembered // 10), kept_s)
        self.over_rate = AttemptTable(max(1, remembered // 10), kept_s)  # so that they cannot evict a call
        self.budget = StrangerBudget(settings.limits)
        self.floods = FloodTable()
        self.failed_places = FailedPlaces()
        self.may_redirect: Callable[[str, str], bool] = lambda trunk, number: False  # a 3xx to another number
        self.refer_refused: Callable[[PeerRefers], Refuse | None] = _no_refer  # why it is not honoured
        self.replace_refused: Callable[[str], Refuse | None] = _no_replacing  # why a leg's peer is not to be replaced
        self._named = {trunk.name: trunk for trunk in settings.trunks}
        self.trunk_refusals = _latest_refusals(settings)
        self.turned_away = _latest_refusals(settings)
        self.challengers = {
            trunk.name: DigestServer(trunk.realm, key) for trunk in settings.trunks if trunk.callers is not None
        }
        self.phones: PhoneBook | None = None  # who is registered with us; None: nobody may
        if settings.phones is not None:
            self.phones = PhoneBook(settings.phones, self.trunks, key, SystemRandom().random)
        self.sessions = Sessions({trunk.name: trunk.session for trunk in settings.trunks})
        self.resends = ResendTable(settings.timers.public)
        self.relays = RelayTable(remembered, settings.timers)
        self.worker_contact = f"<sip:{LOOPBACK}:{worker_port}>"
        self.workers: dict[str, WorkerAddress] = {}
        self.worker_addresses: dict[tuple[str, int], WorkerAddress] = {}
        self._ours = {(LOOPBACK, worker_port), *(address for socket in sockets for address in socket.addresses)}
        self._media_policy = settings.media
        self._trunk_media = {trunk.name: trunk.media for trunk in settings.trunks}
        self.trust = Trust(self.trunks, self.is_own)

    def account_of(self, trunk: str) -> Credentials | None:
        """The credentials that answer the trunk's challenges."""
        named = self._named.get(trunk)
        return None if named is None else named.account

    def reliable(self, trunk: str) -> Reliable:
        """Whether provisional answers are reliable there."""
        named = self._named.get(trunk)
        return "supported" if named is None else named.reliable

    def announced(self, trunk: str) -> Announced:
        """What peers there are told that we support."""
        return announced(self.reliable(trunk), refer=self.takes_refer(trunk), replaces=self.takes_replaces(trunk))

    def extensions(self, trunk: str) -> frozenset[str]:
        """What its requests may require."""
        return extensions(self.reliable(trunk), replaces=self.takes_replaces(trunk))

    def takes_refer(self, trunk: str) -> bool:
        named = self._named.get(trunk)
        return named is not None and named.takes_refer

    def takes_replaces(self, trunk: str) -> bool:
        named = self._named.get(trunk)
        return named is not None and named.takes_replaces

    def route_of(self, trunk: str) -> tuple[str, ...]:
        """Route values for REGISTER and for requests that begin a dialog: the trunk's outbound proxy, if it has one."""
        named = self._named.get(trunk)
        return () if named is None or not named.route else (named.route,)

    def random_token(self) -> str:
        """Eight unguessable bytes, in hex."""
        self._tokens += 1
        return self.branches.token(self._tokens)[:16]

    def media_rule(self, trunk: str | None, hop: Hop) -> MediaRule:
        """For a description that has come from there."""
        media = self._trunk_media.get(trunk or "", NO_TRUNK)
        return MediaRule(self._media_policy, media, hop.ip, hop.transport == "tls")

    def described(self, body: bytes, dialog: Dialog, *, offer: bool) -> bytes:
        """A worker's description, as the trunk of its call wants the audio to be encrypted."""
        media = self._trunk_media.get(dialog.trunk, NO_TRUNK)
        if offer:
            body = offer_in_order(body, media.codecs)
        return for_public(body, media.srtp, secure=offer and dialog.savp)

    def trunk_of(self, hop: Hop) -> str | None:
        """Whose a message from there is: by the connection's certificate, else by the address; None: a stranger's."""
        return hop.trunk or self.trunks.trunk_of(hop.ip)

    def trunks_of(self, hop: Hop) -> tuple[Trunk, ...]:
        """All that it may be of. Those that have to show a certificate come last: without one it is not theirs."""
        if hop.trunk:
            return (self.trunks.named(hop.trunk),)
        names = sorted(self.trunks.trunks_of(hop.ip), key=self.trunks.needs_certificate)
        return tuple(map(self.trunks.named, names))

    def hop_to(self, place: Place, trunk: str) -> Hop:
        """On a connection that is the trunk's, if it has one. Raises StopIteration if nothing listens for it."""
        if self.phones is not None and trunk == self.phones.trunk and (flow := self.phones.flow_to(place)) is not None:
            return hop_of(flow)
        listener = next(n for n, socket in enumerate(self.sockets) if socket.transport == place.transport)
        if place.transport != "tls":
            return Hop(place.transport, place.ip, place.port, listener, chosen=place.transport == "tcp")
        return Hop("tls", place.ip, place.port, listener, chosen=True, trunk=trunk, name=place.name)

    def attempts_of(self, ip: str) -> AttemptTable:
        """Strangers have a small table of their own, so that they cannot evict a caller's INVITE."""
        return self._attempts if self.trunks.trunk_of(ip) is not None else self._strangers

    def finish_attempt(
        self, dialog: Dialog, reply: Reply, final: bytes, now: float, *, by_us: bool = False
    ) -> AttemptKey:
        """The dialog's INVITE got this final answer."""
        key = attempt_key_of(dialog, reply)
        attempts = self.attempts_of(reply.received_from[0])
        if (attempt := attempts.get(key)) is not None:
            attempt.final = final
            attempt.answered_by_us = attempt.answered_by_us or by_us
            attempts.finished(key, now)
        return key

    def expire_attempts(self, now: float) -> None:
        self._attempts.expire(now)
        self._strangers.expire(now)
        self.over_rate.expire(now)
        self.relays.expire(now)

    @property
    def remembered(self) -> int:
        """How many INVITEs are remembered now."""
        return len(self._attempts) + len(self._strangers) + len(self.over_rate)

    def is_own(self, ip: str, port: int) -> bool:
        return (ip, port) in self._ours or (ip, port) in self.worker_addresses

    def names_us(self, uri: str) -> bool:
        """Whether its host is one of our addresses."""
        found = try_uri(uri)
        if found is None or not found.host:
            return False
        host = found.host.strip("[]").lower()
        return any(host == ours.strip("[]") and found.port in (None, port) for ours, port in self._ours)

    def is_public_via(self, via: Via) -> bool:
        return (via.host, via.port or 5060) in self._ours

    def contact_in(self, dialog: Dialog, listener: int) -> str:
        """Where the public side of a call is to send what belongs to it: a `sips:` URI if it was called by one (RFC
        3261 section 8.1.1.8)."""
        return self.public_contact(listener, sips=dialog.sips)

    def public_contact(self, listener: int, *, sips: bool = False) -> str:
        socket = self.sockets[listener]
        if sips and socket.transport == "tls":  # which says the transport, too (RFC 5630 section 3.1.2)
            return f"<sips:{bracketed(socket.advertised)}:{socket.port}>"
        transport = "" if socket.transport == "udp" else f";transport={socket.transport}"
        return f"<sip:{bracketed(socket.advertised)}:{socket.port}{transport}>"

    def worker_via(self, branch: str) -> str:
        return f"SIP/2.0/UDP {LOOPBACK}:{self.worker_port};branch={branch}"

    def public_via(self, hop: Hop, branch: str) -> str:
        socket = self.sockets[hop.listener]
        return f"SIP/2.0/{socket.transport.upper()} {bracketed(socket.advertised)}:{socket.port};branch={branch};rport"

    def answer(
        self,
        request: Request,
        hop: Hop,
        status: int,
        *,
        reason: str = "",
        headers: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
    ) -> SendPublic:
        """Our own answer to a caller. Its To tag is the same for each retransmission."""
        data = self.answer_bytes(request, (hop.ip, hop.port), status, reason=reason, headers=headers)
        return SendPublic(reply_hop(request.via, hop), data)

    def answer_worker(self, request: Request, address: tuple[str, int], status: int) -> SendWorker:
        """Our own answer to a worker, sent to the source of its request."""
        return SendWorker(*address, self.answer_bytes(request, address, status))

    def answer_bytes(
        self,
        request: Request,
        received_from: tuple[str, int],
        status: int,
        *,
        reason: str = "",
        headers: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
    ) -> bytes:
        tag = ""
        if status > 100 and not request.to_tag:
            tag = self.branches.to_tag(request.call_id, request.from_tag, request.via)
        if status > 100:
            self.counters.add(f"answered.{status}")
        return writing.respond(
            request.lines, request.via, received_from, status, reason=reason, to_tag=tag, headers=headers
        )

    def reply_hop(self, request: Request, hop: Hop) -> Hop:
        return reply_hop(request.via, hop)

    def end_dialog(
        self,
        dialog: Dialog,
        event: DialogEvent,
        now: float,
        kept_s: float | None = None,
        *,
        refused: tuple[int, str] = (0, ""),
    ) -> list[Action]:
        """The dialog is over; it is remembered for retransmissions. Reports its end once. `refused`: the worker's
        status and phrase."""
        dialog.happened(event)
        dialog.invite = None
        self.dialogs.expire_at(dialog, now + (self.timers.after_bye_s if kept_s is None else kept_s))
        if dialog.told:
            return []
        dialog.told = True
        return [DialogEnded(dialog.leg_id, *refused)]


def _no_refer(refers: PeerRefers) -> Refuse | None:
    return Refuse(403, "", cause_text="nobody decides here what a REFER may do")


def _no_replacing(leg_id: str) -> Refuse | None:
    return Refuse(403, "", cause_text="nobody decides here whether a call may be taken over")


def _always(leg_id: str, trunk: str) -> bool:
    return True


def reply_hop(via: Via, hop: Hop) -> Hop:
    """Where to send an answer to a message from `hop` (RFC 3261 section 18.2.2, RFC 3581): the connection, or for UDP
    the source address, at the source port only when `rport` asked for it. maddr is ignored: a stranger could aim us at
    others."""
    if hop.transport == "udp" and via.rport is not None:
        return hop
    return replace(hop, port=via.port or (5061 if hop.transport == "tls" else 5060))
