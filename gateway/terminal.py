"""The live conversation, for a person at a terminal: who said what, tools, keys, the latency of each turn."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, TextIO

__all__ = ["Terminal", "describe"]

_COLORS = {"caller": "36", "agent": "32", "tool": "35", "note": "90", "alarm": "31"}


def describe(event: Mapping[str, Any]) -> tuple[str, str] | None:
    """(kind of line, text) of one event as `CallEvents` carries it; None: not for people."""
    describer = _DESCRIBERS.get(str(event.get("type")))
    return describer(event) if describer is not None else None


def _user_message(event: Mapping[str, Any]) -> tuple[str, str]:
    keyed = "" if event["source"] == "speech" else " (keyed)" if event["source"] == "dtmf" else " (typed)"
    return "caller", f"caller{keyed}: {event['text']}"


def _agent_message(event: Mapping[str, Any]) -> tuple[str, str]:
    if not event["interrupted"]:
        return "agent", f"agent: {event['text']}"
    return (
        "agent",
        f"agent: {event['text']} - (interrupted; not heard: {event['full_text'][len(event['text']) :].strip()})",
    )


def _function_call(event: Mapping[str, Any]) -> tuple[str, str]:
    arguments = ", ".join(f"{name}={json.dumps(value)}" for name, value in event["arguments"].items())
    return "tool", f"tool: {event['name']}({arguments})"


def _function_output(event: Mapping[str, Any]) -> tuple[str, str]:
    failed = " failed" if event["is_error"] else ""
    return "tool", f"tool: {event['name']}{failed} -> {event['output'][:160]}  [{event['duration_ms']:.0f} ms]"


def _latency(event: Mapping[str, Any]) -> tuple[str, str] | None:
    start = event.get("speech_ended_at")
    if start is None or event.get("first_packet_at") is None:
        return None
    stages = [
        ("turn decided", "decided_at"), ("transcript", "transcript_at"), ("first token", "first_token_at"),
        ("first audio", "first_audio_at"), ("first packet", "first_packet_at"),
    ]  # fmt: skip
    parts = [f"{name} {(event[key] - start) * 1000:.0f}" for name, key in stages if event.get(key) is not None]
    return "note", f"latency of turn {event['turn']}, ms after the caller's last sound: " + ", ".join(parts)


_DESCRIBERS: dict[str, Callable[[Mapping[str, Any]], tuple[str, str] | None]] = {
    "user_message": _user_message,
    "agent_message": _agent_message,
    "function_call": _function_call,
    "function_call_output": _function_output,
    "turn_latency": _latency,
    "digit_received": lambda event: ("caller", f"caller pressed {event['digit']}"),
    "agent_handoff": lambda event: ("note", f"handed over from {event['from_persona']} to {event['to_persona']}"),
    "task_started": lambda event: ("note", f"{event['persona']} began the task {event['task']}"),
    "task_completed": lambda event: (
        "note",
        f"task {event['task']} {event['outcome']}: {event['result']}".rstrip(": "),
    ),
    "silence_prompted": lambda event: ("note", f"silence: rung {event['rung']} of the silence ladder"),
    "provider_failed": lambda event: ("alarm", f"{event['part']} failed ({event['action']}): {event['error']}"),
    "leg_held": lambda event: ("note", "the caller has put us on hold"),
    "leg_resumed": lambda event: ("note", "the caller is back from hold"),
    "silence_suppressed": lambda event: ("note", str(event["detail"])),
    "session_closed": lambda event: ("note", f"conversation over: {event['reason']}"),
}


class Terminal:
    """Writes lines to `out`; colors only on a real terminal."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._colors = self._out.isatty()

    def line(self, text: str, kind: str = "note", t_ms: float | None = None) -> None:
        text = "".join(char if char.isprintable() else " " for char in text)  # callers' words must not steer a terminal
        stamp = "        " if t_ms is None else f"{t_ms / 1000:7.2f} "
        if self._colors and kind in _COLORS:
            text = f"\x1b[{_COLORS[kind]}m{text}\x1b[0m"
        print(f"{stamp} {text}", file=self._out, flush=True)

    def event(self, event: Mapping[str, Any]) -> None:
        found = describe(event)
        if found is not None:
            self.line(found[1], found[0], event.get("t_ms"))
