"""Dialplans: which number reaches which persona, when, and for which callers. Format: docs/dialplan.md.

plan = Dialplan.load(settings.dialplans, settings)
route = plan.decide("+15550100", caller="+15550111", at=datetime.now(UTC))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from gateway.config import ConfigError, Problem, Settings
from gateway.config.session import turn_detection_problem
from gateway.config.summary import SummarySettings
from gateway.dialplan.decide import decide
from gateway.dialplan.flow_check import flow_problems
from gateway.dialplan.format import read_plan
from gateway.dialplan.hooks import missing_secret
from gateway.dialplan.index import NumberIndex
from gateway.dialplan.model import (
    BeforeCall,
    Entry,
    NoRoute,
    Options,
    OutboundPersona,
    PersonaRef,
    Refusal,
    Route,
    Rule,
    Step,
)
from gateway.dialplan.numbers import normalise, normalise_caller
from gateway.dialplan.personas import PersonaSource, classes_in, load_persona
from gateway.dialplan.queue_check import queue_problems
from gateway.dialplan.reach import duplicate_numbers

__all__ = [
    "BeforeCall",
    "Dialplan",
    "Entry",
    "NoRoute",
    "OutboundPersona",
    "PersonaRef",
    "Refusal",
    "Route",
    "Rule",
    "Step",
    "decide",
    "load_persona",
    "normalise",
    "normalise_caller",
]


@dataclass(frozen=True, slots=True)
class Dialplan:
    """All numbers of all files, and the personas that calls may be placed with."""

    entries: tuple[Entry, ...]
    outbound: tuple[OutboundPersona, ...] = ()
    index: NumberIndex = field(init=False, repr=False, compare=False)
    _after_call: Mapping[str, SummarySettings | Literal[False] | None] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "index", NumberIndex(self.entries))
        after_call = {f"{placed.where} {placed.persona}": placed.options.after_call for placed in self.outbound}
        for rule in (rule for entry in self.entries for rule in entry.rules):
            after_call[rule.name] = rule.options.after_call
        object.__setattr__(self, "_after_call", after_call)

    @classmethod
    def load(
        cls,
        paths: Iterable[Path | str],
        settings: Settings | None = None,
        classes: Callable[[Path], PersonaSource] = classes_in,
    ) -> Dialplan:
        """Read and merge files. Raises ConfigError with every problem in any of them. With `settings`, what routes
        change is checked against them too. Persona files are looked into, not run: see `load_persona`."""
        entries: list[Entry] = []
        outbound: list[OutboundPersona] = []
        problems: list[Problem] = []
        for path in paths:
            found, placed, wrong = read_plan(Path(path), classes=classes)
            entries += found
            outbound += placed
            problems += wrong
        across = duplicate_numbers(entries)  # within one file they are known already
        problems += [problem for problem in across if problem not in problems]
        if settings is not None:
            problems += _against(entries, outbound, settings)
            personas = [each for entry in entries for rule in entry.rules for each in rule.personas]
            personas += [placed.persona for placed in outbound]
            zones = {entry.plan.timezone for entry in entries} - {None}
            problems += queue_problems(settings, personas, has_timezone=len(zones) == 1)
            problems += _closed_flows(entries, settings)
        problems += _told_differently(entries, outbound, settings)
        problems += _named_twice(outbound)
        if problems:
            raise ConfigError(problems)
        return cls(tuple(entries), tuple(outbound))

    def decide(self, called: str, caller: str | None, at: datetime, region: str | None = None) -> Route | NoRoute:
        """Who answers. `at` has a time zone (ValueError); `region` is the trunk's, if it has one."""
        return decide(self.index, called, caller, at, region)

    def numbers(self, called: str, caller: str | None, region: str | None = None) -> tuple[str, str | None]:
        """Called and caller number as `decide` normalises them, for records."""
        found = self.index.find(called, caller, region)
        return found.called, found.caller

    def outbound_persona(self, name: str) -> OutboundPersona | None:
        """As in "clinic.Reminder"; None: calls may not be placed with it."""
        return next((each for each in self.outbound if str(each.persona) == name), None)

    @property
    def region(self) -> str | None:
        """The region that all files agree on; None: they don't, or none says."""
        return self.index.region

    @property
    def timezone(self) -> ZoneInfo | None:
        """The time zone of all files that have one; None if they differ or none has one."""
        zones = {entry.plan.timezone for entry in self.entries if entry.plan.timezone is not None}
        return zones.pop() if len(zones) == 1 else None

    def is_holiday(self, day: date) -> bool:
        """In the calendar of any file."""
        plans = {id(entry.plan): entry.plan for entry in self.entries}
        return any(plan.calendar.is_holiday(day) for plan in plans.values())

    @property
    def uses_time(self) -> bool:
        """Whether any rule looks at the time."""
        return any(rule.when is not None for entry in self.entries for rule in entry.rules)

    @property
    def records(self) -> bool:
        """Whether any rule enables recording, whatever the settings say."""
        options = [rule.options for entry in self.entries for rule in entry.rules]
        return any(each.recording for each in (*options, *(placed.options for placed in self.outbound)))

    @property
    def personas(self) -> tuple[PersonaRef, ...]:
        """Every persona that some rule, `before_call` or `outbound` names, once."""
        answering = [each for entry in self.entries for rule in entry.rules for each in rule.personas]
        return tuple(dict.fromkeys([*answering, *(placed.persona for placed in self.outbound)]))

    @property
    def flows(self) -> tuple[PersonaRef, ...]:
        """Every flow that some rule leads to, once."""
        targets = [rule.to for entry in self.entries for rule in entry.rules]
        return tuple(dict.fromkeys(to for to in targets if isinstance(to, PersonaRef) and to.flow is not None))

    @property
    def summaries(self) -> tuple[SummarySettings, ...]:
        """Every `after_call`, once."""
        return tuple(dict.fromkeys(each.after_call for _, each in self._all_options if each.after_call))

    def after_call(self, rule: str, persona: str) -> SummarySettings | Literal[False] | None:
        """Whom to tell of a call with these in its record; None: the dialplan does not say, False: nobody."""
        found = self._after_call.get(rule)  # of an inbound call
        return self._after_call.get(f"{rule} {persona}") if found is None else found

    @property
    def missing_secrets(self) -> list[str]:
        """Sentences, with the line of each."""
        found: dict[str, None] = {}
        for where, options in self._all_options:
            asked = options.before_call.settings if options.before_call else None
            for hook in (asked, options.after_call):
                if hook and (text := missing_secret(hook)):
                    found[f"{where}: {text}"] = None
        return list(found)

    @property
    def _all_options(self) -> list[tuple[str, Options]]:
        """With the line of each."""
        rules = [(rule.where, rule.options) for entry in self.entries for rule in entry.rules]
        return [*rules, *((placed.where, placed.options) for placed in self.outbound)]


