"""The dialplan file: reading it and finding everything that is wrong with it at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from phonenumbers import SUPPORTED_REGIONS
from pydantic import BaseModel

from gateway.config.answering import AnsweringOptions
from gateway.config.located_yaml import ConfigError, Document, Located, Problem, number_as_text, read_yaml
from gateway.config.messages import similar, validate_model
from gateway.config.models import SessionSettings, SpeechSettings
from gateway.config.summary import SummarySettings
from gateway.dialplan.calendar import HolidayCalendar, parse_holiday
from gateway.dialplan.flow_format import FLOW_KEYS, FlowReader
from gateway.dialplan.hooks import read_after_call, read_before_call
from gateway.dialplan.model import BeforeCall, Entry, Options, OutboundPersona, PersonaRef, PlanFile, Refusal, Rule
from gateway.dialplan.numbers import NumberPattern, normalise_caller, parse_pattern
from gateway.dialplan.personas import PersonaSource, classes_in
from gateway.dialplan.reach import duplicate_numbers, unreachable_rules
from gateway.dialplan.times import TimeSpec, parse_times
from gateway.queues.personas_of_ours import OURS

__all__ = ["read_plan"]

_COMMON_KEYS = ("speech", "session", "recording", "after_call")
_OUTBOUND_KEYS = (*_COMMON_KEYS, "answering")
_OPTION_KEYS = (*_COMMON_KEYS, "before_call")
_FILE_KEYS = ("timezone", "region", "holidays", "numbers", "outbound", "answering", *_OPTION_KEYS)
_TARGET_KEYS = ("persona", "refuse", "queue_sign", *FLOW_KEYS)
_SIGNS = {"in": "SignIn", "out": "SignOut", "pause": "Pause", "resume": "Resume"}  # personas of ours
_RULE_KEYS = ("when", "from", *_TARGET_KEYS, "otherwise", *_OPTION_KEYS)
_MISSING: Any = object()


def read_plan(
    path: Path, text: str | None = None, classes: Callable[[Path], PersonaSource] = classes_in
) -> tuple[list[Entry], list[OutboundPersona], list[Problem]]:
    """The entries of one file, the personas that calls may be placed with, and what is wrong with it. `classes` looks
    into persona files."""
    try:
        document = read_yaml(path, text)
    except ConfigError as error:
        return [], [], list(error.problems)
    reader = _Reader(document, path.parent, classes)
    entries, outbound = reader.entries(), reader.outbound()
    return entries, outbound, sorted(document.problems, key=lambda problem: problem.line)


class _Reader:
    def __init__(self, document: Document, folder: Path, classes: Callable[[Path], PersonaSource]) -> None:
        self._document = document
        self._folder = folder
        self._classes = classes
        self._looked_at: dict[Path, PersonaSource] = {}
        self._flows = FlowReader(document, lambda path, value: self._persona(path, value))
        self._needs_time = False
        self._common: Options | None = None  # what the file says for all

    def entries(self) -> list[Entry]:
        document = self._document
        if not isinstance(document.data, dict):
            document.problem((), "a dialplan is a group with `numbers` in it")
            return []
        self._known_keys((), document.data, _FILE_KEYS)
        region, calendar = self._region(), self._calendar()
        timezone = self._timezone()
        plan = PlanFile(document.file, timezone, region, calendar)
        common = self._common = self._options((), document.data)
        numbers = document.data.get("numbers")
        if "numbers" not in document.data and "outbound" in document.data:
            return []
        if not isinstance(numbers, dict) or not numbers:
            document.problem(("numbers",), "must list at least one number and who answers it")
            return []
        entries = [entry for key, value in numbers.items() if (entry := self._entry(key, value, plan, common))]
        if self._needs_time and "timezone" not in document.data:
            document.problem(("timezone",), 'must be given, as in "America/New_York": rules look at the time')
        document.problems.extend(duplicate_numbers(entries))
        return entries

    def outbound(self) -> list[OutboundPersona]:
        """The personas that calls may be placed with."""
        document = self._document
        if not isinstance(document.data, dict) or "outbound" not in document.data:
            return []
        listed = document.data["outbound"]
        if not isinstance(listed, tuple) or not listed:
            document.problem(("outbound",), "must be a list of personas that calls may be placed with")
            return []
        common = self._common or self._options((), document.data)
        found = [self._outbound(("outbound", index), item, common) for index, item in enumerate(listed)]
        return [each for each in found if each is not None]

    def _outbound(self, path: Located, value: Any, common: Options) -> OutboundPersona | None:
        if not isinstance(value, dict):
            persona = self._persona(path, value)
            return OutboundPersona(persona, common, self._where(path)) if persona else None
        self._known_keys(path, value, ("persona", *_OUTBOUND_KEYS))
        if "persona" not in value:
            self._document.problem(path, "says nobody: it needs `persona`")
            return None
        options = self._options(path, value).over(common)
        persona = self._persona((*path, "persona"), value["persona"])
        return OutboundPersona(persona, options, self._where(path)) if persona else None

    # --- what holds for the whole file -------------------------------------------------------------------------

    def _timezone(self) -> ZoneInfo | None:
        name = self._text(("timezone",), self._document.data.get("timezone", _MISSING))
        if name is None:
            return None
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self._document.problem(("timezone",), f'no time zone is called "{name}"; write it as "America/New_York"')
            return None

    def _region(self) -> str | None:
        region = self._text(("region",), self._document.data.get("region", _MISSING))
        if region is not None and region not in SUPPORTED_REGIONS:
            self._document.problem(("region",), f'"{region}" is not a region; use two capital letters, as in "US"')
            return None
        return region

    def _calendar(self) -> HolidayCalendar:
        value = self._document.data.get("holidays", ())
        regions: list[str] = []
        dates: set[date] = set()
        for index, item in enumerate(value if isinstance(value, tuple) else (value,)):
            place: Located = ("holidays", index) if isinstance(value, tuple) else ("holidays",)
            text = self._text(place, item)
            if text is None:
                continue
            try:
                holiday = parse_holiday(text)
            except ValueError as error:
                self._document.problem(place, str(error))
                continue
            if isinstance(holiday, date):
                dates.add(holiday)
            else:
                regions.append(holiday)
        return HolidayCalendar(tuple(regions), frozenset(dates))

    # --- numbers and rules -------------------------------------------------------------------------------------

    def _entry(self, key: str, value: Any, plan: PlanFile, common: Options) -> Entry | None:
        path: Located = ("numbers", key)
        try:
            pattern = parse_pattern(key, plan.region)
        except ValueError as error:
            self._document.problem(path, str(error))
            pattern = NumberPattern(key)
        rules = self._rules(path, value, plan, common)
        if isinstance(value, tuple):
            if value and not any(_takes_every_call(item) for item in value):
                self._document.problem(path, "has no last rule for all other calls: add `- otherwise: …`")
            self._document.problems.extend(unreachable_rules(rules, self._document.file))
        return Entry(pattern, tuple(rules), self._where(path), plan) if rules else None

    def _rules(self, path: Located, value: Any, plan: PlanFile, common: Options) -> list[Rule]:
        if not isinstance(value, tuple):
            rule = self._rule(path, value, plan, common, listed=False)
            return [rule] if rule else []
        if not value:
            self._document.problem(path, "must say who answers: a persona or a list of rules")
        rules = [self._rule((*path, index), item, plan, common, listed=True) for index, item in enumerate(value)]
        return [rule for rule in rules if rule is not None]

    def _rule(self, path: Located, value: Any, plan: PlanFile, common: Options, *, listed: bool) -> Rule | None:
        if not isinstance(value, dict):
            persona = self._persona(path, value)
            return Rule(self._where(path), "always", persona, options=common) if persona else None
        known = _RULE_KEYS if listed else tuple(key for key in _RULE_KEYS if key not in ("when", "from", "otherwise"))
        self._known_keys(path, value, known)
        when = self._when((*path, "when"), value["when"], plan) if "when" in value else None
        callers, withheld = self._from((*path, "from"), value["from"], plan) if "from" in value else ((), False)
        if "otherwise" in value and ("when" in value or "from" in value):
            self._document.problem((*path, "otherwise"), "takes all other calls: it goes without `when` and `from`")
        options = self._options(path, value).over(common)
        to = self._target(path, value)
        if isinstance(value.get("otherwise"), dict):
            inner: Located = (*path, "otherwise")
            self._known_keys(inner, value["otherwise"], (*_TARGET_KEYS, *_OPTION_KEYS))
            options = self._options(inner, value["otherwise"]).over(options)
        incomplete = ("when" in value and when is None) or ("from" in value and not callers and not withheld)
        if to is None or incomplete:
            return None
        return Rule(self._where(path), _conditions(value), to, when, callers, withheld, options)

    def _target(self, path: Located, value: Mapping[str, Any]) -> PersonaRef | Refusal | None:
        given = [key for key in (*_TARGET_KEYS, "otherwise") if key in value]
        if len(given) != 1:
            said = f"has {' and '.join(given)}" if given else "names nobody"
            known = ", ".join(f"`{key}`" for key in (*_TARGET_KEYS, "otherwise"))
            self._document.problem(path, f"{said}: a rule needs exactly one of {known}")
            return None
        key = given[0]
        place, inner = (*path, key), value[key]
        if key == "otherwise" and isinstance(inner, dict):
            if len([name for name in _TARGET_KEYS if name in inner]) != 1:
                known = ", ".join(f"`{name}`" for name in _TARGET_KEYS)
                self._document.problem(place, f"needs exactly one of {known}")
                return None
            return self._target(place, {name: inner[name] for name in inner if name in _TARGET_KEYS})
        if key == "queue_sign":
            return self._signs(place, inner)
        if key in FLOW_KEYS:
            flow = self._flows.step(place, key, inner)
            return None if flow is None else PersonaRef(Path(self._document.file), key, self._where(place), flow)
        return self._refusal(place, inner) if key == "refuse" else self._persona(place, inner)

    def _signs(self, path: Located, value: Any) -> PersonaRef | None:
        """Members of queues sign in and out by dialling the number."""
        if value not in _SIGNS:
            self._document.problem(path, f"must be one of {', '.join(_SIGNS)}")
            return None
        return PersonaRef(OURS, _SIGNS[value], self._where(path))

    def _refusal(self, path: Located, value: Any) -> Refusal | None:
        if not isinstance(value, dict):
            self._document.problem(path, 'write it as {status: 403, reason: "not in service"}')
            return None
        self._known_keys(path, value, ("status", "reason"))
        status = value.get("status", 403)
        if not isinstance(status, int) or isinstance(status, bool) or not 400 <= status <= 699:
            self._document.problem((*path, "status"), "must be a SIP status from 400 to 699")
            return None
        reason = self._text((*path, "reason"), value.get("reason", "Refused by dialplan"))
        if reason is not None and not re.fullmatch(r"[ -~]{1,100}", reason):
            self._document.problem((*path, "reason"), "must be one line of at most 100 ASCII characters")
            return None
        return Refusal(status, reason) if reason is not None else None

    def _persona(self, path: Located, value: Any) -> PersonaRef | None:
        text = self._text(path, value)
        if text is None:
            return None
        if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*){1,2}", text, re.ASCII):
            self._document.problem(
                path,
                f'"{text}" is not a persona: write file and class, as in "clinic.Reception", '
                'or file and factory, as in "clinic.reception"',
            )
            return None
        module, _, name = text.partition(".")
        file = self._folder / f"{module}.py"
        if file not in self._looked_at:
            self._looked_at[file] = self._classes(file)
        found = self._looked_at[file]
        if isinstance(found, Problem):
            self._document.problem(path, f'persona "{text}" cannot be used: {found}')
            return None
        outer = name.partition(".")[0]
        if outer not in found:
            hint = similar(outer, found)
            self._document.problem(path, f'persona "{text}" is unknown: {file} has no class or factory {outer}{hint}')
            return None
        return PersonaRef(file, name, self._where(path))

    def _when(self, path: Located, value: Any, plan: PlanFile) -> TimeSpec | None:
        self._needs_time = True
        items = value if isinstance(value, tuple) else (value,)
        specs: list[TimeSpec] = []
        for index, item in enumerate(items):
            place = (*path, index) if isinstance(value, tuple) else path
            text = self._text(place, item)
            if text is None:
                continue
            try:
                specs.append(parse_times(text))
            except ValueError as error:
                self._document.problem(place, str(error))
                continue
            if specs[-1].uses_holidays and "holidays" not in self._document.data:
                self._document.problem(
                    place, "mentions holidays, but the file does not define them: add `holidays: US`"
                )
        if not items:
            self._document.problem(path, "is empty")
        if len(specs) < len(items) or not specs:
            return None
        return TimeSpec(", ".join(spec.text for spec in specs), tuple(item for spec in specs for item in spec.items))

    def _from(self, path: Located, value: Any, plan: PlanFile) -> tuple[tuple[NumberPattern, ...], bool]:
        patterns: list[NumberPattern] = []
        withheld = False
        items = value if isinstance(value, tuple) else (value,)
        for index, item in enumerate(items):
            place = (*path, index) if isinstance(value, tuple) else path
            text = self._text(place, item)
            if text is None:
                continue
            if normalise_caller(text, plan.region) is None:
                withheld = True
                if text != "withheld":
                    self._document.problem(place, f'hidden numbers are written "withheld" here, not "{text}"')
                continue
            try:
                patterns.append(parse_pattern(text, plan.region))
            except ValueError as error:
                self._document.problem(place, str(error))
        if not items:
            self._document.problem(path, "is empty")
        return tuple(patterns), withheld

    def _options(self, path: Located, value: Mapping[str, Any]) -> Options:
        recording = value.get("recording")
        if "recording" in value and not isinstance(recording, bool):
            self._document.problem((*path, "recording"), "must be true or false")
            recording = None
        speech = self._overrides((*path, "speech"), value, SpeechSettings)
        session = self._overrides((*path, "session"), value, SessionSettings)
        before: BeforeCall | Literal[False] | None = None
        after: SummarySettings | Literal[False] | None = None
        if "before_call" in value:
            before = read_before_call(
                self._document, (*path, "before_call"), value["before_call"], lambda *named: self._persona(*named)
            )
        if "after_call" in value:
            after = read_after_call(self._document, (*path, "after_call"), value["after_call"])
        answering: dict[str, Any] | None = None
        if "answering" in value:
            found = validate_model(self._document, (*path, "answering"), AnsweringOptions, value["answering"])
            answering = None if found is None else found.given()
        return Options(speech, session, recording, before, after, answering)

    def _overrides(self, path: Located, value: Mapping[str, Any], model: type[BaseModel]) -> dict[str, Any]:
        """The fields that are given, validated by the settings' own model."""
        name = str(path[-1])
        if name not in value:
            return {}
        found = validate_model(self._document, path, model, value[name])
        return {field: getattr(found, field) for field in sorted(found.model_fields_set)} if found else {}

    # --- small things ------------------------------------------------------------------------------------------

    def _text(self, path: Located, value: Any) -> str | None:
        """Text, or None with a problem noted; `_MISSING` is None without one."""
        if value is _MISSING:
            return None
        if isinstance(value, str) and value.strip():
            return value
        self._document.problem(path, number_as_text(self._document.written, path) or "must be text")
        return None

    def _known_keys(self, path: Located, value: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for key in value:
            if key not in known:
                self._document.problem((*path, key), f"is not known here{similar(key, known)}")

    def _where(self, path: Located) -> str:
        return f"{self._document.file}:{self._document.line(path)}"


def _takes_every_call(item: Any) -> bool:
    """Whether a rule in the file has no conditions."""
    return not (isinstance(item, dict) and ("when" in item or "from" in item))


def _conditions(rule: Mapping[str, Any]) -> str:
    """A rule's conditions in the file's words."""
    parts = []
    for key in ("when", "from"):
        if key in rule:
            value = rule[key]
            parts.append(f"{key} {', '.join(map(str, value)) if isinstance(value, tuple) else value}")
    if parts:
        return " ".join(parts)
    return "otherwise" if "otherwise" in rule else "always"
