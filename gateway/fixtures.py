"""Turns a real call into a recorded call (a test fixture), from its record and its stereo recording. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agent.testing.happened import Happened, from_record
from agent.testing.recorded_model import RecordedReply, is_model, replies_of
from gateway.transcript import MASK
from telephony.media.frames import FRAME_MS, SAMPLE_RATE
from telephony.media.level import frame_levels_dbfs

__all__ = ["CannotBeFixture", "DraftFixture", "draft_fixture", "persona_of_rule"]

_PAD_S = 0.3  # kept around each clip
_JOIN_S = 0.5  # speech closer together than this becomes one clip
_LEAST_S = 0.1  # a louder sound shorter than this is a click
_ABOVE_NOISE_DB = 12.0
_QUIET_DBFS = -50.0  # nothing below this counts as speech on a quiet line
_RUN_GAP_S = 2.0  # keys pressed with longer pauses are separate steps
_PRESS_MS = 100
_LIMIT_MARGIN_S = 30.0
_NOISE_BELOW_DB = 6.0  # clips contain the line's noise already, so that the sum stays only slightly louder
_FRAME_S = FRAME_MS / 1000

Span = tuple[float, float]


class CannotBeFixture(ValueError):
    """The call lacks something that a fixture needs; the message says what."""


@dataclass(frozen=True, slots=True)
class DraftFixture:
    """`text`: of fixture.yaml. `clips`: file name -> 8 kHz 16-bit audio. `notes`: what to check before using it."""

    text: str
    clips: Mapping[str, bytes]
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Step:
    at: float
    line: str
    clip: tuple[str, bytes] | None = field(default=None)


def persona_of_rule(persona: str, rule: str) -> str:
    """`clinic.Reception` and the rule's place (`dialplans/demo.yaml:12 always`) -> `dialplans/clinic.py:Reception`.
    Empty when the two don't say."""
    place = re.match(r"(.*?)([^/\\]+):\d+(\s|$)", rule)
    module, _, name = persona.partition(".")
    return f"{place[1]}{module}.py:{name}" if place and module and name else ""


def draft_fixture(
    record: Mapping[str, Any], caller: bytes, *, persona: str, digits: str = "", dialplan: str = ""
) -> DraftFixture:
    """`record`: a CallDetail as JSON. `caller`: the left channel of its recording. `digits`: the digits keyed by the
    caller, if the record hides them. Raises CannotBeFixture."""
    events = from_record(record.get("events") or ())
    if record.get("outcome") != "answered" or not events:
        raise CannotBeFixture(f"call {record.get('call_id')} was not answered, or has no conversation on record")
    if not caller:
        raise CannotBeFixture(f"call {record.get('call_id')} has no recording")
    levels = frame_levels_dbfs(caller)
    floor = float(np.percentile(levels, 20)) if len(levels) else -96.0
    steps = _speech_steps(events, caller, _spans(events, levels, floor))
    keys, hidden = _key_steps(events, digits)
    steps = sorted([*steps, *keys], key=lambda step: step.at)
    if record.get("ended_by") == "caller":
        steps.append(_Step(_end(events, record), f"{{at: {_end(events, record):.2f}, hang_up: true}}"))
    if not steps:  # a caller who neither said nor did anything
        steps = [_Step(0, "{silence: 1}")]
    started = next((event for event in events if event.type == "session_started"), None)
    thought = is_model(str(started.fields.get("llm", ""))) if started is not None else False
    replies = replies_of(events) if thought else ()
    notes = (
        ["the record hides the keyed digits; they are replaced by zeros (pass them with --digits)"] if hidden else []
    )
    return DraftFixture(
        text=_text(record, events, steps, replies, persona=persona, dialplan=dialplan, floor=floor),
        clips=dict(step.clip for step in steps if step.clip is not None),
        notes=(*notes, *_notes_of_model(replies)),
    )


# --- what the caller did ----------------------------------------------------------------------------------------


def _spans(events: Iterable[Happened], levels: Any, floor: float) -> list[Span]:
    """When the caller was heard: what the session took for speech, and everything else loud."""
    spans: list[Span] = []
    started: float | None = None
    for event in events:
        if event.type == "user_started_speaking":
            started = event.at
        elif event.type == "user_stopped_speaking" and started is not None:
            spans.append((started, event.at))
            started = None
    if started is not None:
        spans.append((started, len(levels) * _FRAME_S))
    loud = np.flatnonzero(levels > max(floor + _ABOVE_NOISE_DB, _QUIET_DBFS)) * _FRAME_S
    runs = _joined(((float(at), float(at) + _FRAME_S) for at in loud), 0.1)
    spans += [run for run in runs if run[1] - run[0] >= _LEAST_S]
    length = len(levels) * _FRAME_S
    padded = ((max(0.0, start - _PAD_S), min(length, end + _PAD_S)) for start, end in sorted(spans))
    return _joined(padded, _JOIN_S)


def _joined(spans: Iterable[Span], gap_s: float) -> list[Span]:
    joined: list[Span] = []
    for start, end in spans:
        if joined and start - joined[-1][1] <= gap_s:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def _speech_steps(events: Sequence[Happened], caller: bytes, spans: Iterable[Span]) -> list[_Step]:
    steps = []
    for number, (start, end) in enumerate(spans, 1):
        first, last = round(start / _FRAME_S), round(end / _FRAME_S)
        frame_bytes = 2 * SAMPLE_RATE * FRAME_MS // 1000
        words = " ".join(
            event.fields["text"]
            for event in events
            if event.type == "user_message"
            and event.fields.get("source") == "speech"
            and event.fields["started_at"] < end
            and event.fields["ended_at"] > start
        )
        slug = "_".join(re.findall(r"[a-z0-9]+", words.lower())[:4]) or "sound"
        name = f"{number:02d}_{slug}.wav"
        says = f", says: {json.dumps(words)}" if words else ""
        steps.append(
            _Step(
                first * _FRAME_S,
                f"{{at: {first * _FRAME_S:.2f}, speech: {name}{says}}}",
                (name, caller[first * frame_bytes : last * frame_bytes]),
            )
        )
    return steps


