"""Who answered a call that we placed, as its record says it: the last verdict, those that it corrected, and what became
of the message. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from telephony.media.answering.model import AnsweredBy

__all__ = ["MESSAGE", "VERDICT", "AnsweringRecord", "CorrectedVerdict", "MessageRecord", "answering_columns"]

VERDICT, MESSAGE = "who_answered_told", "message_left"  # types of the session's events


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectedVerdict:
    """A verdict that turned out to be wrong."""

    t_ms: float
    answered_by: AnsweredBy
    probability: float
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweringRecord:
    """The last verdict on who answered. `reasons`: the most telling one first. `action`: what was done about it.
    `corrected`: earlier verdicts, in their order."""

    t_ms: float
    probability: float
    reasons: tuple[str, ...] = ()
    action: str = ""
    corrected: tuple[CorrectedVerdict, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRecord:
    """The message for a voicemail. `delivered`: all of it was played after the greeting's end. `why`: what it began on
    (`beep`, `greeting_end`, `limit`), or why it was not delivered (`hung_up`, `picked_up`, …)."""

    t_ms: float
    delivered: bool
    why: str


def answering_columns(before: Mapping[str, Any], event: Mapping[str, Any]) -> dict[str, Any]:
    """What an event of the call changes in its record: some of `answered_by`, `answering` and `message`, as JSON.
    `before`: these fields so far. An event that comes again changes nothing."""
    try:
        if event.get("type") == VERDICT:
            return _verdict(before, event)
        if event.get("type") == MESSAGE:
            message = MessageRecord(
                t_ms=float(event["t_ms"]), delivered=bool(event["delivered"]), why=str(event["why"])[:64]
            )
            return {"message": asdict(message)}
    except (KeyError, ValueError, TypeError):  # an event of another version
        pass
    return {}


def _verdict(before: Mapping[str, Any], event: Mapping[str, Any]) -> dict[str, Any]:
    last = before.get("answering")
    t_ms = float(event["t_ms"])
    if last and t_ms <= last["t_ms"]:
        return {}
    corrected = list(last.get("corrected", ())) if last else []
    if last and before.get("answered_by"):
        said = {name: last[name] for name in ("t_ms", "probability", "reasons")}
        corrected.append({"answered_by": before["answered_by"], **said})
    return {
        "answered_by": AnsweredBy(event["answered_by"]).value,
        "answering": {
            "t_ms": t_ms,
            "probability": float(event["probability"]),
            "reasons": [str(reason) for reason in event.get("reasons", ())],
            "action": str(event.get("action", "")),
            "corrected": corrected,
        },
    }
