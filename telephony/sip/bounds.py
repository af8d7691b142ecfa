"""Size limits of a message and its parts, checked before values are parsed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["MAX_HEAD_BYTES", "MAX_LINE_BYTES", "MAX_VIAS", "Excess", "excess"]

MAX_HEAD_BYTES = 16_384  # reading takes time for each octet; real headers are a tenth of it
MAX_HEADERS = 256
MAX_FOLDS = 64  # continuation lines
MAX_LINE_BYTES = 4_096  # one header with its folds; an Identity header (RFC 8224) takes a quarter of it
MAX_URI_BYTES = 1_024
MAX_BODY_BYTES = 32_768
MAX_VIAS = 70  # as many hops as Max-Forwards begins with


class Excess(NamedTuple):
    kind: str  # what metrics count
    reason: str
    status: int


def excess(start: str, lines: Sequence[str], body: bytes) -> Excess | None:
    """The first bound that the message exceeds. `start`: its first line, `lines`: its unparsed header lines."""
    if len(start) > MAX_URI_BYTES + 64:  # with the method and version
        return Excess("uri-long", "Request-URI Too Long", 414)
    if len(body) > MAX_BODY_BYTES:
        return Excess("body-large", "Request Entity Too Large", 413)
    headers, folds, length = 0, 0, 0
    for line in lines:
        if line[:1] in (" ", "\t"):
            folds += 1
            length += len(line) + 2
        else:
            headers += 1
            length = len(line)
        if length > MAX_LINE_BYTES:
            return Excess("header-long", "Header Too Long", 400)
    if headers > MAX_HEADERS:
        return Excess("too-many-headers", "Too many headers", 400)
    if folds > MAX_FOLDS:
        return Excess("too-many-folds", "Too many folded lines", 400)
    return None
