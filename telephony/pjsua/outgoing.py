"""A call that we place: its line on the PJSIP thread, its leg on the asyncio loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any
from urllib.parse import quote

from telephony.call import CallInfo, LegAcknowledged, LegAnswered, LegHeld, LegRinging
from telephony.errors import PjsipError, TelephonyMisuse
from telephony.pjsua._api import (
    PJSIP_INV_STATE_CONFIRMED,
    PJSIP_INV_STATE_DISCONNECTED,
    PJSIP_INV_STATE_EARLY,
    Account,
    CallOpParam,
    OnCallStateParam,
    SipHeader,
)
from telephony.pjsua.cause import from_edge, message_behind, peer_reason
from telephony.pjsua.leg import PjsipLeg
from telephony.pjsua.line import Line
from telephony.pjsua.request import suppresses_silence
from telephony.pjsua.sip_call import SipCall
from telephony.pjsua.translate import pjsip_operation
from telephony.rooms.protocol import LegAudio

__all__ = ["LEG_HEADER", "OutgoingLeg", "OutgoingLine"]

LEG_HEADER = "X-Trunkline-Leg"  # identifies the call that the gateway has allowed
_CANCELLED = 487
_UNASSIGNED = -1


class OutgoingLine(Line):
    """A line that sends the INVITE. It joins its room's audio from the first media on, including early media."""

    def __init__(self, *how: Any) -> None:
        super().__init__(_UNASSIGNED, *how)
        self.peer_suppresses_silence = False
        self._rang = False
        self._early_media = False

    def place(self, account: Account, leg_id: str, edge: tuple[str, int], audio: LegAudio) -> None:
        """Send the INVITE to the edge. Raises CallLimitReached, MediaPortsExhausted, PjsipError."""
        header = SipHeader()
        header.hName, header.hValue = LEG_HEADER, leg_id
        prm = CallOpParam(True)
        prm.txOption.headers.push_back(header)
        call = self._call = SipCall(account, _UNASSIGNED, self)
        self._port = self._bridge.take(audio)
        try:
            with pjsip_operation("dial"):
                call.makeCall(f"sip:{quote(leg_id, safe='-.')}@{edge[0]}:{edge[1]}", prm)
            if self._call is None:
                raise PjsipError("dial", 0, "the call ended at once")
            self.slot = call.getId()
            self.media.use_slot(self.slot)
            self.media.open()
        except BaseException:
            self.release()
            raise

    def end(self, sip_status: int, reason: str) -> None:
        """CANCEL, or BYE once it has been answered."""
        super().end(0 if self._answered else _CANCELLED, reason)

    def state_changed(self, prm: OnCallStateParam) -> None:
        call = self._call
        if call is None:
            return
        info = call.getInfo()
        if info.state == PJSIP_INV_STATE_EARLY:
            self._rings(info.lastStatusCode, early_media=bool(_body(prm)))
        elif info.state == PJSIP_INV_STATE_CONFIRMED and not self._answered:
            self.media.answered(call)
            self._picked_up()
        elif info.state == PJSIP_INV_STATE_DISCONNECTED and not self._answered and self._ending is None:
            self.release()
            why = peer_reason(prm)
            message = message_behind(prm)
            ours = from_edge(message)
            text = why.text or info.lastReason
            by_peer = bool(message) and not ours
            self.finish(info.lastStatusCode, text, by_peer=by_peer, cause=why.cause, gave_up=ours)
        else:
            if body := _body(prm):
                self.peer_suppresses_silence = suppresses_silence(body)
            super().state_changed(prm)

    def _rings(self, sip_status: int, *, early_media: bool) -> None:
        if self._rang and (self._early_media or not early_media):
            return
        self._rang = True
        self._early_media = self._early_media or early_media
        self.post(LegRinging(monotonic(), sip_status, self._early_media))

    def _picked_up(self) -> None:
        """PJSIP has received the 2xx and sent its ACK."""
        self._answered = self._confirmed = self._announced = self._acknowledged = True
        now = monotonic()
        self._answered_at = now
        self.post(LegAnswered(now))
        self.post(LegAcknowledged(now))
        if self._held:
            self.post(LegHeld(now))


class OutgoingLeg(PjsipLeg):
    """An outgoing INVITE; implements `telephony.call.Leg`. `hang_up` before the answer cancels it."""

    def __init__(
        self,
        info: CallInfo,
        line: OutgoingLine,
        perform: Callable[[Callable[[], object]], Awaitable[object]],
        submit: Callable[[Callable[[], object]], None],
    ) -> None:
        super().__init__(line, perform, submit)
        self._info = info
        self._outgoing = line

    @property
    def suppresses_silence(self) -> bool:
        return self._outgoing.peer_suppresses_silence

    async def ring(self) -> None:
        raise TelephonyMisuse("an outbound leg cannot be made to ring")

    async def answer(self, audio: LegAudio) -> None:
        raise TelephonyMisuse("an outbound leg is answered by its peer")

    async def reject(self, sip_status: int, reason: str = "") -> None:
        raise TelephonyMisuse("an outbound leg cannot be refused: hang it up")


def _body(prm: OnCallStateParam) -> str:
    return message_behind(prm).replace("\r\n", "\n").partition("\n\n")[2].strip()
