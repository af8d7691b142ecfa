"""The edge with its sockets: a thin shell around core."""

from __future__ import annotations

import asyncio
import errno
import secrets
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from random import SystemRandom
from typing import Any, TypeVar

import structlog

from telephony.edge.admission import TrunkTable
from telephony.edge.certificates import CertificateExpiry, Certificates
from telephony.edge.context import LOOPBACK, EdgeContext, PublicSocket
from telephony.edge.core import EdgeCore
from telephony.edge.counters import EdgeCounters
from telephony.edge.dialogs import DialogInfo
from telephony.edge.edge_phones import EdgePhones
from telephony.edge.hops import (
    Action,
    BindingChanged,
    CallCancelled,
    CallerGone,
    ConnectionTaken,
    DialAttempted,
    DialogEnded,
    DigitPressed,
    FloodSummedUp,
    Hop,
    InviteRefused,
    KeyAnswered,
    LegReplaced,
    MoveEnded,
    NotConnected,
    PeerReferred,
    ReferAnswered,
    ReferNotified,
    SendPublic,
    SendWorker,
    TrunkChanged,
)
from telephony.edge.names import DnsService, Names, NameService
from telephony.edge.protocol import Admitter, Dial, Flood, PeerRefers, Refuse, RefusedInvite, WorkerAddress
from telephony.edge.settings import EdgeSettings, ListenAddress
from telephony.edge.tcp import TcpConnections
from telephony.edge.trunk_status import TrunkStatus
from telephony.edge.udp import UdpPort
from telephony.edge.upkeep import follow_certificates, look_ups
from telephony.errors import PortTaken, TelephonyMisuse
from telephony.sip.resolving import Place, SipTransport

__all__ = ["Edge"]

log = structlog.get_logger(__name__)

_T = TypeVar("_T")

_TICK_S = 0.1