def _key_steps(events: Iterable[Happened], digits: str) -> tuple[list[_Step], bool]:
    """Keys pressed, runs of them as one step, and whether any stayed hidden."""
    pressed = [(event.at, str(event.fields["digit"])) for event in events if event.type == "digit_received"]
    given = iter(digits)
    shown = [(at, next(given, "0") if digit == MASK else digit) for at, digit in pressed]
    hidden = sum(digit == MASK for _, digit in pressed) > len(digits)
    runs: list[list[tuple[float, str]]] = []
    for at, digit in shown:
        if runs and at - runs[-1][-1][0] < _RUN_GAP_S:
            runs[-1].append((at, digit))
        else:
            runs.append([(at, digit)])
    return [_key_step(run) for run in runs], hidden


def _key_step(run: Sequence[tuple[float, str]]) -> _Step:
    at, text = run[0][0], "".join(digit for _, digit in run)
    gap_ms = 100
    if len(run) > 1:
        gap_ms = max(40, round((run[-1][0] - at) * 1000 / (len(run) - 1)) - _PRESS_MS)
    return _Step(at, f'{{at: {at:.2f}, dtmf: "{text}", press_ms: {_PRESS_MS}, gap_ms: {gap_ms}}}')


def _end(events: Sequence[Happened], record: Mapping[str, Any]) -> float:
    closed = next((event.at for event in reversed(events) if event.type == "session_closed"), None)
    return closed if closed is not None else (record.get("duration_ms") or 0) / 1000


# --- the expectations --------------------------------------------------------------------------------------------


def _expected(events: Iterable[Happened]) -> list[str]:
    lines = []
    for event in events:
        fields = event.fields
        match event.type:
            case "user_message" if fields.get("source") == "speech":
                lines.append(f"user_message: {{like: {json.dumps(fields['text'])}}}")
            case "user_message":
                lines.append(f"user_message: {{source: {fields.get('source')}}}")
            case "function_call":
                arguments = {key: value for key, value in fields["arguments"].items() if MASK not in str(value)}
                given = f", arguments: {json.dumps(arguments)}" if arguments else ""
                lines.append(f"function_call: {{name: {fields['name']}{given}}}")
            case "agent_handoff":
                lines.append(f"agent_handoff: {{to_persona: {fields['to_persona']}}}")
            case "task_completed":
                lines.append(f"task_completed: {{task: {fields['task']}, outcome: {fields['outcome']}}}")
            case "agent_message":
                words = (
                    ""
                    if fields["interrupted"] or MASK in fields["text"]
                    else f", contains: {json.dumps(fields['text'])}"
                )
                interrupted = str(fields["interrupted"]).lower()
                lines.append(f"agent_message: {{kind: {fields['kind']}, interrupted: {interrupted}{words}}}")
            case "session_closed":
                lines.append(f"session_closed: {{reason: {fields['reason']}}}")
            case _:
                pass
    return lines


def _reply_line(reply: RecordedReply) -> str:
    parts = [f"after: {reply.after}"]
    if reply.round:
        parts.append(f"round: {reply.round}")
    if reply.say:
        parts.append(f"say: {json.dumps(reply.say, ensure_ascii=False)}")
    if reply.calls:
        calls = [{"name": call.name, "arguments": dict(call.arguments)} for call in reply.calls]
        parts.append(f"calls: {json.dumps(calls, ensure_ascii=False)}")
    return f"  - {{{', '.join(parts)}}}"


def _notes_of_model(replies: Sequence[RecordedReply]) -> list[str]:
    if not replies:
        return []
    notes = [f"a language model answered: {len(replies)} of its replies are in the fixture, and a replay reuses them"]
    if any(MASK in reply.say or MASK in json.dumps(dict(call.arguments)) for reply in replies for call in reply.calls):
        notes.append(
            "the record hides digits that the model said or passed to tools; add them to `model` in fixture.yaml"
        )
    return notes


def _text(
    record: Mapping[str, Any],
    events: Sequence[Happened],
    steps: Sequence[_Step],
    replies: Sequence[RecordedReply],
    *,
    persona: str,
    dialplan: str,
    floor: float,
) -> str:
    started = str(record.get("answered_at") or record["started_at"])[:19]
    lines = [
        f"# Made by `trunkline record-fixture` from call {record['call_id']}. It contains a real "
        f"person's voice and words.",
        f"description: A call of {started}",
        f"number: {json.dumps(record['called'])}",
    ]
    if record.get("caller"):
        lines.append(f"caller: {json.dumps(record['caller'])}")
    lines.append(f"persona: {persona}")
    if dialplan:
        lines.append(f"dialplan: {dialplan}")
    lines.append(f"time: {started}")
    if -75 < floor < -35:
        lines.append(f"line_noise: {{dbfs: {floor - _NOISE_BELOW_DB:.0f}, seed: 1}}")
    lines.append(f"limit: {_end(events, record) + _LIMIT_MARGIN_S:.0f}")
    if replies:
        lines += ["model:  # the language model's replies, reused in a replay", *map(_reply_line, replies)]
    lines += ["timeline:", *(f"  - {step.line}" for step in steps), "expect:"]
    if record.get("ended_by"):
        lines.append(f"  ended_by: {record['ended_by']}")
    lines += ["  events:", *(f"    - {line}" for line in _expected(events))]
    return "\n".join(lines) + "\n"