def _told_differently(
    entries: Iterable[Entry], outbound: Iterable[OutboundPersona], settings: Settings | None
) -> Iterable[Problem]:
    """A URL is one endpoint, whoever names it."""
    known = {webhook.url: None for webhook in settings.webhooks} if settings is not None else {}
    told: dict[str, SummarySettings | None] = dict(known)
    if settings is not None and settings.summary is not None:
        told[settings.summary.url] = settings.summary
    rules = [(rule.where, rule.options.after_call) for entry in entries for rule in entry.rules]
    for where, after in (*rules, *((placed.where, placed.options.after_call) for placed in outbound)):
        if after and told.setdefault(after.url, after) != after:
            file, _, line = where.rpartition(":")
            yield Problem(file, int(line), "after_call.url", "is used elsewhere with other options: add a query to it")


def _named_twice(outbound: Iterable[OutboundPersona]) -> Iterable[Problem]:
    seen: dict[str, str] = {}
    for placed in outbound:
        name = str(placed.persona)
        if name in seen:
            file, _, line = placed.where.rpartition(":")
            yield Problem(file, int(line), "outbound", f"{name} is named before, in {seen[name]}")
        seen.setdefault(name, placed.where)


def _closed_flows(entries: Iterable[Entry], settings: Settings) -> Iterable[Problem]:
    for rule in (rule for entry in entries for rule in entry.rules):
        if isinstance(rule.to, PersonaRef) and rule.to.flow is not None:
            yield from flow_problems(rule.to.flow, settings)


def _against(entries: Iterable[Entry], outbound: Iterable[OutboundPersona], settings: Settings) -> Iterable[Problem]:
    rules: list[tuple[str, Options]] = [(rule.where, rule.options) for entry in entries for rule in entry.rules]
    for where, options in (*rules, *((placed.where, placed.options) for placed in outbound)):
        file, _, line = where.rpartition(":")
        speech = settings.speech.overridden(options.speech)
        if "openai" in speech.names() and settings.providers.openai is None:
            yield Problem(file, int(line), "speech", "uses openai, and the settings have no providers.openai")
        session = settings.session.overridden(options.session)
        wrong = session.contradiction()
        if wrong:
            yield Problem(file, int(line), f"session.{wrong[0]}", wrong[1])
        if problem := turn_detection_problem(session.turn_detection, speech.vad, speech.stt):
            yield Problem(file, int(line), "session.turn_detection", problem)
