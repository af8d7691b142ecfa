"""PJSIP itself: started, driven and stopped on one thread of its own (see `owner.py`)."""

from __future__ import annotations

import logging
import socket
import sys
import weakref
from collections.abc import Callable
from time import monotonic, sleep
from typing import ClassVar

from telephony.call import LegEvent
from telephony.errors import PjsipError
from telephony.pjsua._api import (
    PJ_QOS_TYPE_VOICE,
    PJMEDIA_SRTP_KEYING_SDES,
    PJMEDIA_SRTP_OPTIONAL,
    PJSIP_TRANSPORT_UDP,
    PJSUA_DESTROY_NO_RX_MSG,
    PJSUA_SIP_TIMER_INACTIVE,
    Account,
    AccountConfig,
    EpConfig,
    LogEntry,
    LogWriter,
    OnIncomingCallParam,
    OnRejectedIncomingCallParam,
    SrtpCrypto,
    TransportConfig,
)
from telephony.pjsua._api import Endpoint as PjEndpoint
from telephony.pjsua.bridge import Bridge
from telephony.pjsua.line import Line
from telephony.pjsua.native import calls_in_use, check_vector_layout, compiled_call_limit, set_g722_level, silence_log
from telephony.pjsua.outgoing import OutgoingLine
from telephony.pjsua.request import IncomingRequest, parse_invite
from telephony.pjsua.settings import CODECS, SRTP_SUITES, EndpointSettings
from telephony.pjsua.sip_call import guarded
from telephony.pjsua.sockets import ClosingSockets, free_pair
from telephony.pjsua.translate import pjsip_operation
from telephony.rooms.protocol import LegAudio

__all__ = ["Engine"]

log = logging.getLogger(__name__)

_IDLE_WAIT_MS = 500  # commands end the wait with a wake-up
_MEDIA_WAIT_MS = 40  # while a leg waits for its first packet
_CLOCK_WAIT_MS = 250  # while the bridge's clock is due to stop
_BREATH_S = 0.01
_CALLS_ASKED = 200  # PJSIP lowers it to its compile-time limit
_LOG_LEVELS = {0: logging.CRITICAL, 1: logging.ERROR, 2: logging.WARNING, 3: logging.INFO}

NewLeg = Callable[[Line, IncomingRequest], Callable[[LegEvent], None]]


class _Log(LogWriter):
    """Forwards PJSIP's log lines to ours."""

    def write(self, entry: LogEntry) -> None:
        try:
            text = entry.msg.rstrip()
            # PJSIP logs each busy port it skips as an error; only running out of ports is one.
            level = logging.DEBUG if " bind() at " in text else _LOG_LEVELS.get(entry.level, logging.DEBUG)
            log.log(level, "pjsip: %s", text)
        except BaseException:  # noqa: BLE001, S110 - an exception that leaves a SWIG director aborts the process
            pass


class _Account(Account):
    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine: Engine | None = engine

    @guarded
    def onIncomingCall(self, prm: OnIncomingCallParam) -> None:
        if self.engine is not None:
            self.engine.invited(self, prm)


class _PjEndpoint(PjEndpoint):
    def __init__(self, sockets: ClosingSockets) -> None:
        super().__init__()
        self._sockets = sockets

    @guarded
    def onRejectedIncomingCall(self, prm: OnRejectedIncomingCallParam) -> None:
        if prm.callId >= 0 and prm.statusCode != 488:  # no codec in common: it had no sockets yet
            self._sockets.closed()
        log.warning("pjsip refused a call from %s: %d %s", prm.remoteInfo, prm.statusCode, prm.reason)


