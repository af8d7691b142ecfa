"""One call of a phone, placed or received."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Literal

from telephony.errors import TelephonyMisuse
from telephony.phone.audio import CallAudio, PlayHandle
from telephony.phone.dialog import Dialog, Received, next_hop, respond
from telephony.phone.errors import BadPeerMessage, CallFailed
from telephony.phone.invite_answers import InviteAnswers
from telephony.phone.rtp import ReceivedPackets
from telephony.phone.sdp import MediaDirection, describe, understand
from telephony.phone.signaling import CallEnded, InDialogRequest, Signaling
from telephony.phone.transaction import ClientTransaction
from telephony.phone.transport import Address
from telephony.sip.new_request import NewRequest
from telephony.sip.parse import Response

__all__ = ["PhoneCall"]

_MIRRORED: dict[MediaDirection, MediaDirection] = {
    "sendrecv": "sendrecv",
    "sendonly": "recvonly",
    "recvonly": "sendonly",
    "inactive": "inactive",
}


class PhoneCall:
    """Times are seconds of the loop clock (`time.monotonic`). Created by `Phone`."""

    def __init__(self, phone: Signaling, dialog: Dialog, *, outgoing: bool, dtx: bool, peer: tuple[str, int]) -> None:
        self._loop = asyncio.get_running_loop()
        self._phone = phone
        self.dialog = dialog
        self.peer = peer  # where the transport sends, unless there is a route
        self.outgoing = outgoing
        self.audio = CallAudio(phone.host, phone.codecs, dtx=dtx)
        self.direction: MediaDirection = "sendrecv"
        self._sdp_version = 0
        self.invite: NewRequest | None = None  # of an outgoing call
        self.asked: Received | None = None  # the INVITE of an incoming one
        self.invited_at = self._loop.time()
        self.provisionals: list[tuple[int, float]] = []
        self.ringing_at: float | None = None
        self.answered_at: float | None = None
        self.requests: list[InDialogRequest] = []
        self.ended: asyncio.Future[CallEnded] = self._loop.create_future()
        self._answered: asyncio.Future[None] = self._loop.create_future()
        self._answered.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._acks: dict[int, NewRequest] = {}  # by CSeq number of the INVITE
        self._cancelled = False
        self._challenged = False
        self._hanging_up: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._answers = InviteAnswers(phone, dialog, self.ended.done)
        self._inviting: ClientTransaction | None = None

    # --- what a test or measurement does with a call ---

    @property
    def setup_ms(self) -> float | None:
        """INVITE sent to 200 received; None before."""
        return None if self.answered_at is None else (self.answered_at - self.invited_at) * 1000

    @property
    def received(self) -> ReceivedPackets:
        return self.audio.received

    @property
    def call_id(self) -> str:
        """The SIP Call-ID."""
        return self.dialog.call_id

    async def answered(self) -> None:
        """Wait for the answer. Raises CallFailed."""
        await asyncio.shield(self._answered)

    def play(self, pcm: bytes) -> PlayHandle:
        """Play 8 kHz 16-bit audio. Raises TelephonyMisuse before the call is answered."""
        self._check_up()
        return self.audio.play(pcm)

    async def send_digits(self, digits: str, *, duration_ms: int = 160, gap_ms: int = 80) -> None:
        """See `CallAudio.send_digits`."""
        self._check_up()
        await self.audio.send_digits(digits, duration_ms=duration_ms, gap_ms=gap_ms)

    async def hang_up(self) -> CallEnded:
        """BYE (CANCEL or 603 before the answer); returns when the call is over. Idempotent."""
        if not self.ended.done() and self._hanging_up is None:
            self._hanging_up = asyncio.create_task(self._hang_up())
        return await self.wait_bye()

    async def cancel(self) -> CallEnded:
        """Cancel an unanswered call; if an answer crosses the CANCEL, hang up."""
        if not self.outgoing or self.answered_at is not None:
            raise TelephonyMisuse("only an unanswered outgoing call can be cancelled")
        return await self.hang_up()

    async def wait_bye(self) -> CallEnded:
        """Wait until the call ends, whoever ends it."""
        ended = await asyncio.shield(self.ended)
        if self._closing is not None:
            await asyncio.shield(self._closing)
        return ended

    async def hold(self, direction: MediaDirection = "sendonly") -> None:
        """Re-INVITE with another direction. Raises CallFailed."""
        await self._reinvite(direction)

    async def resume(self) -> None:
        """Re-INVITE back to both directions. Raises CallFailed."""
        await self._reinvite("sendrecv")

    async def ring(self) -> None:
        """Answer 180 to an incoming call."""
        self._respond_to_invite(180, "Ringing")

    async def early_media(self) -> None:
        """Answer 183 with our SDP, and send and receive audio from now on. Raises BadPeerMessage when the peer's SDP
        cannot be used."""
        assert self.asked is not None
        self.audio.use(understand(self.asked.text, self._phone.codecs))
        self._respond_to_invite(183, "Session Progress", self.describe())
        self.audio.begin(self.direction)

    async def answer(self) -> None:
        """Answer 200 to an incoming call. Raises BadPeerMessage when its SDP cannot be used."""
        assert self.asked is not None
        if self.asked.message.body:
            self.audio.use(understand(self.asked.text, self._phone.codecs))
        self._respond_to_invite(200, "OK", self.describe())
        self._up()

    async def reject(self, status: int = 603, reason: str = "Decline") -> None:
        """Refuse an incoming call."""
        self._respond_to_invite(status, reason)
        self.end(CallEnded("us", self._loop.time(), status, reason))

    # --- outgoing calls ---

    def describe(self) -> bytes:
        """Our next offer or answer."""
        self._sdp_version += 1
        codecs = self._phone.codecs if self.audio.remote is None else (self.audio.codec.name,)
        return describe(self._phone.host, self.audio.port, codecs, version=self._sdp_version, direction=self.direction)

    def send_invite(self, headers: Mapping[str, str]) -> None:
        self.invite = self.dialog.request("INVITE", body=self.describe(), headers=headers)
        self.invited_at = self._loop.time()
        self._transact_invite(self.invite)

    def _transact_invite(self, invite: NewRequest) -> None:
        self._inviting = self._phone.transact(invite, self._hop(invite), self._on_invite_response)
        self._inviting.final.add_done_callback(self._on_invite_final)

    def _on_invite_response(self, response: Response) -> None:
        assert self.invite is not None
        status, now = response.status, self._loop.time()
        if status >= 300:
            ack = Dialog.same_transaction(self.invite, "ACK", response.value("to"))
            self._phone.send(ack, self._hop(ack))
        elif status >= 200:
            self._answered_by(response, now)
        else:
            self.provisionals.append((status, now))
            if status in (180, 183) and self.ringing_at is None:
                self.ringing_at = now
            if status > 100 and response.body and self.audio.remote is None:
                self._use(_text(response))  # early media
            if self._cancelled and len(self.provisionals) == 1:
                self._send_cancel()

    def _answered_by(self, response: Response, now: float) -> None:
        number = response.cseq
        if number in self._acks:
            self._phone.send(self._acks[number], self._hop(self._acks[number]))  # our ACK was lost
            return
        try:
            self.dialog.established(response)
        except BadPeerMessage as error:
            self._fail(CallFailed(500, str(error)))
            return
        self._acknowledge(number)
        self.answered_at = now
        if self._cancelled:
            self._hanging_up = asyncio.create_task(self._bye())
        elif not response.body and self.audio.remote is not None:
            self._up()  # the SDP came with a 183
        elif self._use(_text(response)):
            self._up()
        else:
            self._hanging_up = asyncio.create_task(self._bye())

    def _on_invite_final(self, final: asyncio.Future[Response | None]) -> None:
        response = final.result()
        if response is None and self._inviting is not None and self._inviting.refused:
            self._fail(CallFailed(503, "nobody listens at {}:{}".format(*self.peer)))  # RFC 3261 section 8.1.3.1
        elif response is None:
            self._fail(CallFailed(408, "no answer to the INVITE"))
        elif response.status >= 300 and not self._try_again(response):
            retry_after = response.value("retry-after").split(";")[0].split("(")[0].strip()
            self._fail(
                CallFailed(
                    response.status,
                    response.reason,
                    response.value("reason"),
                    int(retry_after) if retry_after.isdigit() else None,
                )
            )

    def _try_again(self, challenge: Response) -> bool:
        """Answer a 401 or 407, once (RFC 3261 section 22.2)."""
        if challenge.status not in (401, 407) or self._challenged or self._cancelled or self.invite is None:
            return False
        self._challenged = True
        again = self.dialog.request("INVITE", body=self.invite.body)
        again.put_all({n: value for n, value in self.invite.fields if n.lower().startswith(("x-", "p-"))})
        if not self._phone.authorize(again, challenge):
            return False
        self.invite = again
        self._transact_invite(again)
        return True

    # --- the ends of a call ---

    def end(self, ended: CallEnded) -> None:
        """The call is over; the first reason counts."""
        if self.ended.done():
            return
        self.ended.set_result(ended)
        if not self._answered.done():
            self._answered.set_exception(CallFailed(ended.status, ended.reason))
        self._closing = asyncio.create_task(self._close())

    def abandon(self) -> None:
        """The phone closes: the call is over, whatever the peer does."""
        self.end(CallEnded("us", self._loop.time(), 408, "the phone was closed"))

    async def _close(self) -> None:
        await self.audio.close()
        if not self._answers.awaiting_ack:  # otherwise stay reachable for it
            self._phone.forget(self.dialog)

    def _fail(self, failed: CallFailed) -> None:
        if not self._answered.done():
            self._answered.set_exception(failed)
        by: Literal["us", "failed"] = "us" if self._cancelled else "failed"
        self.end(CallEnded(by, self._loop.time(), failed.status, failed.reason_header or failed.reason))

    async def _hang_up(self) -> None:
        if self.answered_at is not None:
            await self._bye()
        elif self.outgoing:
            self._cancelled = True
            if self.provisionals:
                self._send_cancel()  # otherwise after the first provisional response (RFC 3261 section 9.1)
        else:
            await self.reject()

    def _send_cancel(self) -> None:
        assert self.invite is not None
        cancel = Dialog.same_transaction(self.invite, "CANCEL")
        self._phone.transact(cancel, self._hop(cancel))

    async def _bye(self) -> None:
        self.audio.begin("inactive")
        bye = self.dialog.request("BYE")
        response = await self._phone.transact(bye, self._hop(bye)).final
        status = response.status if response is not None else 408
        self.end(CallEnded("us", self._loop.time(), status, response.reason if response else "no answer to BYE"))

    def _hop(self, request: NewRequest) -> Address:
        """Over TCP always the call's connection, over UDP the first route."""
        if self._phone.reliable or (request.method in ("INVITE", "CANCEL") and self.answered_at is None):
            return self.peer
        return next_hop(request)

    # --- during a call ---

    def _check_up(self) -> None:
        if self.answered_at is None or self.ended.done():
            raise TelephonyMisuse("the call is not answered" if not self.ended.done() else "the call has ended")

    def _up(self) -> None:
        if self.answered_at is None:
            self.answered_at = self._loop.time()
        self.audio.begin(self.direction)
        if not self._answered.done():
            self._answered.set_result(None)

    def _use(self, sdp: str) -> bool:
        try:
            self.audio.use(understand(sdp, self._phone.codecs))
        except BadPeerMessage as error:
            self._fail(CallFailed(488, str(error)))
            return False
        return True

    def _acknowledge(self, number: int) -> None:
        self._acks[number] = self.dialog.request("ACK", sequence=number)
        self._phone.send(self._acks[number], self._hop(self._acks[number]))

    async def _reinvite(self, direction: MediaDirection) -> None:
        self._check_up()
        before, self.direction = self.direction, direction
        invite = self.dialog.request("INVITE", body=self.describe())
        number = self.dialog.sequence

        def on_response(response: Response) -> None:
            if response.status >= 300:
                ack = Dialog.same_transaction(invite, "ACK", response.value("to"))
                self._phone.send(ack, self._hop(ack))
            elif response.status >= 200:
                if number in self._acks:
                    self._phone.send(self._acks[number], self._hop(self._acks[number]))
                else:
                    self.dialog.retargeted(response)
                    self._acknowledge(number)

        response = await self._phone.transact(invite, self._hop(invite), on_response).final
        if response is None or response.status >= 300:
            self.direction = before
            if response is None:
                raise CallFailed(408, "no answer to the re-INVITE")
            raise CallFailed(response.status, response.reason, response.value("reason"))
        self.audio.use(understand(_text(response), self._phone.codecs))
        self.audio.begin(direction)

    def _respond_to_invite(self, status: int, reason: str, body: bytes = b"") -> None:
        if self.outgoing or self.asked is None or self.answered_at is not None or self.ended.done():
            raise TelephonyMisuse("only an incoming call that waits for an answer can be answered")
        self._answers.send(self.asked, status, reason, body)

    def stop_answering(self) -> None:
        """Give up waiting for an ACK."""
        self._answers.stop()

    def on_request(self, request: Received) -> None:
        """A request from the peer within the call."""
        now = self._loop.time()
        headers = {name: values[0] for name, values in request.message.headers.items() if values}
        self.requests.append(InDialogRequest(now, request.method, headers, request.text))
        if request.method == "ACK":
            self._answers.stop()
            if self.ended.done():
                self._phone.forget(self.dialog)
            elif self.audio.remote is None and request.message.body and self._use(request.text):  # the offer was ours
                self.audio.begin(self.direction)
            return
        if request.method == "BYE":
            self._phone.reply(request, respond(request, 200, "OK", to_tag=self.dialog.tag))
            self.end(CallEnded("peer", now, 200, request.value("reason")))
            return
        if request.method in ("INVITE", "UPDATE"):
            self._renegotiated(request)
            return
        status, reason = (202, "Accepted") if request.method == "REFER" else (200, "OK")
        self._phone.reply(
            request, respond(request, status, reason, to_tag=self.dialog.tag, contact=self.dialog.contact)
        )

    def _renegotiated(self, request: Received) -> None:
        self.dialog.retargeted(request.message)
        status, reason, body = 200, "OK", b""
        if request.message.body:
            try:
                remote = understand(request.text, self._phone.codecs)
                self.audio.use(remote)
            except BadPeerMessage:
                status, reason = 488, "Not Acceptable Here"
            else:
                self.direction = _MIRRORED[remote.direction]
                body = self.describe()
                self.audio.begin(self.direction)
        elif request.method == "INVITE":
            body = self.describe()
        if request.method == "INVITE":
            self._answers.send(request, status, reason, body)
        else:
            response = respond(request, status, reason, to_tag=self.dialog.tag, contact=self.dialog.contact, body=body)
            self._phone.reply(request, response)

    def on_cancel(self) -> None:
        """The peer cancelled an incoming call."""
        assert self.asked is not None
        self._answers.send(self.asked, 487, "Request Terminated")
        self.end(CallEnded("peer", self._loop.time(), 487, "Request Terminated"))


def _text(response: Response) -> str:
    return response.body.decode("utf-8", "replace")
