"""A call's transcript, built from its events. Pure: the same events give the same turns each time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from gateway.record import Latency, ToolUse, Turn

__all__ = ["MASK", "build_turns", "mask_typed_digits", "transcript_text"]

MASK = "•"
_STAGES = ("decided", "transcript", "first_token", "first_audio", "first_packet")
_SOURCES: dict[str, Literal["speech", "dtmf", "text"]] = {"speech": "speech", "dtmf": "dtmf", "text": "text"}
_OUTCOMES = {
    "completed": "is complete",
    "failed": "failed",
    "timed_out": "timed out",
    "handed_over": "ended: the caller was handed over",
    "cancelled": "was cancelled",
}
_TYPED_RUN = re.compile(r"\d(?:[ .-]?\d){2,}")  # three digits or more, as a tool or a reply repeats them


def build_turns(events: Iterable[Mapping[str, Any]]) -> list[Turn]:
    """The transcript, by place in the recording. `events` as `CallEvents` carries them, in order.

    Tool calls are put on the agent's reply that follows them, else on the last entry. A latency waterfall is put on the
    reply whose first packet it times; when the caller spoke again before any packet, on the caller's last entry.
    Events of unknown types, or without the fields of their type, are passed over.
    """
    building = _Building()
    for event in events:
        handle = _HANDLERS.get(str(event.get("type")))
        if handle is None:
            continue
        try:
            handle(building, event)
        except (KeyError, TypeError, ValueError):  # an event of another version: the rest of the call still counts
            continue
    building.attach_left_over_tools()
    building.attach_latencies()
    return sorted(building.turns, key=lambda turn: turn.start_ms)


@dataclass(slots=True)
class _Building:
    turns: list[Turn] = field(default_factory=list)
    open_tools: dict[str, ToolUse] = field(default_factory=dict)  # by tool call id; not yet on a turn
    placed_tools: dict[str, tuple[int, int]] = field(default_factory=dict)  # tool call id -> (turn, place) once on one
    latencies: list[Latency] = field(default_factory=list)
    hold: int | None = None  # the entry of the current hold

    def take_tools(self, turn: int) -> tuple[ToolUse, ...]:
        tools = tuple(self.open_tools.values())
        first = len(self.turns[turn].tool_calls) if turn < len(self.turns) else 0
        self.placed_tools.update({call_id: (turn, first + n) for n, call_id in enumerate(self.open_tools)})
        self.open_tools.clear()
        return tools

    def attach_left_over_tools(self) -> None:
        if not self.open_tools:
            return
        if not self.turns:
            at_ms = next(iter(self.open_tools.values())).at_ms
            self.turns.append(Turn(speaker="system", text="", start_ms=at_ms, end_ms=at_ms, kind="tools"))
        last = len(self.turns) - 1
        self.turns[last] = replace(self.turns[last], tool_calls=self.turns[last].tool_calls + self.take_tools(last))

    def attach_latencies(self) -> None:
        for latency in self.latencies:
            at = self._reply_of(latency)
            if at is None:
                at = next((n for n in reversed(range(len(self.turns))) if self.turns[n].speaker == "caller"), None)
            if at is not None:
                self.turns[at] = replace(self.turns[at], latency=latency)

    def _reply_of(self, latency: Latency) -> int | None:
        """The agent's entry that starts nearest to the first packet, none that already has a waterfall."""
        if latency.first_packet_ms is None:
            return None
        packet_ms = latency.speech_end_ms + latency.first_packet_ms
        replies = [n for n, turn in enumerate(self.turns) if turn.speaker == "agent" and turn.latency is None]
        return min(replies, key=lambda n: abs(self.turns[n].start_ms - packet_ms), default=None)


def _on_axis(event: Mapping[str, Any], name: str) -> float:
    """A loop-clock field of an event as milliseconds on the call's axis."""
    return round(float(event["t_ms"]) + (float(event[name]) - float(event["at"])) * 1000, 1)


def _user_message(building: _Building, event: Mapping[str, Any]) -> None:
    building.turns.append(
        Turn(
            speaker="caller",
            text=str(event["text"]),
            full_text=str(event["text"]),
            start_ms=_on_axis(event, "started_at"),
            end_ms=_on_axis(event, "ended_at"),
            source=_SOURCES[event["source"]],
        )
    )