class Engine:
    """All methods except `wake` run on the owner thread, the same one from `start` to `stop`."""

    _last: ClassVar[weakref.ref[_PjEndpoint] | None] = None

    def __init__(self, settings: EndpointSettings, new_leg: NewLeg) -> None:
        self._settings = settings
        self._new_leg = new_leg
        self._endpoint: _PjEndpoint | None = None
        self._account: _Account | None = None
        self._config: AccountConfig | None = None
        self._bridge: Bridge | None = None
        self._lines: dict[int, Line] = {}
        self._closing: dict[int, Line] = {}
        self._sockets = ClosingSockets(monotonic)
        self._wake: socket.socket | None = None
        self.sip_port = 0
        self.call_limit = 0

    @property
    def slots_in_use(self) -> int:
        """Calls that PJSIP holds, including those whose BYE has not been answered."""
        return len(self._lines) + len(self._closing)

    def start(self) -> None:
        """Raises PortTaken or PjsipError, and then leaves nothing behind."""
        if self._settings.switch_interval_s is not None:
            sys.setswitchinterval(self._settings.switch_interval_s)
        silence_log()
        check_vector_layout()
        try:
            self._create()
        except BaseException:
            self.stop()
            raise

    def poll(self) -> None:
        """Wait for network and timer events, at most half a second, and handle them."""
        if self._endpoint is None or self._bridge is None:
            raise PjsipError("poll", 0, "the endpoint is not running")
        if self._closing:
            self._confirm()  # a refused call frees its slot at once
        if self._sockets.too_many():
            sleep(_BREATH_S)
            return
        waiting = any(line.awaits_media or line.awaits_acknowledgement for line in self._lines.values())
        idle = _CLOCK_WAIT_MS if self._bridge.ticking and not self._lines else _IDLE_WAIT_MS
        self._endpoint.libHandleEvents(_MEDIA_WAIT_MS if waiting else idle)
        if self._closing:
            self._confirm()
        for line in list(self._lines.values()):
            if line.gone:
                self._lines.pop(line.slot, None)
                continue
            if line.awaits_media:
                line.look_for_media()
            line.settle()
        self._bridge.rest(monotonic())

    def _confirm(self) -> None:
        """End the lines whose slots PJSIP has freed since we hung up."""
        in_use = calls_in_use()
        for slot in [slot for slot in self._closing if slot not in in_use]:
            self._closing.pop(slot).finish()

    def wake(self) -> None:
        """From any thread: end the current wait. PJSIP drops datagrams of up to 32 bytes unread."""
        if self._wake is not None:
            try:
                self._wake.send(b"\0")
            except OSError:
                pass  # a full buffer means it is awake already; a closed socket means the endpoint has stopped

    def stop(self) -> None:
        """Destroy everything, in the order that PJSIP tolerates. End the calls first."""
        if self._wake is not None:
            self._wake.close()
            self._wake = None
        for line in (*self._lines.values(), *self._closing.values()):
            line.release()
            line.finish(500, "endpoint stopped")
        self._lines.clear()
        self._closing.clear()
        if self._bridge is not None:
            self._bridge.close()
            self._bridge = None
        if self._account is not None:
            self._account.engine = None
            self._account.shutdown()
            self._account = self._config = None
        if self._endpoint is not None:
            try:
                with pjsip_operation("stop"):
                    self._endpoint.libDestroy(PJSUA_DESTROY_NO_RX_MSG)
            finally:
                self._endpoint = None  # the last reference: PJSIP allows a new endpoint once this is gone

    def invited(self, account: _Account, prm: OnIncomingCallParam) -> None:
        """A new INVITE, which PJSIP has answered with 100."""
        if self._bridge is None:
            return
        slot = prm.callId
        stale = self._closing.pop(slot, None)
        if stale is not None:
            stale.finish()
        request = parse_invite(prm.rdata.wholeMsg)
        line = Line(slot, self._bridge, self._close, self._sockets.closed)
        line.begin(account)
        self._lines[slot] = line
        line.post = self._new_leg(line, request)
        line.media.open()
        self._choose_port()

    def outgoing(self) -> OutgoingLine:
        """A line for `place`."""
        if self._bridge is None:
            raise PjsipError("dial", 0, "the endpoint is not running")
        return OutgoingLine(self._bridge, self._close, self._sockets.closed)

    def place(self, line: OutgoingLine, leg_id: str, edge: tuple[str, int], audio: LegAudio) -> None:
        """Send the line's INVITE. Raises CallLimitReached, MediaPortsExhausted, PjsipError."""
        if self._account is None:
            raise PjsipError("dial", 0, "the endpoint is not running")
        line.place(self._account, leg_id, edge, audio)
        stale = self._closing.pop(line.slot, None)
        if stale is not None:
            stale.finish()
        self._lines[line.slot] = line
        self._choose_port()

    def _choose_port(self) -> None:
        """PJSIP hands out ports in ascending order, so each would reveal the next. Pick a random pair for the next
        call: PJSIP continues from the account's port when that setting changes."""
        account, config = self._account, self._config
        if account is None or config is None:
            return
        media = config.mediaConfig.transportConfig
        place = free_pair(self._settings.first_rtp, self._settings.rtp_pairs, self._settings.rtp_bind)
        first = self._settings.first_rtp + 2 * place
        if media.port != first:
            media.port = first
            media.portRange = max(1, 2 * (self._settings.rtp_pairs - place) - 1)
            with pjsip_operation("choose a port"):
                account.modify(config)

    def _close(self, line: Line) -> None:
        if self._lines.get(line.slot) is line:
            del self._lines[line.slot]
        self._closing[line.slot] = line

    def _create(self) -> None:
        settings = self._settings
        if Engine._last is not None and Engine._last() is not None:
            raise PjsipError("create", 0, "the last endpoint of this process still exists")  # PJSIP would abort
        endpoint = self._endpoint = _PjEndpoint(self._sockets)
        Engine._last = weakref.ref(endpoint)
        with pjsip_operation("create"):
            endpoint.libCreate()
        with pjsip_operation("initialise"):
            endpoint.libInit(_endpoint_config(settings))
        set_g722_level()
        self.call_limit = compiled_call_limit()
        transport = TransportConfig()
        transport.port = settings.sip_port
        transport.boundAddress = settings.sip_host
        with pjsip_operation(f"bind udp://{settings.sip_host}:{settings.sip_port}"):
            transport_id = endpoint.transportCreate(PJSIP_TRANSPORT_UDP, transport)
        with pjsip_operation("start"):
            self.sip_port = int(endpoint.transportGetInfo(transport_id).localName.rpartition(":")[2])
            endpoint.libStart()
            self._bridge = Bridge(endpoint)
            wanted = {CODECS[name]: 255 - place for place, name in enumerate(settings.codecs)}
            for codec in endpoint.codecEnum2():
                endpoint.codecSetPriority(codec.codecId, wanted.get(codec.codecId, 0))
            self._account = _Account(self)
            self._config = _account_config(settings, self.sip_port)
            self._account.create(self._config)
            self._choose_port()
        self._wake = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._wake.setblocking(False)
        self._wake.connect((settings.sip_host, self.sip_port))


