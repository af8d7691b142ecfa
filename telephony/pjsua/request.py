"""What an INVITE says about its leg. Pure: text in, values out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from telephony.sip.causes import read_reasons
from telephony.sip.sdp import SdpError, parse_sdp

__all__ = ["Headers", "IncomingRequest", "PeerReason", "parse_invite", "reason_of", "suppresses_silence"]

_COMPACT = {"f": "from", "t": "to", "i": "call-id", "m": "contact"}  # RFC 3261 section 7.3.3
_SIP_USER = re.compile(r"""sips?:([^@<>\s"]*)@""", re.IGNORECASE)
_TEL_USER = re.compile(r"""tel:([^;<>\s"]*)""", re.IGNORECASE)
_DISPLAY = re.compile(r'^\s*(?:"((?:[^"\\]|\\.)*)"|([^<"]*?))\s*<')
_ESCAPED = re.compile(r"\\(.)")
_FOLD = re.compile(r"\n[ \t]+")


class Headers(Mapping[str, str]):
    """Header fields by case-insensitive name; iterates over the names as received."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, str] | None = None) -> None:
        self._items = {name.lower(): (name, value) for name, value in (items or {}).items()}

    def __getitem__(self, name: str) -> str:
        return self._items[name.lower()][1]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._items.values())

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return f"Headers({dict(self)!r})"


@dataclass(frozen=True, slots=True)
class IncomingRequest:
    """An INVITE as received, before its call is known."""

    sip_call_id: str
    request_user: str  # of the Request-URI: the number that was called
    from_user: str  # empty: not given
    from_display: str
    to_user: str
    headers: Mapping[str, str] = field(default_factory=Headers)  # the X-… fields
    suppresses_silence: bool = False  # its SDP says that the caller may send nothing while silent


def parse_invite(message: str) -> IncomingRequest:
    """Read the start and the header fields of an INVITE that PJSIP has already accepted as well-formed."""
    lines = _lines(message)
    start = lines[0].split(" ") if lines else []
    fields: dict[str, str] = {}
    extra: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        name, value = name.strip(), value.strip()
        if not colon:
            continue
        key = _COMPACT.get(name.lower(), name.lower())
        fields.setdefault(key, value)
        if key.startswith("x-"):
            extra.setdefault(name, value)
    return IncomingRequest(
        sip_call_id=fields.get("call-id", ""),
        request_user=_user(start[1] if len(start) > 1 else ""),
        from_user=_user(fields.get("from", "")),
        from_display=_display(fields.get("from", "")),
        to_user=_user(fields.get("to", "")),
        headers=Headers(extra),
        suppresses_silence=suppresses_silence(message.replace("\r\n", "\n").partition("\n\n")[2]),
    )


@dataclass(frozen=True, slots=True)
class PeerReason:
    """`text`: empty if it gives none. `cause`: of Q.850; 0: not said."""

    text: str = ""
    cause: int = 0


def reason_of(message: str) -> PeerReason:
    """What a message's Reason header fields say (RFC 3326): the first text, else the first value, and the cause."""
    fields = [line.partition(":") for line in _lines(message)[1:]]
    values = [value.strip() for name, _, value in fields if name.strip().lower() == "reason"]
    reasons = list(read_reasons(values))
    text = next((reason.text for reason in reasons if reason.text), values[0] if values else "")
    return PeerReason(text, next((reason.cause for reason in reasons if reason.protocol == "Q.850"), 0))


def _lines(message: str) -> list[str]:
    """The start line and the header fields, unfolded (RFC 3261 section 7.3.1). Only a line feed ends a line:
    `str.splitlines` would also split at a vertical tab or U+2028 within a value."""
    head = message.replace("\r\n", "\n").partition("\n\n")[0]
    return _FOLD.sub(" ", head).split("\n")


def suppresses_silence(body: str) -> bool:
    """Whether a session description says that its sender may send nothing while silent."""
    try:
        streams = parse_sdp(body.encode(errors="replace")).media if body.strip() else ()
    except SdpError:
        return False  # PJSIP decides about it
    audio = [stream for stream in streams if stream.kind == "audio" and stream.port]
    return any(stream.silence_suppression or stream.comfort_noise for stream in audio)


def _user(field_value: str) -> str:
    """The user of a SIP URI or the number of a tel: URI, without password and parameters such as `;npdi`."""
    match = _SIP_USER.search(field_value) or _TEL_USER.search(field_value)
    return unquote(re.split("[:;]", match.group(1), maxsplit=1)[0]) if match else ""


def _display(field_value: str) -> str:
    match = _DISPLAY.match(field_value)
    if match is None:
        return ""
    if match.group(1) is not None:
        return _ESCAPED.sub(r"\1", match.group(1))
    return match.group(2).strip()
