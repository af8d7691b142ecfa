"""Why a call ended, as ISDN numbers it (ITU-T Q.850): read from and written to Reason headers (RFC 3326), and converted
from and to SIP statuses (RFC 3398). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from telephony.sip.headers import split_commas
from telephony.sip.writing import quoted

__all__ = [
    "INTERWORKING",
    "INVALID_FORMAT",
    "NORMAL",
    "NO_ANSWER",
    "OUT_OF_ORDER",
    "OWN_ANSWER",
    "TEMPORARY_FAILURE",
    "TIMER_EXPIRED",
    "UNKNOWN_NUMBER",
    "Reason",
    "cause_of",
    "read_reasons",
    "reason_values",
    "status_of",
]

UNKNOWN_NUMBER = 1
NORMAL = 16
NO_ANSWER = 19  # from the user, who was alerted
INVALID_FORMAT = 28
OUT_OF_ORDER = 38  # the network
TEMPORARY_FAILURE = 41
TIMER_EXPIRED = 102
INTERWORKING = 127
# Server of the edge's own answers to workers, and User-Agent of its own requests; no peer's gets there.
OWN_ANSWER = "Trunkline edge"
_CAUSE = re.compile(r";[ \t]*cause[ \t]*=[ \t]*(\d{1,3})(?!\d)", re.IGNORECASE | re.ASCII)
_TEXT = re.compile(r';[ \t]*text[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.){0,200})"|([^;," ]{1,100}))', re.IGNORECASE)
_ESCAPED = re.compile(r"\\(.)")

# RFC 3398 section 8.2.6.1. 2xx, and 487 for our own CANCEL, are a normal end; 488 and 606 depend on their Warning
# there: 65 is what section 7.2.4.1 makes 488 of.
_CAUSES: Mapping[int, int] = {
    400: 41, 401: 21, 402: 21, 403: 21, 404: 1, 405: 63, 406: 79, 407: 21, 408: 102, 410: 22, 413: 127, 414: 127,
    415: 79, 416: 127, 420: 127, 421: 127, 423: 127, 480: 18, 481: 41, 482: 25, 483: 25, 484: 28, 485: 1, 486: 17,
    487: NORMAL, 488: 65, 500: 41, 501: 79, 502: 38, 503: 41, 504: 102, 505: 127, 513: 127,
    600: 17, 603: 21, 604: 1, 606: 65,
}  # fmt: skip
# Section 7.2.4.1.
_STATUSES: Mapping[int, int] = {
    1: 404, 2: 404, 3: 404, 17: 486, 18: 408, 19: 480, 20: 480, 21: 403, 22: 410, 23: 410, 26: 404, 27: 502,
    28: 484, 29: 501, 31: 480, 34: 503, 38: 503, 41: 503, 42: 503, 47: 503, 55: 403, 57: 403, 58: 503, 65: 488,
    70: 488, 79: 501, 87: 403, 88: 503, 102: 504, 111: 500, 127: 500,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reason:
    """One value of a Reason header. `protocol` in upper case: "Q.850", "SIP"; `cause` 0: not given."""

    protocol: str
    cause: int
    text: str


def cause_of(sip_status: int) -> int:
    """The Q.850 cause of a final SIP status; 0: there is none."""
    if 200 <= sip_status < 300:
        return NORMAL
    return _CAUSES.get(sip_status, INTERWORKING if 300 <= sip_status <= 699 else 0)


def status_of(cause: int) -> int:
    """The SIP status for the Q.850 cause of an unanswered call; 0: there is none."""
    return _STATUSES.get(cause, 0 if cause in (0, NORMAL) else 480 if cause < 32 else 500)


def read_reasons(values: Iterable[str]) -> Iterator[Reason]:
    """The values of Reason headers, each of which may hold several."""
    for value in values:
        for one in split_commas(value):
            cause, text = _CAUSE.search(one), _TEXT.search(one)
            said = ""
            if text is not None:
                said = _ESCAPED.sub(r"\1", text[1]) if text[1] is not None else text[2]
            yield Reason(one.partition(";")[0].strip().upper(), int(cause[1]) if cause else 0, said)


def reason_values(cause: int, sip_status: int = 0, text: str = "") -> list[str]:
    """Reason values for a Q.850 cause, and for the SIP status if that is given."""
    said = f";text={quoted(text)}" if text else ""
    return [f"Q.850;cause={cause}{said}", *([f"SIP;cause={sip_status}{said}"] if sip_status else [])]
