"""How a call ended, how its audio went, and where it was tried before, in one line each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from telephony.call import LegRole

__all__ = ["attempt_line", "audio_lines", "end_line"]


def end_line(end: Mapping[str, Any]) -> str:
    """`end`: of a record, or of `call.ended`."""
    return f"{end['outcome']}{_numbers(end)}, ended by the {end['ended_by']}: {end['end_reason']}"


def audio_lines(record: Mapping[str, Any]) -> list[str]:
    """The audio of each leg of a record: the customer's first, which only the record itself has."""
    others = [leg for leg in record.get("legs", ()) if leg["role"] != LegRole.CUSTOMER]
    legs = [("audio", record.get("media")), *((f"audio of {leg['role']}", leg.get("media")) for leg in others)]
    return [
        f"{name}: {media['codec']}, {'encrypted (SRTP)' if media.get('encrypted') else 'not encrypted'}"
        for name, media in legs
        if media
    ]


def attempt_line(attempt: Mapping[str, Any]) -> str:
    """`attempt`: an event `dial_attempt`."""
    return f"tried {attempt['host']}: {attempt['reason']}{_numbers({'sip_status': attempt['status'], **attempt})}"


def _numbers(end: Mapping[str, Any]) -> str:
    named = (("SIP", end.get("sip_status")), ("Q.850", end.get("q850_cause")))
    said = ", ".join(f"{name} {number}" for name, number in named if number)
    return f" ({said})" if said else ""
