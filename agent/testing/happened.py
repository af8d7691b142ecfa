"""What happened in a conversation, on one axis: seconds since the answer. The same form for events collected from a
session here and for those of a gateway's call record."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agent.events import SessionEvent

__all__ = ["Happened", "describe", "digest", "event_types", "from_record", "from_session", "spoken_text"]

_TIMES = ("noticed_at", "started_at", "ended_at", "speech_ended_at", "decided_at", "transcript_at", "first_token_at",
          "first_audio_at", "first_packet_at")  # fmt: skip
_TEXT_FIELD = {"function_call_output": "output", "provider_failed": "error"}


@dataclass(frozen=True, slots=True)
class Happened:
    """One event. `at` and the times among `fields` are seconds since the answer, to a tenth of a millisecond."""

    type: str
    at: float
    fields: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.at:8.2f} s  {describe(self)}"

    @property
    def latency_ms(self) -> float | None:
        """For a turn_latency: from the end of the caller's speech to the first packet of the answer."""
        ended, packet = self.fields.get("speech_ended_at"), self.fields.get("first_packet_at")
        return None if ended is None or packet is None else round((packet - ended) * 1000, 1)


def from_session(events: Iterable[SessionEvent], answered_at: float) -> list[Happened]:
    """`answered_at`: loop-clock time of the first frame."""
    return [_on_axis(event.to_dict(), -answered_at) for event in events]


def from_record(events: Iterable[Mapping[str, Any]]) -> list[Happened]:
    """From a call record or a gateway's listener, with `t_ms` on the call's axis."""
    return [
        _on_axis(event, event["t_ms"] / 1000 - event["at"]) for event in events if "t_ms" in event and "at" in event
    ]


def _on_axis(event: Mapping[str, Any], shift: float) -> Happened:
    fields = {key: value for key, value in event.items() if key not in ("type", "at", "t_ms")}
    for key in _TIMES:
        if isinstance(fields.get(key), int | float):
            fields[key] = round(fields[key] + shift, 4)
    return Happened(str(event["type"]), round(event["at"] + shift, 4), fields)


def digest(events: Iterable[Happened]) -> str:
    """A short fingerprint: equal for two runs with the same events at the same times."""
    listing = [[event.type, event.at, event.fields] for event in events]
    return hashlib.sha256(json.dumps(listing, sort_keys=True, default=str).encode()).hexdigest()[:16]


def event_types() -> dict[str, type[SessionEvent]]:
    """Every session event by its name in JSON."""
    return {re.sub(r"(?<!^)(?=[A-Z])", "_", each.__name__).lower(): each for each in SessionEvent.__subclasses__()}


def spoken_text(event: Happened) -> str | None:
    """The event's words, if it has any."""
    value = event.fields.get(_TEXT_FIELD.get(event.type, "text"))
    return value if isinstance(value, str) else None


def describe(event: Happened) -> str:
    """For people: the type and what matters."""
    fields = event.fields
    match event.type:
        case "user_message":
            return f'user_message "{fields["text"]}"' + (
                "" if fields.get("source") == "speech" else f" ({fields.get('source')})"
            )
        case "agent_message":
            cut = " (interrupted)" if fields.get("interrupted") else ""
            return f'agent_message {fields.get("kind")}{cut} "{fields["text"]}"'
        case "function_call":
            return f"function_call {fields['name']}({json.dumps(fields['arguments'], default=str)})"
        case "function_call_output":
            failed = " failed" if fields.get("is_error") else ""
            return f"function_call_output {fields['name']}{failed}: {fields['output']}"
        case "turn_latency":
            latency = event.latency_ms
            return "turn_latency" if latency is None else f"turn_latency {latency:.0f} ms"
        case _:
            shown = {key: value for key, value in fields.items() if key not in _TIMES and value not in ("", {}, None)}
            return " ".join([event.type, *(f"{key}={value}" for key, value in shown.items())])
