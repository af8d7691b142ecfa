"""INVITEs already seen, so that their retransmissions, ACKs and CANCELs are treated like the first one.

Not a transaction layer: no timer runs here. A retransmission of an INVITE with a final answer gets that answer again.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from telephony.edge.dialogs import Dialog, Reply
from telephony.sip.parse import Message, Via

__all__ = ["Attempt", "AttemptKey", "AttemptTable", "attempt_key", "attempt_key_of"]

AttemptKey = tuple[str, str, int, str, str, str]


def attempt_key(message: Message, via: Via, ip: str) -> AttemptKey:
    """INVITE, its ACK (if not answered 2xx) and its CANCEL share these (RFC 3261 sections 9.1, 17.1.1.3). `ip` is the
    source address, so that no one else is taken for the caller."""
    return (ip, message.call_id, message.cseq, message.from_tag, via.branch, via.sent_by)


def attempt_key_of(dialog: Dialog, reply: Reply) -> AttemptKey:
    """Of the INVITE that made the dialog."""
    via = reply.via
    return (reply.received_from[0], dialog.sip_call_id, dialog.invite_cseq, dialog.public.tag, via.branch, via.sent_by)


@dataclass(slots=True)
class Attempt:
    dialog: Dialog | None  # None: refused by us
    branch: str  # ours, towards the worker
    seen_at: float
    final: bytes = b""  # the final answer as it was sent to the caller
    answered_by_us: bool = False


class AttemptTable:
    """Bounded: the oldest are dropped first. `kept_s`: how long an attempt is kept after its final answer."""

    def __init__(self, limit: int, kept_s: float) -> None:
        self._limit = limit
        self._kept_s = kept_s
        self._attempts: OrderedDict[AttemptKey, Attempt] = OrderedDict()

    def __len__(self) -> int:
        return len(self._attempts)

    def get(self, key: AttemptKey) -> Attempt | None:
        return self._attempts.get(key)

    def add(self, key: AttemptKey, attempt: Attempt) -> None:
        self._attempts[key] = attempt
        self._attempts.move_to_end(key)
        if len(self._attempts) > self._limit:
            self._attempts.popitem(last=False)

    def finished(self, key: AttemptKey, now: float) -> None:
        """It has its final answer: keep it for another `kept_s`."""
        self._attempts[key].seen_at = now
        self._attempts.move_to_end(key)

    def expire(self, now: float) -> None:
        """Forget old attempts; one whose call is still unanswered goes to the end of the queue."""
        while self._attempts:
            key, attempt = next(iter(self._attempts.items()))
            if now - attempt.seen_at < self._kept_s:
                return
            del self._attempts[key]
            if not attempt.final and attempt.dialog is not None and attempt.dialog.live:
                attempt.seen_at = now
                self._attempts[key] = attempt
