"""Answers to the peer's INVITE and re-INVITEs."""

from __future__ import annotations

from collections.abc import Callable

from telephony.phone.dialog import Dialog, Received, respond
from telephony.phone.signaling import Signaling
from telephony.phone.transaction import FinalAnswer

__all__ = ["InviteAnswers"]


class InviteAnswers:
    """Final answers are repeated until the ACK arrives (RFC 3261 sections 13.3.1.4 and 17.2.1)."""

    def __init__(self, phone: Signaling, dialog: Dialog, call_ended: Callable[[], bool]) -> None:
        self._phone = phone
        self._dialog = dialog
        self._call_ended = call_ended
        self._final: FinalAnswer | None = None

    @property
    def awaiting_ack(self) -> bool:
        return self._final is not None

    def send(self, invite: Received, status: int, reason: str, body: bytes = b"") -> None:
        response = respond(invite, status, reason, to_tag=self._dialog.tag, contact=self._dialog.contact, body=body)
        if status < 200:
            self._phone.reply(invite, response)
            return
        self.stop()
        self._final = FinalAnswer(
            status,
            lambda: self._phone.reply(invite, response),
            lambda: self._phone.forget(self._dialog) if self._call_ended() else None,
            reliable=self._phone.reliable,
            timers=self._phone.timers,
        )

    def stop(self) -> None:
        """The ACK has come, or is no longer waited for."""
        if self._final is not None:
            self._final.stop()
            self._final = None
