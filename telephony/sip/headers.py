"""Header fields by name, read from a message's lines on demand."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

__all__ = ["COMPACT", "Headers", "Line", "seconds_of", "split_commas"]

COMPACT = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
}  # RFC 3261 section 7.3.3, and later ones of the registry
_FOLD = re.compile(r"\r\n[ \t]+")
_LISTS = frozenset(
    {"via", "contact", "route", "record-route", "allow", "supported", "require", "proxy-require", "unsupported"}
    | {"accept", "accept-encoding", "warning", "path"}
)  # whose values may share a line (RFC 3261 section 7.3.1)


class Line(NamedTuple):
    """One header as received: `name` long and in lower case, `text` the whole line with its folds."""

    name: str
    text: str

    @property
    def value(self) -> str:
        """Unfolded, without the white space around it."""
        value = self.text.partition(":")[2]
        return (_FOLD.sub(" ", value) if "\r" in value else value).strip(" \t")


class Headers:
    """Values are read-only: undecodable bytes are replaced in them."""

    __slots__ = ("_lines", "_values")

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines: dict[str, list[Line]] = {}
        self._values: dict[str, list[str]] = {}
        for line in lines:
            self._lines.setdefault(line.name, []).append(line)

    def get(self, name: str) -> list[str]:
        """All values, in order. Do not change the list."""
        name = name.lower()
        values = self._values.get(name)
        if values is None:
            values = self._values[name] = self._read(name)
        return values

    def get_first(self, name: str) -> str | None:
        values = self.get(name)
        return values[0] if values else None

    def items(self) -> Iterator[tuple[str, list[str]]]:
        """The names as they were first written, and their values."""
        for name, lines in self._lines.items():
            yield lines[0].text.partition(":")[0].strip(), self.get(name)

    def __contains__(self, name: str) -> bool:
        return name in self._lines

    def _read(self, name: str) -> list[str]:
        values: list[str] = []
        for line in self._lines.get(name, ()):
            value = line.value
            if not value.isascii():
                value = value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            if name not in _LISTS:
                values.append(value)
            elif "," in value:
                values += split_commas(value)
            elif value:
                values.append(value)
        return values


def seconds_of(text: str) -> int | None:
    """The seconds of Expires, Min-Expires or Retry-After (which may have a comment and parameters); None: not a
    number."""
    digits = text.partition(";")[0].partition("(")[0].strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else None


def split_commas(text: str) -> list[str]:
    """The values of a list, without empty ones. Commas in quotes or < > do not separate."""
    parts: list[str] = []
    start, quoted, inside, at = 0, False, False, 0
    while at < len(text):
        char = text[at]
        if quoted:
            if char == "\\":
                at += 1
            quoted = char != '"'
        elif char == '"' and not inside:
            quoted = True
        elif char in "<>":
            inside = char == "<"
        elif char == "," and not inside:
            parts.append(text[start:at].strip())
            start = at + 1
        at += 1
    return [part for part in (*parts, text[start:].strip()) if part]
