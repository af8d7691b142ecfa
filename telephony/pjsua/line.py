"""One call as PJSIP sees it. Everything here runs on the PJSIP thread, except digits that PJSIP reads (media thread).

`SipCall` is PJSIP's object and its callbacks; `Line` outlives it. PJSIP reuses a call slot as soon as it is
free, and a SipCall that is destroyed later would hang up the slot's next call. So the line lets go of it within the
callback that says the call is over, and nothing else ever refers to it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from time import monotonic

from telephony.call import (
    FirstMedia,
    LegAcknowledged,
    LegAnswered,
    LegEnded,
    LegEvent,
    LegHeld,
    LegResumed,
    MediaStatistics,
)
from telephony.errors import LegEndedError, TelephonyMisuse
from telephony.media.sources import Source
from telephony.pjsua._api import (
    PJMEDIA_DIR_ENCODING,
    PJMEDIA_TYPE_AUDIO,
    PJSIP_INV_STATE_CONFIRMED,
    PJSIP_INV_STATE_DISCONNECTED,
    PJSUA_CALL_MEDIA_ACTIVE,
    PJSUA_CALL_MEDIA_LOCAL_HOLD,
    PJSUA_CALL_MEDIA_REMOTE_HOLD,
    PJSUA_CALL_UNHOLD,
    PJSUA_DTMF_METHOD_SIP_INFO,
    Account,
    CallOpParam,
    CallSendDtmfParam,
    Error,
    OnCallStateParam,
    OnDtmfEventParam,
    SipHeader,
)
from telephony.pjsua.arrivals import HeardPacket
from telephony.pjsua.bridge import AudioPort, Bridge
from telephony.pjsua.cause import from_edge, message_behind, peer_reason
from telephony.pjsua.line_media import LineMedia
from telephony.pjsua.sip_call import SipCall
from telephony.pjsua.translate import pjsip_operation
from telephony.rooms.protocol import LegAudio
from telephony.sip.causes import cause_of, reason_values

__all__ = ["Line"]

log = logging.getLogger(__name__)

_UNPROVEN_S = 0.4  # of audio before the peer has proven that it is there: covers a round trip, too short for a flood
_NOT_ACCEPTABLE = 488
_NO_MEDIA = "our offer was not answered"
_OWN_BYE_S = 0.3  # PJSIP sends a BYE by itself after some answers; don't send a second one
_DTMF_ENDED = 2  # PJMEDIA_STREAM_DTMF_IS_END
_HOLD_RETRY_S = 0.2
_HELD = (PJSUA_CALL_MEDIA_LOCAL_HOLD, PJSUA_CALL_MEDIA_REMOTE_HOLD)


class Line:
    """The life of one PJSIP call. `post` carries events to the loop; the last one is LegEnded."""

    def __init__(
        self, slot: int, bridge: Bridge, closing: Callable[[Line], None], released: Callable[[], None]
    ) -> None:
        self.slot = slot
        self.post: Callable[[LegEvent], None] = lambda event: None
        self.media = LineMedia(slot)
        self._bridge = bridge
        self._closing = closing
        self._released = released
        self._call: SipCall | None = None
        self._port: AudioPort | None = None
        self._answered = False
        self._answered_at = 0.0
        self._announced = False
        self._agreed = False  # an offer has been answered
        self._confirmed = False  # the ACK has come
        self._acknowledged = False  # an ACK or a packet has come
        self._first_media = False
        self._held = False  # by the peer
        self._holds = False  # we have put the peer on hold, or asked for it
        self._wants_to_hold = False
        self._hold_at = 0.0  # earliest time to ask for it
        self._ending: tuple[int, str] | None = None  # status and reason that we end it with
        self._hang_up_at = 0.0  # earliest time to hang up; infinite once done
        self._ended = False

    def begin(self, account: Account) -> None:
        self._call = SipCall(account, self.slot, self)

    @property
    def gone(self) -> bool:
        """Whether PJSIP is done with this line."""
        return self._call is None

    @property
    def awaits_media(self) -> bool:
        return self._announced and not self._first_media and self._call is not None

    @property
    def awaits_acknowledgement(self) -> bool:
        return self._announced and not self._acknowledged and self._call is not None

    # Commands. Each raises LegEndedError when the call is over.

    def ring(self) -> None:
        call = self._alive()
        prm = CallOpParam()
        prm.statusCode = 180
        with pjsip_operation("ring"):
            call.answer(prm)

    def answer(self, audio: LegAudio) -> None:
        call = self._alive()
        if self._answered:
            raise TelephonyMisuse("the leg is already answered")
        prm = CallOpParam()
        prm.statusCode = 200
        with pjsip_operation("answer"):
            self._answered = True
            self._port = self._bridge.take(audio)
            call.answer(prm)
        if self._call is None:
            raise LegEndedError("the leg ended while it was being answered")
        self._announced = True
        self._answered_at = monotonic()
        self.post(LegAnswered(self._answered_at))
        if self._held:
            self.post(LegHeld(monotonic()))

    def end(self, sip_status: int, reason: str) -> None:
        """Refuse or hang up. `sip_status` 0: 480 before the answer, BYE after it. No effect on an ended call."""
        if self._call is None or self._ending is not None:
            return
        if self._answered and sip_status:
            raise TelephonyMisuse("an answered leg cannot be refused")
        self._ending = (sip_status or (200 if self._answered else 480), reason)
        if self._confirmed or not self._answered:
            self._hang_up_at = math.inf
            self._hang_up(self._call, self._ending)
        else:
            self._leave_bridge()  # `settle` does the rest

    def settle(self) -> None:
        """Holds back what must wait for the peer's ACK: a callee sends no BYE before it (RFC 3261 section 15), and no
        more than a moment of audio, so that an INVITE cannot make us flood whoever it names."""
        call = self._call
        if call is None:
            return
        if self._wants_to_hold != self._holds and self._confirmed and self._ending is None:
            self._offer_hold(call)
        if self._confirmed and self._ending is not None:
            if monotonic() >= self._hang_up_at:
                self._hang_up_at = math.inf
                self._hang_up(call, self._ending)
        elif self.awaits_acknowledgement:
            if self._confirmed or self._first_media:
                self._acknowledge()
            elif monotonic() - self._answered_at >= _UNPROVEN_S:
                self.media.pause()

    def _acknowledge(self) -> None:
        self._acknowledged = True
        self.media.resume()
        self.post(LegAcknowledged(monotonic()))

    def _hang_up(self, call: SipCall, ending: tuple[int, str]) -> None:
        status, reason = ending
        prm = CallOpParam()
        if not self._answered:
            prm.statusCode, prm.reason = status, reason
        for value in reason_values(cause_of(status), status if reason else 0, reason):
            header = SipHeader()
            header.hName, header.hValue = "Reason", value
            prm.txOption.headers.push_back(header)
        with pjsip_operation("hang up"):
            call.hangup(prm)

    def dial(self, key: str, duration_ms: int) -> None:
        call = self._alive()
        prm = CallSendDtmfParam()
        prm.digits, prm.duration = key, duration_ms
        with pjsip_operation("send digit"):
            call.sendDtmf(prm)

    def put_on_hold(self, held: bool) -> None:
        """Or take the peer back. Another offer may be under way: `settle` tries again."""
        call = self._alive()
        self._wants_to_hold = held
        if held != self._holds and self._confirmed:
            self._offer_hold(call)

    def _offer_hold(self, call: SipCall) -> None:
        now = monotonic()
        if now < self._hold_at:
            return
        self._hold_at = now + _HOLD_RETRY_S
        try:
            if self._wants_to_hold:
                call.setHold(CallOpParam(True))
            else:
                prm = CallOpParam(True)
                prm.opt.flag = PJSUA_CALL_UNHOLD
                call.reinvite(prm)
        except Error as error:
            log.debug("not put on hold yet: %s", error.reason)
            return
        self._holds = self._wants_to_hold

    def statistics(self) -> MediaStatistics | None:
        return self.media.statistics(self._call)

    def heard(self, rtp: list[HeardPacket], rtcp: list[bytes]) -> None:
        """Events from the peer's packets on our own sockets."""
        if self._call is not None:
            self.media.heard(rtp, rtcp)
            if self.awaits_media and rtp:
                self.look_for_media()

    def stranger(self, source: Source, *, rtcp: bool) -> bool:
        """Another source sends to this leg. Returns whether it counts as the peer from now on."""
        return self._call is not None and self.media.stranger(self._call, source, rtcp=rtcp)

    def look_for_media(self) -> None:
        """Post FirstMedia once the stream has received something."""
        if self._call is not None and self.media.has_received(self._call) and not self._first_media:
            self._first_media = True
            self.post(FirstMedia(monotonic()))

    def finish(
        self,
        sip_status: int | None = None,
        reason: str | None = None,
        *,
        by_peer: bool = False,
        cause: int = 0,
        gave_up: bool = False,
    ) -> None:
        """Post LegEnded, once. Without arguments: with our own status and reason. `cause` 0: that of the status."""
        if self._ended:
            return
        self._ended = True
        own_status, own_reason = self._ending or (0, "")
        own_reason = own_reason or "Normal call clearing"
        status = own_status if sip_status is None else sip_status
        self.post(
            LegEnded(
                at=monotonic(),
                by_peer=by_peer,
                sip_status=status,
                cause=cause or cause_of(status),
                gave_up=gave_up,
                reason=own_reason if reason is None else reason,
                statistics=self.statistics(),
            )
        )

    # Callbacks from PJSIP.

    def state_changed(self, prm: OnCallStateParam) -> None:
        call = self._call
        if call is None:
            return
        info = call.getInfo()
        if info.state == PJSIP_INV_STATE_CONFIRMED:
            self._confirmed = True
            if not self._agreed and self._ending is None:  # the ACK had no usable answer to our offer in the 200
                self._ending = (_NOT_ACCEPTABLE, _NO_MEDIA)
                self._hang_up_at = monotonic() + _OWN_BYE_S
                self._leave_bridge()  # `settle` does the rest
        if info.state != PJSIP_INV_STATE_DISCONNECTED:
            return
        self.release()
        if self._ending is not None:
            self._closing(self)  # LegEnded follows when the peer has answered and PJSIP frees the slot
            return
        status = info.lastStatusCode
        by_peer = status in (200, 487)  # BYE, CANCEL; anything else is PJSIP giving up (408: no ACK came)
        by_peer = by_peer and not from_edge(message_behind(prm))
        if self._announced and by_peer and not self._acknowledged:
            self._acknowledge()  # a peer that sends a BYE has received our answer
        why = peer_reason(prm)
        self.finish(status, why.text or info.lastReason, by_peer=by_peer, cause=why.cause)

    def media_changed(self) -> None:
        call = self._call
        if call is None:
            return
        info = call.getInfo()  # keep a reference: its members are freed with it
        for media in info.media:
            if media.type != PJMEDIA_TYPE_AUDIO or media.status not in (PJSUA_CALL_MEDIA_ACTIVE, *_HELD):
                continue
            self._agreed = True
            try:
                self.media.agreed(call, media.index)
            except Error as error:
                log.debug("no stream to look at: %s", error.reason)
            ours = media.status == PJSUA_CALL_MEDIA_LOCAL_HOLD
            held = media.status == PJSUA_CALL_MEDIA_REMOTE_HOLD or not media.dir & PJMEDIA_DIR_ENCODING
            self._join(call, media.index, heard=not held and not ours, hears=not held)
            self._note_hold(held)
            return

    def stream_created(self, index: int, stream: int) -> None:
        self.media.created(index, stream)

    def stream_ends(self, index: int) -> None:
        call = self._call
        if call is None or index != self.media.index:
            return
        if self.awaits_media:
            self.look_for_media()
        self.media.ends(call, index)

    def digit_received(self, prm: OnDtmfEventParam) -> None:
        """On the media thread, for RFC 4733 in SRTP; all other key packets come to our own socket. The edge handles
        INFO, so none arrives here."""
        if prm.method == PJSUA_DTMF_METHOD_SIP_INFO:
            return
        ended = bool(prm.flags & _DTMF_ENDED)
        pressed = self.media.secure_key(prm.digit, prm.timestamp, prm.duration, ended=ended, at=monotonic())
        if pressed is not None:
            self.post(pressed)

    def release(self) -> None:
        """Let go of PJSIP's objects: the SipCall is destroyed when its callback returns."""
        call, self._call = self._call, None
        if call is not None:
            call.line = None
            self._released()
        self._leave_bridge()

    def _leave_bridge(self) -> None:
        port, self._port = self._port, None
        if port is not None:
            self._bridge.give_back(port, monotonic())

    def _alive(self) -> SipCall:
        if self._call is None:
            raise LegEndedError("the leg has ended")
        return self._call

    def _join(self, call: SipCall, index: int, *, heard: bool, hears: bool) -> None:
        """Whether the peer is heard and hears us. The agent must not hear hold music; the port keeps ticking with
        silence."""
        port = self._port
        if port is None or self.media.index is None:  # an inactive stream is not in the bridge
            return
        try:
            media = call.getAudioMedia(index)
            for source, sink, joined in ((media, port, heard), (port, media, hears)):
                if joined:
                    source.startTransmit(sink)
                else:
                    source.stopTransmit(sink)
        except Error as error:
            if heard or hears:
                log.error("joining the call to the bridge failed: %s", error.reason)

    def _note_hold(self, held: bool) -> None:
        if held != self._held:
            self._held = held
            now = monotonic()
            if self._announced:
                self.post(LegHeld(now) if held else LegResumed(now))