def _endpoint_config(settings: EndpointSettings) -> EpConfig:
    config = EpConfig()
    agent = config.uaConfig
    agent.threadCnt = 0  # the owner thread does all the work
    agent.mainThreadOnly = False  # deliver digits at once, on the media thread, not with the next SIP event
    agent.maxCalls = settings.call_limit or _CALLS_ASKED
    agent.userAgent = "Trunkline"
    writer = _Log()
    config.logConfig.level = config.logConfig.consoleLevel = settings.log_level
    config.logConfig.decor = 0
    config.logConfig.msgLogging = 1 if settings.log_level >= 4 else 0
    config.logConfig.writer = writer
    writer.__disown__()  # libDestroy deletes it
    media = config.medConfig
    media.clockRate = media.sndClockRate = 8000
    media.channelCount = 1
    media.audioFramePtime = 20
    media.ptime = 0  # use the peer's packet length, else 20 ms
    media.maxMediaPorts = 64
    media.threadCnt = 1
    media.hasIoqueue = True  # RTP is received on a thread of its own
    media.quality = 3  # the small resampling filter: enough between G.722 and 8 kHz
    media.noVad = True  # keep sending during silence: peers take a gap for a dead call
    media.ecTailLen = 0
    media.sndAutoCloseTime = -1  # the bridge stops its clock itself
    buffer = settings.jitter_buffer
    media.jbInit = media.jbMinPre = buffer.initial_ms
    media.jbMaxPre, media.jbMax = buffer.max_prefetch_ms, buffer.capacity_ms
    return config


def _account_config(settings: EndpointSettings, sip_port: int) -> AccountConfig:
    config = AccountConfig()
    config.idUri = f"sip:trunkline@{settings.sip_host}:{sip_port}"
    config.callConfig.timerUse = PJSUA_SIP_TIMER_INACTIVE  # they are the edge's
    media = config.mediaConfig
    media.lockCodecEnabled = True  # ask a peer that accepts several of our codecs to pick one (RFC 3264, 10.2)
    media.transportConfig.port = settings.first_rtp
    media.transportConfig.portRange = 2 * settings.rtp_pairs - 1
    media.transportConfig.boundAddress = settings.rtp_bind
    media.transportConfig.publicAddress = settings.public_address
    media.transportConfig.qosType = PJ_QOS_TYPE_VOICE
    if settings.srtp:
        media.srtpUse = PJMEDIA_SRTP_OPTIONAL
        media.srtpSecureSignaling = 0
        media.srtpOpt.keyings.push_back(PJMEDIA_SRTP_KEYING_SDES)
        for suite in SRTP_SUITES:
            crypto = SrtpCrypto()
            crypto.name = suite
            media.srtpOpt.cryptos.push_back(crypto)
    return config