def _agent_message(building: _Building, event: Mapping[str, Any]) -> None:
    building.turns.append(
        Turn(
            speaker="agent",
            text=str(event["text"]),
            full_text=str(event["full_text"]),
            start_ms=_on_axis(event, "started_at"),
            end_ms=float(event["t_ms"]),
            interrupted=bool(event["interrupted"]),
            kind=str(event["kind"]),
            tool_calls=building.take_tools(len(building.turns)),
        )
    )


def _told_human(building: _Building, event: Mapping[str, Any]) -> None:
    """The agent's words to a human whom the caller does not hear yet, or to both; or to a caller who waits."""
    text = str(event["text"])
    building.turns.append(
        Turn(
            speaker="agent",
            text=text,
            full_text=text,
            start_ms=_on_axis(event, "started_at"),
            end_ms=float(event["t_ms"]),
            interrupted=bool(event["interrupted"]),
            kind="to_human" if event["type"] == "told_human" else "waiting",
        )
    )


def _talk_message(building: _Building, event: Mapping[str, Any]) -> None:
    """Between a caller and a human, or from a human to the agent: `kind` names the human, as they were called."""
    text = str(event["text"])
    building.turns.append(
        Turn(
            speaker="human" if event["speaker"] == "human" else "caller",
            text=text,
            full_text=text,
            start_ms=_on_axis(event, "started_at"),
            end_ms=_on_axis(event, "ended_at"),
            kind=str(event["name"]) if event["speaker"] == "human" else "",
        )
    )


def _function_call(building: _Building, event: Mapping[str, Any]) -> None:
    building.open_tools[str(event["call_id"])] = ToolUse(
        name=str(event["name"]), arguments=dict(event["arguments"]), at_ms=float(event["t_ms"])
    )


def _function_output(building: _Building, event: Mapping[str, Any]) -> None:
    call_id = str(event["call_id"])
    came: dict[str, Any] = {
        "output": str(event["output"]),
        "is_error": bool(event["is_error"]),
        "duration_ms": float(event["duration_ms"]),
    }
    if call_id in building.open_tools:
        building.open_tools[call_id] = replace(building.open_tools[call_id], **came)
    elif call_id in building.placed_tools:  # "one moment" was said while the tool still ran
        turn, place = building.placed_tools[call_id]
        tools = list(building.turns[turn].tool_calls)
        tools[place] = replace(tools[place], **came)
        building.turns[turn] = replace(building.turns[turn], tool_calls=tuple(tools))


def _turn_latency(building: _Building, event: Mapping[str, Any]) -> None:
    if event["speech_ended_at"] is None:  # a greeting is not a reply
        return
    ended = float(event["speech_ended_at"])
    stages = {
        f"{stage}_ms": None if event[f"{stage}_at"] is None else round((float(event[f"{stage}_at"]) - ended) * 1000, 1)
        for stage in _STAGES
    }
    building.latencies.append(
        Latency(turn=int(event["turn"]), speech_end_ms=_on_axis(event, "speech_ended_at"), **stages)
    )


def _system(building: _Building, event: Mapping[str, Any], text: str) -> None:
    at_ms = float(event["t_ms"])
    building.turns.append(Turn(speaker="system", text=text, start_ms=at_ms, end_ms=at_ms, kind=str(event["type"])))


def _handoff(building: _Building, event: Mapping[str, Any]) -> None:
    _system(building, event, f"{event['from_persona']} handed over to {event['to_persona']}")


def _task_started(building: _Building, event: Mapping[str, Any]) -> None:
    _system(building, event, f"{event['persona']} began the task {event['task']}")


def _task_completed(building: _Building, event: Mapping[str, Any]) -> None:
    outcome = _OUTCOMES.get(str(event["outcome"]), str(event["outcome"]))
    result = f": {event['result']}" if event["result"] and event["outcome"] in ("completed", "failed") else ""
    _system(building, event, f"the task {event['task']} {outcome}{result}")


