"""The endpoint of a call worker: one PJSIP in one process, seen from asyncio."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from telephony.call import CallInfo, LegEvent
from telephony.errors import TelephonyError, TelephonyMisuse
from telephony.pjsua.engine import Engine
from telephony.pjsua.leg import IncomingLeg, PjsipLeg
from telephony.pjsua.line import Line
from telephony.pjsua.outgoing import OutgoingLeg
from telephony.pjsua.owner import OwnerThread
from telephony.pjsua.request import IncomingRequest
from telephony.pjsua.settings import EndpointSettings
from telephony.rooms.protocol import LegAudio

__all__ = ["Endpoint"]

log = logging.getLogger(__name__)


class Endpoint:
    """Takes calls on a loopback SIP port. `on_incoming` is called on the loop for each call and may answer or refuse
    later.

    One per process at a time; after `close`, another may start. PJSIP does not survive a fork, so fork first.
    """

    _running = False  # PJSIP keeps one set of globals per process

    def __init__(self, settings: EndpointSettings, on_incoming: Callable[[IncomingLeg], None]) -> None:
        self._settings = settings
        self._on_incoming = on_incoming
        self._engine = Engine(settings, self._new_leg)
        self._owner: OwnerThread | None = None
        self._legs: set[PjsipLeg] = set()
        self._arrived = 0  # calls that came in; counted on the PJSIP thread
        self._announced = 0  # of these, the ones that `on_incoming` knows; counted on the loop
        self._refusals: set[asyncio.Task[None]] = set()

    @property
    def sip_port(self) -> int:
        """The UDP port that was bound; 0 before `start`."""
        return self._engine.sip_port

    @property
    def call_limit(self) -> int:
        """How many calls PJSIP can hold, probed at `start`. PJSIP answers 486 to any call beyond that."""
        return min(self._engine.call_limit, self._settings.rtp_pairs)

    @property
    def slots_in_use(self) -> int:
        """Calls that PJSIP holds, including those whose BYE the peer has not answered (up to 32 s), without those that
        `on_incoming` has not been called for yet."""
        return self._engine.slots_in_use - (self._arrived - self._announced)

    async def start(self) -> None:
        """Raises PortTaken when the SIP port is in use, PjsipError for any other failure."""
        if Endpoint._running:
            raise TelephonyMisuse("this process already has a PJSIP endpoint")
        Endpoint._running = True
        owner = self._owner = OwnerThread(self._engine)
        try:
            await owner.start()
        except BaseException:
            self._owner = None
            Endpoint._running = False
            raise

    async def close(self) -> None:
        """Hang up remaining calls (2 s at most) and stop PJSIP. Idempotent."""
        owner, self._owner = self._owner, None
        if owner is None:
            return
        ends = [leg.hang_up("endpoint closes") for leg in list(self._legs)]
        for failure in await asyncio.gather(*ends, return_exceptions=True):
            if isinstance(failure, BaseException):
                log.warning("a leg did not end cleanly: %s", failure)
        await owner.stop()
        Endpoint._running = False

    async def dial(self, leg_id: str, info: CallInfo, edge: tuple[str, int], audio: LegAudio) -> OutgoingLeg:
        """Place a leg that the gateway has allowed by this id; `edge` is its address for workers. `audio` is
        joined from the first media on, including early media. The leg's events tell how the call goes.

        Raises CallLimitReached, MediaPortsExhausted or PjsipError, and TelephonyMisuse before `start`."""
        owner = self._owner
        if owner is None:
            raise TelephonyMisuse("the endpoint has not been started")
        leg = await owner.call(partial(self._place, owner, leg_id, info, edge, audio))
        if not leg.ended:
            self._legs.add(leg)
        return leg

    def _place(
        self, owner: OwnerThread, leg_id: str, info: CallInfo, edge: tuple[str, int], audio: LegAudio
    ) -> OutgoingLeg:
        """On the PJSIP thread."""
        line = self._engine.outgoing()
        leg = OutgoingLeg(info, line, owner.call, owner.submit)
        line.media.watch = partial(owner.post, leg.watch)
        line.post = partial(owner.post, self._deliver, leg)
        self._engine.place(line, leg_id, edge, leg.in_band.over(audio))
        return leg

    def _new_leg(self, line: Line, request: IncomingRequest) -> Callable[[LegEvent], None]:
        """On the PJSIP thread."""
        owner = self._owner
        if owner is None:
            return lambda event: None
        leg = IncomingLeg(request, line, owner.call, owner.submit)
        line.media.watch = partial(owner.post, leg.watch)
        self._arrived += 1
        owner.post(self._announce, leg)
        return lambda event: owner.post(self._deliver, leg, event)

    def _announce(self, leg: IncomingLeg) -> None:
        self._legs.add(leg)
        self._announced += 1
        try:
            self._on_incoming(leg)
        except Exception:
            log.exception("accepting a call failed")
            refusal = asyncio.ensure_future(self._refuse(leg))
            self._refusals.add(refusal)
            refusal.add_done_callback(self._refusals.discard)

    def _deliver(self, leg: PjsipLeg, event: LegEvent) -> None:
        leg.deliver(event)
        if leg.ended:
            self._legs.discard(leg)

    async def _refuse(self, leg: IncomingLeg) -> None:
        try:
            await leg.reject(500, "Server Internal Error")
        except TelephonyError as error:
            log.error("refusing a call failed: %s", error)
