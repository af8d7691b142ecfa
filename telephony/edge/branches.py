"""Branches and tags that are computed, not remembered (RFC 3261 section 16.11).

The branch of a forwarded request is a keyed hash of what identifies its transaction, so that a retransmission, its
CANCEL and its ACK get the same one; the flow that it came in on stands before the hash. The key is drawn at start:
a response whose top branch does not fit its next Via is not an answer to anything that we forwarded.
"""

from __future__ import annotations

import hashlib
import hmac

from telephony.edge.parse import Message, Via

__all__ = ["Branches"]

_PREFIX = "z9hG4bKtl"


class Branches:
    def __init__(self, key: bytes) -> None:
        self._key = key

    def _digest(self, *parts: str) -> str:
        text = "\0".join(parts).encode("utf-8", "surrogateescape")
        return hashlib.blake2b(text, key=self._key, digest_size=12).hexdigest()

    def forwarded(self, message: Message, via: Via, listener: int, connection: int) -> str:
        """For a message whose Via below ours is `via`; the flow is where its answer leaves. `listener` -1: a worker."""
        flow = f"{listener}.{connection}"
        digest = self._digest(flow, via.branch, via.sent_by, message.call_id, str(message.cseq), message.from_tag)
        return f"{_PREFIX}{flow}.{digest}"

    def flow_of(self, branch: str) -> tuple[int, int] | None:
        """(listener, connection) of one of our branches; None: it is none of ours."""
        flow = branch.removeprefix(_PREFIX).split(".")
        if not branch.startswith(_PREFIX) or len(flow) != 3:
            return None
        try:
            return int(flow[0]), int(flow[1])
        except ValueError:
            return None

    def fits(self, branch: str, message: Message, via: Via) -> bool:
        flow = self.flow_of(branch)
        return flow is not None and hmac.compare_digest(branch.encode(), self.forwarded(message, via, *flow).encode())

    def to_tag(self, call_id: str, from_tag: str, via: Via) -> str:
        """The To tag of an answer of ours: the same for each retransmission (RFC 3261 section 8.2.7)."""
        return "tl" + self._digest("tag", call_id, from_tag, via.branch)

    def own(self, call_id: str, number: int) -> str:
        """The branch of a request that the edge itself makes."""
        return f"z9hG4bKtlo{self._digest('own', call_id, str(number))}"