def _provider_failed(building: _Building, event: Mapping[str, Any]) -> None:
    _system(building, event, f"{event['part']} {event['provider']} failed ({event['action']}): {event['error']}")


def _session_closed(building: _Building, event: Mapping[str, Any]) -> None:
    if event["error"]:
        _system(building, event, f"the conversation ended with an error: {event['error']}")


_HELD = "the caller put the call on hold"
_AWAY = "the caller was on hold, or with somebody else,"


def _held(building: _Building, event: Mapping[str, Any]) -> None:
    """Told by the phone's leg, by the session, or by both."""
    if building.hold is None:
        building.hold = len(building.turns)
        _system(building, event, _AWAY if event.get("by_us") else _HELD)
        building.turns[-1] = replace(building.turns[-1], kind="hold")


def _back(building: _Building, event: Mapping[str, Any]) -> None:
    if building.hold is not None:
        turn, end_ms = building.turns[building.hold], float(event["t_ms"])
        text = f"{turn.text} for {(end_ms - turn.start_ms) / 1000:.1f} s"
        building.turns[building.hold] = replace(turn, end_ms=end_ms, text=text)
        building.hold = None


_HANDLERS = {
    "user_message": _user_message,
    "agent_message": _agent_message,
    "talk_message": _talk_message,
    "told_human": _told_human,
    "told_waiting_caller": _told_human,
    "function_call": _function_call,
    "function_call_output": _function_output,
    "turn_latency": _turn_latency,
    "agent_handoff": _handoff,
    "task_started": _task_started,
    "task_completed": _task_completed,
    "leg_held": _held,
    "caller_held": _held,
    "leg_resumed": _back,
    "caller_back": _back,
    "provider_failed": _provider_failed,
    "session_closed": _session_closed,
}


# --- digits and text --------------------------------------------------------------------------------------------


_MASKED = frozenset(
    {"function_call", "function_call_output", "agent_message", "told_human", "talk_message", "task_completed"}
)


def mask_typed_digits(event: Mapping[str, Any]) -> dict[str, Any]:
    """The event with the caller's keyed digits masked: each digit of `digit_received` and of a typed message, and
    runs of three digits or more where tools and the agent's words repeat them. Numbers in words are not recognized."""
    kind = event.get("type")
    masked = dict(event)
    if kind == "digit_received":
        masked["digit"] = MASK
    elif kind == "user_message" and event.get("source") == "dtmf":
        masked["text"] = re.sub(r"[0-9A-D*#]", MASK, str(event.get("text", "")))
    elif kind in _MASKED:
        for name in ("arguments", "output", "result", "text", "full_text"):
            if name in masked:
                masked[name] = _mask_runs(masked[name])
    return masked


def _mask_runs(value: Any) -> Any:
    match value:
        case str():
            return _TYPED_RUN.sub(lambda run: re.sub(r"\d", MASK, run.group()), value)
        case int() if not isinstance(value, bool) and abs(value) >= 100:
            return MASK * len(str(abs(value)))
        case Mapping():
            return {key: _mask_runs(item) for key, item in value.items()}
        case list() | tuple():
            return [_mask_runs(item) for item in value]
        case _:
            return value


def transcript_text(turns: Sequence[Turn]) -> str:
    """One line per entry: `00:01.2 caller: words`. Entries that were not heard are left out."""
    lines = []
    for turn in turns:
        if not turn.text:
            continue
        sign = "-" if turn.start_ms < 0 else ""
        minutes, tenths = divmod(round(abs(turn.start_ms) / 100), 600)
        notes = "".join(f" [{note}]" for note in _notes(turn))
        words = " ".join(turn.text.split())  # a newline in a text must not make up an entry
        lines.append(f"{sign}{minutes:02d}:{tenths // 10:02d}.{tenths % 10} {turn.speaker}{notes}: {words}\n")
    return "".join(lines)


def _notes(turn: Turn) -> list[str]:
    return [
        *(["to the human"] if turn.kind == "to_human" else []),
        *([turn.kind] if turn.speaker == "human" and turn.kind else []),
        *(["typed"] if turn.source == "dtmf" else []),
        *(["interrupted"] if turn.interrupted else []),
    ]
