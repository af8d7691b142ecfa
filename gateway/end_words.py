"""How a call ended, how its audio went, and where it was tried before, in one line each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from telephony.call import LegRole

__all__ = ["answered_by_line", "answered_lines", "attempt_line", "audio_lines", "end_line", "message_line"]


def end_line(end: Mapping[str, Any]) -> str:
    """`end`: of a record, or of `call.ended`."""
    return f"{end['outcome']}{_numbers(end)}, ended by the {end['ended_by']}: {end['end_reason']}"


def answered_lines(record: Mapping[str, Any]) -> list[str]:
    """Who answered a call that was placed, and what became of the message."""
    lines = []
    if record.get("answered_by") and (how := record.get("answering")):
        corrected = ", ".join(each["answered_by"] for each in how["corrected"])
        was = f", after {corrected}" if corrected else ""
        lines.append(f"{answered_by_line({**how, 'answered_by': record['answered_by']})}{was}")
    if message := record.get("message"):
        lines.append(message_line(message))
    return lines


def answered_by_line(verdict: Mapping[str, Any]) -> str:
    """`verdict`: of `call.answered_by`."""
    reasons = ", ".join(verdict["reasons"])
    before = f" (not {verdict['corrects']})" if verdict.get("corrects") else ""
    said = f"answered by: {verdict['answered_by']}{before}, {verdict['probability']:.0%}"
    return f"{said}: {reasons}" if reasons else said


def message_line(message: Mapping[str, Any]) -> str:
    """`message`: of a record, or of `call.message_left`."""
    return f"message {'delivered' if message['delivered'] else 'not delivered'}: {message['why']}"


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
