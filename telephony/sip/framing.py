"""SIP over a byte stream: where one message ends and the next begins (RFC 3261 section 18.3, RFC 5626 section 3.5.1).

A pure machine: bytes in, frames out.
"""

from __future__ import annotations

from collections.abc import Iterator

from telephony.sip.parse import content_length

__all__ = ["KEEPALIVE", "FramingError", "StreamFramer"]

KEEPALIVE = b"\r\n\r\n"


class FramingError(Exception):
    """The stream is out of step, so the connection must be closed. `kind` is what metrics count."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class StreamFramer:
    """Cuts a TCP stream into messages of at most `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._buffer = bytearray()
        self._scanned = 0  # no end of headers before this offset, so that slow senders cost no repeated search
        self._needed = 0  # length of the whole message, once its headers are there

    @property
    def partial(self) -> bool:
        """A message has begun but is not complete."""
        return bool(self._buffer[:4].strip(b"\r\n"))  # line breaks between messages are not a message

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Complete messages, and KEEPALIVE for one or several consecutive pings. Raises FramingError."""
        self._buffer += data
        while (frame := self._next()) is not None:
            yield frame

    def _next(self) -> bytes | None:
        if not self._needed:
            if self._buffer.startswith(KEEPALIVE):
                run = len(self._buffer) - len(self._buffer.lstrip(b"\r\n"))
                del self._buffer[: run - run % 4]
                return KEEPALIVE
            if self._buffer.startswith(b"\r\n") and len(self._buffer) > 2 and self._buffer[2:3] != b"\r":
                del self._buffer[:2]  # a line break before a start line (RFC 3261 section 7.5)
            end = self._buffer.find(b"\r\n\r\n", self._scanned)
            if end < 0:
                self._scanned = max(0, len(self._buffer) - 3)
                if len(self._buffer) > self.limit:
                    raise FramingError("too-large")
                return None
            self._needed = end + 4 + self._body_length(bytes(self._buffer[:end]))
            if self._needed > self.limit:
                raise FramingError("too-large")
        if len(self._buffer) < self._needed:
            return None
        frame = bytes(self._buffer[: self._needed])
        del self._buffer[: self._needed]
        self._scanned = self._needed = 0
        return frame

    @staticmethod
    def _body_length(head: bytes) -> int:
        lengths = []
        for line in head.split(b"\r\n"):
            name, colon, _ = line.partition(b":")
            if colon and name.strip().lower() in (b"content-length", b"l"):
                lengths.append(content_length(line.decode("latin-1")))
        if len(lengths) != 1 or lengths[0] is None:
            raise FramingError("content-length")
        return lengths[0]
