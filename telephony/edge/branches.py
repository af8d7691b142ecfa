"""Branches and tags that are computed (RFC 3261 section 16.11).

The branch of a forwarded request is a keyed hash of its transaction's identity, so that a retransmission, its
CANCEL and its ACK get the same one. The key is random at startup, so that no one can forge our branches.
"""

from __future__ import annotations

import hashlib

from telephony.sip.parse import Message, Via

__all__ = ["Branches"]

_PREFIX = "z9hG4bKtl"


class Branches:
    def __init__(self, key: bytes) -> None:
        self._key = key

    def _digest(self, *parts: str) -> str:
        text = "\0".join(parts).encode("utf-8", "surrogateescape")
        return hashlib.blake2b(text, key=self._key, digest_size=12).hexdigest()

    def forwarded(self, message: Message, *, from_worker: bool = False) -> str:
        """The branch for forwarding this request; for an ACK or CANCEL, that of its INVITE."""
        via, side = message.via, "worker" if from_worker else "caller"
        digest = self._digest(side, via.branch, via.sent_by, message.call_id, str(message.cseq), message.from_tag)
        return f"{_PREFIX}{digest}"

    def to_tag(self, call_id: str, from_tag: str, via: Via) -> str:
        """The To tag of an answer of ours: the same for each retransmission (RFC 3261 section 8.2.7)."""
        return "tl" + self._digest("tag", call_id, from_tag, via.branch)

    def public_tag(self, leg_id: str) -> str:
        """The From tag that replaces the caller's towards a worker."""
        return "c" + self._digest("caller", leg_id)

    def public_call_id(self, leg_id: str, worker_call_id: str) -> str:
        """The Call-ID of a call that a worker places, as the outside knows it."""
        return self._digest("call", leg_id, worker_call_id)

    def token(self, number: int) -> str:
        """A client nonce, or a nonce's salt: unguessable, and `number` never repeats."""
        return self._digest("token", str(number))

    def own(self, call_id: str, number: int) -> str:
        """The branch of one of the edge's own requests."""
        return f"z9hG4bKtlo{self._digest('own', call_id, str(number))}"