class Edge:
    """The public SIP sockets of the gateway and the loopback socket towards its workers.

    All methods belong to the asyncio loop. `on_refused` is called once for each refused INVITE, `on_dialog_ended` once
    for each admitted call when its dialog is over, `on_call_cancelled` when a caller gives up before the answer,
    `on_flood` once per source and minute for attempts over the rate, which `on_refused` does not report,
    `on_caller_gone` when a worker has not noticed that its caller ended the call, `on_digit` for each key by INFO,
    `on_attempt` at the end of each attempt to place a worker's call somewhere, `on_trunk` when a trunk is registered or
    no longer registered, or one of its hosts is up or down, `on_refer` for what becomes of `refer`, `on_key` for the
    answer to a `send_key`, `on_phone` when a phone has registered, or can be reached again or no longer,
    `on_peer_refers` for a peer's REFER that is honoured: `refer_refused` was asked before why not; `report_refer` then
    tells the peer. `may_dial_over` is asked with a leg and a trunk before a call that its trunk did not take goes to
    the next trunk of its route. `may_redirect` is asked with a trunk and the number that a 3xx of its names in place of
    the one that was called. `names`: asked for the names of trunks' hosts.
    """

    def __init__(
        self,
        settings: EdgeSettings,
        admitter: Admitter,
        *,
        on_refused: Callable[[RefusedInvite], None] | None = None,
        on_dialog_ended: Callable[[DialogEnded], None] | None = None,
        on_call_cancelled: Callable[[str], None] | None = None,
        on_flood: Callable[[Flood], None] | None = None,
        on_caller_gone: Callable[[CallerGone], None] | None = None,
        on_digit: Callable[[DigitPressed], None] | None = None,
        on_attempt: Callable[[DialAttempted], None] | None = None,
        on_trunk: Callable[[TrunkChanged], None] | None = None,
        on_refer: Callable[[ReferAnswered | ReferNotified], None] | None = None,
        on_key: Callable[[KeyAnswered], None] | None = None,
        on_peer_refers: Callable[[PeerReferred], None] | None = None,
        refer_refused: Callable[[PeerRefers], Refuse | None] | None = None,
        on_replaced: Callable[[LegReplaced], None] | None = None,
        replace_refused: Callable[[str], Refuse | None] | None = None,
        on_moved: Callable[[MoveEnded], None] | None = None,
        on_phone: Callable[[BindingChanged], None] | None = None,
        may_dial_over: Callable[[str, str], bool] | None = None,
        may_redirect: Callable[[str, str], bool] | None = None,
        names: NameService | None = None,
    ) -> None:
        self._settings = settings
        self._admitter = admitter
        self._on_refused = on_refused
        self._on_call_cancelled = on_call_cancelled
        self._on_flood = on_flood
        self._told: dict[type[Action], Callable[[Any], None] | None] = {
            DialogEnded: on_dialog_ended, CallerGone: on_caller_gone, DigitPressed: on_digit, KeyAnswered: on_key,
            DialAttempted: on_attempt, TrunkChanged: on_trunk, ReferAnswered: on_refer, ReferNotified: on_refer,
            PeerReferred: on_peer_refers, LegReplaced: on_replaced,
            MoveEnded: on_moved, BindingChanged: on_phone,
        }  # fmt: skip
        self._may_dial_over = may_dial_over
        self._may_redirect = may_redirect
        self._refer_refused, self._replace_refused = refer_refused, replace_refused
        self._name_service = names or DnsService()
        self._background: set[asyncio.Task[None]] = set()
        self._deregistered = asyncio.Event()
        self.counters = EdgeCounters()
        self._trunks = TrunkTable(settings.trunks)
        self._certificates = Certificates(settings.tls, {t.name: t.tls for t in settings.trunks})
        self._tcp = TcpConnections(
            settings.limits, self.counters, self._from_public, self._trunks, self._carries_a_call, self._not_connected,
            self._tls_failed, self._certificates, self._connection_closed,
        )  # fmt: skip
        self._udp: dict[int, UdpPort] = {}
        self._servers: list[asyncio.Server] = []
        self._worker_socket: UdpPort | None = None
        self._addresses: list[ListenAddress] = []
        self._context: EdgeContext | None = None
        self._core: EdgeCore | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self.phones = EdgePhones(lambda: self._running_core().phones, lambda: self._loop.time())

    async def start(self) -> None:
        """Open all sockets. Raises TlsFilesError, and PortTaken after closing those already open."""
        if self._core is not None:
            raise TelephonyMisuse("the edge has been started already")
        self._loop = asyncio.get_running_loop()
        self._certificates.load()
        try:
            for index, text in enumerate(self._settings.listen):
                await self._listen(index, ListenAddress.parse(text))
            worker_port = await self._open_worker_socket()
        except BaseException:
            await self.close()
            raise
        sockets = [
            PublicSocket(a.transport, (a.host, a.port), self._settings.public_address or a.host)
            for a in self._addresses
        ]
        key = secrets.token_bytes(32)
        self._context = EdgeContext(
            self._settings, self._admitter, self.counters, sockets, worker_port, key, self._trunks
        )
        if self._may_dial_over is not None:
            self._context.may_dial_over = self._may_dial_over
        if self._may_redirect is not None:
            self._context.may_redirect = self._may_redirect
        if self._refer_refused is not None:
            self._context.refer_refused = self._refer_refused
        if self._replace_refused is not None:
            self._context.replace_refused = self._replace_refused
        self._core = EdgeCore(self._context)
        self._ticker = self._loop.call_later(_TICK_S, self._tick)
        self._look_up_trunks()
        if self._settings.tls is not None:
            every_s = self._settings.limits.certificates_checked_s
            self._in_background(follow_certificates(self._certificates, every_s, self.counters))
        log.info("edge_listening", addresses=[str(address) for address in self._addresses])

    async def _listen(self, index: int, address: ListenAddress) -> None:
        try:
            if address.transport == "udp":
                port = await UdpPort.open(address.host, address.port, self._datagram_from(index), self.counters)
                self._udp[index] = port
                bound = port.bound
            else:
                server, bound = await self._tcp.listen(address.transport, address.host, address.port, index)
                self._servers.append(server)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortTaken(str(address)) from error
            raise
        self._addresses.append(ListenAddress(address.transport, address.host, bound[1]))

    def _look_up_trunks(self) -> None:
        """Resolve each trunk's hosts, now and whenever an answer of the name service expires."""
        transports: tuple[SipTransport, ...] = tuple(dict.fromkeys(address.transport for address in self._addresses))
        names = Names(self._name_service, transports, SystemRandom().random)
        core, loop = self._running_core(), self._loop

        def set_registrar(name: str, places: Sequence[Place]) -> None:
            self._perform(core.trunks.set_registrar(name, places, loop.time()))

        def set_hosts(name: str, places: Sequence[Place]) -> None:
            core.trunks.set_places(name, places, loop.time())

        for work in look_ups(self._settings.trunks, names, hosts=set_hosts, registrar=set_registrar):
            self._in_background(work)

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    @property
    def certificates(self) -> tuple[CertificateExpiry, ...]:
        """Our own, and until when they are valid."""
        return self._certificates.expiries

    async def _open_worker_socket(self) -> int:
        self._worker_socket = await UdpPort.open(LOOPBACK, 0, self._from_worker, self.counters)
        return self._worker_socket.bound[1]

    @property
    def addresses(self) -> tuple[ListenAddress, ...]:
        """The addresses actually bound, in the order of the settings."""
        return tuple(self._addresses)

    @property
    def worker_address(self) -> tuple[str, int]:
        """The address that workers send to: their Via and Record-Route."""
        return (LOOPBACK, self._running_context().worker_port)

    @property
    def tcp_connections(self) -> int:
        return len(self._tcp)

    @property
    def dialogs(self) -> tuple[DialogInfo, ...]:
        """The live dialogs, as they are now."""
        return self._context.dialogs.live() if self._context is not None else ()

    def _carries_a_call(self, connection: int) -> bool:
        context = self._context
        if context is None:
            return False
        registered = context.phones is not None and context.phones.registered_over(connection)
        return bool(registered) or context.dialogs.uses(connection)

    def _connection_closed(self, connection: int) -> None:
        if self._core is not None:
            self._perform(self._core.connection_closed(connection, self._loop.time()))

    def add_worker(self, name: str, host: str, port: int) -> WorkerAddress:
        """From now on the worker may be given calls and may send. Raises TelephonyMisuse when the name or the address
        is another worker's."""
        worker = WorkerAddress(name, host, port)
        self._running_core().add_worker(worker)
        return worker

    def remove_worker(self, name: str) -> None:
        """End its remaining legs and ignore its address from now on. Idempotent."""
        self._perform(self._running_core().remove_worker(name, self._loop.time()))

    def end_worker_legs(self, name: str) -> list[str]:
        """The worker is lost: BYE its answered calls and refuse its unanswered ones. Returns their call ids."""
        ended, actions = self._running_core().end_worker_legs(name, self._loop.time())
        self._perform(actions)
        return ended

    @property
    def trunks(self) -> tuple[TrunkStatus, ...]:
        """The state of each trunk: until when it is registered, which hosts are up, what it has refused lately."""
        return self._running_core().trunks.status()

    def trunk_places(self, trunk: str) -> tuple[Place, ...]:
        """The places to try a call of the trunk at, best first; empty until its names are resolved. The first is for
        `Dial.host`, `port` and `transport`, the rest for `Dial.others`."""
        return self._running_core().trunks.places(trunk, self._loop.time())

    def trunk_is_well(self, trunk: str) -> bool:
        """Whether a call of the trunk has a chance: it is registered, if it is to be, and a host of it is up."""
        return self._running_core().trunks.is_well(trunk, self._loop.time())

    async def end_trunks(self, within_s: float = 2.0) -> None:
        """Deregister everywhere; returns when that is done, or after `within_s`."""
        core = self._core
        if core is None:
            return
        for task in self._background:
            task.cancel()
        self._perform(core.trunks.stop(self._loop.time()))
        if not core.trunks.ending:
            return
        self._deregistered.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._deregistered.wait()

    def allow_dial(self, dial: Dial) -> None:
        """The worker may place this call, within 10 s. Raises TelephonyMisuse when it cannot go there."""
        self._running_core().allow_dial(dial, self._loop.time())

    def refer(self, leg_id: str, target: str) -> None:
        """Ask the peer of an answered leg to call this URI (REFER, RFC 3515). Raises TelephonyMisuse."""
        self._perform(self._running_core().refer(leg_id, target, self._loop.time()))

    def report_refer(self, refer_id: str, status: int, reason: str = "") -> None:
        """Tell the peer that has sent a REFER the latest status of the call to its target; a final one is the last."""
        self._perform(self._running_core().report_refer(refer_id, status, reason, self._loop.time()))

    def move_leg(self, from_leg: str, to_leg: str, token: str) -> None:
        """Give the peer of one answered leg to another one, whose peer leaves; `on_moved` tells what became of it.
        Raises TelephonyMisuse."""
        self._perform(self._running_core().move_leg(from_leg, to_leg, token, self._loop.time()))

    def is_answered(self, leg_id: str) -> bool:
        """Whether the leg has a dialog with its peer."""
        return self._running_core().is_answered(leg_id)

    def in_place_of(self, leg_id: str) -> str:
        """The URI by which somebody else calls the peer of an answered leg in our place (Replaces, RFC 3891). Raises
        TelephonyMisuse."""
        return self._running_core().in_place_of(leg_id)

    def send_key(self, leg_id: str, key: str, duration_ms: int, token: str) -> None:
        """Send a key to the peer of an answered leg by INFO. `token`: what the answer to it has. Raises
        TelephonyMisuse."""
        self._perform(self._running_core().send_key(leg_id, key, duration_ms, token, self._loop.time()))

    def last_word(self, leg_id: str) -> tuple[str, int, bytes] | None:
        """Address and BYE for the peer of a leg in progress, for its worker to send if this process dies. None if that
        is impossible: the caller is on TCP, or there is no such call."""
        word = self._running_core().last_word(leg_id, "the gateway was lost")
        return None if word is None else (word.hop.ip, word.hop.port, word.data)

    def decide(self, token: str) -> bool:
        """The admitter knows what becomes of a call (`Later`), and is asked. False: its caller has given up."""
        actions = self._running_core().decided(token, self._loop.time())
        self._perform(actions or ())
        return actions is not None

    def end_leg(self, leg_id: str, cause: str = "ended by the gateway") -> bool:
        """End one call towards the caller and its worker. False: there is no such live call."""
        actions = self._running_core().end_leg(leg_id, cause, self._loop.time())
        self._perform(actions)
        return bool(actions)

    def close_leg(self, leg_id: str, sip_status: int, cause: str) -> None:
        """The record is closed: end the leg towards a public side that is still waiting or connected. `sip_status`
        is the answer to an unanswered INVITE."""
        self._perform(self._running_core().close_leg(leg_id, sip_status, cause, self._loop.time()))

    async def close(self) -> None:
        """Close all sockets. Calls are not ended: the gateway does that before. Idempotent."""
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None
        if self._core is not None:
            self._perform(self._core.finish())
        for server in self._servers:
            server.close()
        for port in (*self._udp.values(), self._worker_socket):
            if port is not None:
                port.close()
        dialing = [*self._tcp.close(), *self._background]
        for task in dialing:
            task.cancel()
        await asyncio.gather(*dialing, return_exceptions=True)
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()
        self._udp.clear()
        self._worker_socket = None
        await asyncio.sleep(0)  # the transports close their sockets in the next turn of the loop

    def _running_core(self) -> EdgeCore:
        if self._core is None:
            raise TelephonyMisuse("the edge has not been started")
        return self._core

    def _running_context(self) -> EdgeContext:
        if self._context is None:
            raise TelephonyMisuse("the edge has not been started")
        return self._context

    # What arrives

    def _datagram_from(self, index: int) -> Callable[[bytes, tuple[str, int]], None]:
        return lambda data, address: self._from_public(data, Hop("udp", address[0], address[1], index))

    def _from_public(self, data: bytes, hop: Hop) -> None:
        if self._core is not None:
            self._perform(self._core.receive(data, hop, self._loop.time()))

    def _not_connected(self, failed: NotConnected) -> None:
        if self._core is not None:
            self._perform(self._core.not_connected(failed, self._loop.time()))

    def _tls_failed(self, trunk: str, ip: str, port: int, why: str) -> None:
        if self._core is not None:
            self._core.trunks.tls_failed(trunk, ip, port, why, self._loop.time())

    def _from_worker(self, data: bytes, address: tuple[str, int]) -> None:
        if self._core is not None:
            self._perform(self._core.receive_from_worker(data, address, self._loop.time()))

    def _tick(self) -> None:
        self._ticker = self._loop.call_later(_TICK_S, self._tick)
        core = self._running_core()
        self._perform(core.tick(self._loop.time()))
        if not core.trunks.ending:
            self._deregistered.set()

    # Actions

    def _perform(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case SendPublic(hop, data):
                    self._send_public(hop, data)
                case SendWorker(host, port, data):
                    if self._worker_socket is not None:
                        self._worker_socket.send(data, (host, port))
                case InviteRefused(invite):
                    self._tell(self._on_refused, invite)
                case FloodSummedUp(flood):
                    self._tell(self._on_flood, flood)
                case ConnectionTaken(connection, trunk):
                    self._tcp.give_to(connection, trunk)
                case CallCancelled(leg_id):
                    self._tell(self._on_call_cancelled, leg_id)
                case _:
                    self._tell(self._told[type(action)], action)

    def _send_public(self, hop: Hop, data: bytes) -> None:
        if hop.stream:
            self._tcp.send(hop, data)
        elif (port := self._udp.get(hop.listener)) is not None:
            port.send(data, (hop.ip, hop.port))

    def _tell(self, callback: Callable[[_T], None] | None, what: _T) -> None:
        if callback is None:
            return
        try:
            callback(what)
        except Exception:  # the gateway's fault must not cost the caller an answer
            self.counters.add("callback_errors")
            log.exception("callback_failed")
