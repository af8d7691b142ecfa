"""Reads `fixture.yaml` and the clips next to it. Reports all mistakes, each with file and line."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from agent.events import SessionEvent
from agent.options import SessionOptions
from agent.testing.expectation import EventMatcher, Expectation
from agent.testing.fixture import (
    DEFAULT_LIMIT_S,
    Action,
    Clip,
    Digits,
    Fixture,
    HangUp,
    LineNoise,
    NoiseBurst,
    Pause,
    Step,
    When,
)
from agent.testing.fixture_yaml import Entry, FixtureError, read_entry
from agent.testing.happened import event_types
from agent.testing.recorded_model import RecordedCall, RecordedReply
from telephony.media.wav import BadWavFile, read_wav

__all__ = ["FIXTURE_FILE", "FixtureError", "find_fixtures", "load_fixture"]

FIXTURE_FILE = "fixture.yaml"
_KEYS = (
    "description",
    "number",
    "caller",
    "persona",
    "dialplan",
    "time",
    "session",
    "line_noise",
    "limit",
    "model",
    "timeline",
    "expect",
)
_ACTIONS = ("speech", "dtmf", "silence", "noise", "hang_up")
_WHEN = ("at", "after", "during", "wait")
_STEP_KEYS = (*_ACTIONS, *_WHEN, "says", "for", "press_ms", "gap_ms")
_ENDED_BY = ("caller", "agent", "system")


def find_fixtures(folder: Path | str) -> list[Path]:
    """The folder itself if it is a fixture, else every fixture below it, in order of name. Raises FixtureError if there
    is none."""
    top = Path(folder)
    if (top / FIXTURE_FILE).is_file():
        return [top]
    found = sorted(file.parent for file in top.rglob(FIXTURE_FILE)) if top.is_dir() else []
    if not found:
        raise FixtureError([f"{top}: " + (f"no {FIXTURE_FILE} in it or below" if top.is_dir() else "no such folder")])
    return found


def load_fixture(folder: Path | str) -> Fixture:
    """Raises FixtureError with all mistakes."""
    top = Path(folder)
    if top.name == FIXTURE_FILE:
        top = top.parent
    root = read_entry(top / FIXTURE_FILE)
    entries = root.mapping(_KEYS)
    for key in ("number", "persona", "timeline", "expect"):
        if key not in entries and root.is_mapping:
            root.wrong(f"`{key}` must be given")
    number, caller = entries.get("number"), entries.get("caller")
    fixture = Fixture(
        folder=top,
        description=_text(entries, "description"),
        number=number.text() if number else "",
        caller=caller.text() if caller else None,
        persona=_persona(entries["persona"]) if "persona" in entries else "",
        dialplan=entries["dialplan"].text() if "dialplan" in entries else None,
        time=_time(entries["time"]) if "time" in entries else None,
        session=_session(entries["session"]) if "session" in entries else {},
        line_noise=_line_noise(entries["line_noise"]) if "line_noise" in entries else None,
        limit_s=entries["limit"].number(1, 7200) if "limit" in entries else DEFAULT_LIMIT_S,
        model=tuple(_reply(item) for item in entries["model"].items()) if "model" in entries else (),
        timeline=_timeline(entries["timeline"], top) if "timeline" in entries else (),
        expect=_expectation(entries["expect"]) if "expect" in entries else Expectation(),
    )
    root.problems.check()
    return fixture


def _text(entries: Mapping[str, Entry], key: str) -> str:
    return entries[key].text() if key in entries else ""


def _persona(entry: Entry) -> str:
    text = entry.text()
    if text and not re.fullmatch(r"[^:]+\.py:[A-Za-z_]\w*(\.[A-Za-z_]\w*)?", text):
        entry.wrong(f'"{text}" must be path/to/file.py:Class, or path/to/file.py:factory')
    return text


def _time(entry: Entry) -> datetime | None:
    try:
        return datetime.fromisoformat(entry.text())
    except ValueError:
        entry.wrong("must be a date and time such as 2026-11-23T10:30")
        return None


def _session(entry: Entry) -> Mapping[str, float | str | bool | None]:
    known = {option.name for option in dataclasses.fields(SessionOptions)}
    settings = {name: value.plain() for name, value in entry.mapping(known).items()}
    try:
        SessionOptions(**settings)
    except (TypeError, ValueError) as error:
        entry.wrong(str(error))
    return settings


def _line_noise(entry: Entry) -> LineNoise:
    entries = entry.mapping(("dbfs", "seed"))
    if "dbfs" not in entries:
        entry.wrong("`dbfs` must be given")
    return LineNoise(
        dbfs=entries["dbfs"].number(-96, 0) if "dbfs" in entries else -96,
        seed=int(entries["seed"].number(0, 2**31)) if "seed" in entries else 0,
    )


def _reply(item: Entry) -> RecordedReply:
    """`- {after: 1, say: …, calls: [{name: …, arguments: {…}}]}`."""
    entries = item.mapping(("after", "round", "say", "calls"))
    if "say" not in entries and "calls" not in entries:
        item.wrong("must have `say` or `calls`")
    calls = []
    for each in entries["calls"].items() if "calls" in entries else ():
        call = each.mapping(("name", "arguments"))
        arguments = call["arguments"].plain() if "arguments" in call else {}
        if "name" not in call or not isinstance(arguments, dict):
            each.wrong("must be {name: …, arguments: {…}}")
            continue
        calls.append(RecordedCall(call["name"].text(), arguments))
    return RecordedReply(
        int(_number(entries, "after", 0, 0, 1000)),
        int(_number(entries, "round", 0, 0, 100)),
        _text(entries, "say"),
        tuple(calls),
    )


# --- timeline ---------------------------------------------------------------------------------------------------


def _timeline(entry: Entry, folder: Path) -> tuple[Step, ...]:
    steps: list[Step] = []
    latest = 0.0
    for item in entry.items():
        entries = item.mapping(_STEP_KEYS)
        if steps and isinstance(steps[-1].action, HangUp):
            item.wrong("comes after the caller has hung up")
        when = _when(item, entries)
        if when.anchor == "at":
            if when.seconds < latest:
                item.wrong(f"at {when.seconds:g} is before the step above it (at {latest:g})")
            latest = when.seconds
        steps.append(Step(when, _action(item, entries, folder), item.line))
    return tuple(steps)


def _when(item: Entry, entries: Mapping[str, Entry]) -> When:
    given = [name for name in ("at", "after", "during") if name in entries]
    if len(given) > 1:
        item.wrong(f"has both `{given[0]}` and `{given[1]}`; one is wanted")
    if "at" in entries:
        if "wait" in entries:
            entries["wait"].wrong("does not go with `at`")
        return When("at", entries["at"].number(0, 7200))
    for name in given:
        if entries[name].text() != "agent":
            entries[name].wrong("must be `agent`")
    if "during" in given:
        return When("during_agent", _number(entries, "wait", 0.5, 0, 600))
    if "after" in given:
        return When("after_agent", _number(entries, "wait", 1.0, 0.1, 600))
    return When("after_step", _number(entries, "wait", 0.0, 0, 7200))


def _number(entries: Mapping[str, Entry], key: str, default: float, least: float, most: float) -> float:
    return entries[key].number(least, most) if key in entries else default


def _action(item: Entry, entries: Mapping[str, Entry], folder: Path) -> Action:
    given = [name for name in _ACTIONS if name in entries]
    if len(given) != 1:
        item.wrong(f"must have one of {', '.join(_ACTIONS)}" + (f", not {' and '.join(given)}" if given else ""))
        return Pause(0)
    for extra, belongs in (("says", "speech"), ("for", "noise"), ("press_ms", "dtmf"), ("gap_ms", "dtmf")):
        if extra in entries and given[0] != belongs:
            entries[extra].wrong(f"goes with `{belongs}` only")
    entry = entries[given[0]]
    match given[0]:
        case "speech":
            return _clip(entry, _text(entries, "says"), folder)
        case "dtmf":
            return _digits(entry, entries)
        case "silence":
            return Pause(entry.number(0, 7200))
        case "noise":
            return NoiseBurst(entry.number(-96, 0), _number(entries, "for", 1.0, 0.02, 600))
        case _:
            if not entry.flag():
                entry.wrong("must be true")
            return HangUp()


def _clip(entry: Entry, says: str, folder: Path) -> Clip:
    name = entry.text()
    try:
        return Clip(name, read_wav(folder / name), says)
    except FileNotFoundError:
        entry.wrong(f"there is no {name} in {folder}")
    except OSError as error:
        entry.wrong(f"{name} cannot be read: {error.strerror}")
    except BadWavFile as error:
        entry.wrong(f"{name}: " + str(error).removeprefix(f"{folder / name}: "))
    return Clip(name, b"", says)


def _digits(entry: Entry, entries: Mapping[str, Entry]) -> Digits:
    digits = entry.text()
    if digits and not re.fullmatch(r"[0-9*#A-Dw]+", digits):
        entry.wrong(f'"{digits}" has invalid keys; use 0-9 * # A-D, and w for a pause of 500 ms')
    return Digits(
        digits, int(_number(entries, "press_ms", 120, 40, 5000)), int(_number(entries, "gap_ms", 100, 40, 10000))
    )


# --- expectations -----------------------------------------------------------------------------------------------


def _expectation(entry: Entry) -> Expectation:
    entries = entry.mapping(("events", "never", "strict", "ended_by", "end_reason"))
    if "events" not in entries and entry.is_mapping:
        entry.wrong("`events` must be given")
    ended_by = _text(entries, "ended_by")
    if ended_by and ended_by not in _ENDED_BY:
        entries["ended_by"].wrong(f"must be one of {', '.join(_ENDED_BY)}")
    return Expectation(
        events=tuple(_matcher(item) for item in entries["events"].items()) if "events" in entries else (),
        never=tuple(_matcher(item) for item in entries["never"].items()) if "never" in entries else (),
        strict=entries["strict"].flag() if "strict" in entries else False,
        ended_by=ended_by,
        end_reason=_text(entries, "end_reason"),
    )


def _matcher(item: Entry) -> EventMatcher:
    """`- agent_message` or `- agent_message: {contains: …}`."""
    types = event_types()
    if item.is_text:
        named, details = item.text(), None
        if named not in types:
            item.wrong(f"unknown event `{named}`")
        return EventMatcher(named, line=item.line)
    pairs = item.mapping(types)
    if len(pairs) != 1:
        if item.is_mapping and not pairs:
            return EventMatcher("", line=item.line)
        item.wrong("must be one event: `- type` or `- type: {…}`")
        return EventMatcher("", line=item.line)
    ((named, details),) = pairs.items()
    return _details(named, details, types[named], item.line)


def _details(named: str, details: Entry, kind: type[SessionEvent], line: int) -> EventMatcher:
    fields = [each.name for each in dataclasses.fields(kind) if each.name != "at"]
    has_words = bool({"text", "output", "error"} & set(fields))
    known = [*fields, "within_ms", *(("contains", "any_of", "like") if has_words else ())]
    entries = details.mapping(known)
    arguments = entries["arguments"].plain() if "arguments" in entries else {}
    if not isinstance(arguments, dict):
        entries["arguments"].wrong("must be a group of `name: value`")
        arguments = {}
    special = ("contains", "any_of", "like", "arguments", "within_ms")
    return EventMatcher(
        type=named,
        contains=entries["contains"].texts() if "contains" in entries else (),
        any_of=entries["any_of"].texts() if "any_of" in entries else (),
        like=_text(entries, "like"),
        arguments=arguments,
        equal={name: entry.plain() for name, entry in entries.items() if name not in special},
        within_ms=entries["within_ms"].number(0, 600_000) if "within_ms" in entries else None,
        line=line,
    )
