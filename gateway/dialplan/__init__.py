"""Dialplans: which number reaches which persona, when, and for which callers. Format: docs/dialplan.md.

plan = Dialplan.load(settings.dialplans, settings)
route = plan.decide("+15550100", caller="+15550111", at=datetime.now(UTC))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from gateway.config import ConfigError, Problem, Settings
from gateway.config.session import turn_detection_problem
from gateway.dialplan.decide import decide
from gateway.dialplan.format import read_plan
from gateway.dialplan.index import NumberIndex
from gateway.dialplan.model import Entry, NoRoute, PersonaRef, Refusal, Route, Rule, Step
from gateway.dialplan.numbers import normalise, normalise_caller
from gateway.dialplan.personas import PersonaSource, classes_in, load_persona
from gateway.dialplan.reach import duplicate_numbers

__all__ = [
    "Dialplan",
    "Entry",
    "NoRoute",
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
    """All numbers of all files."""

    entries: tuple[Entry, ...]
    index: NumberIndex = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "index", NumberIndex(self.entries))

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
        problems: list[Problem] = []
        for path in paths:
            found, wrong = read_plan(Path(path), classes=classes)
            entries += found
            problems += wrong
        across = duplicate_numbers(entries)  # within one file they are known already
        problems += [problem for problem in across if problem not in problems]
        if settings is not None:
            problems += _against(entries, settings)
        if problems:
            raise ConfigError(problems)
        return cls(tuple(entries))

    def decide(self, called: str, caller: str | None, at: datetime, region: str | None = None) -> Route | NoRoute:
        """Who answers. `at` has a time zone (ValueError); `region` is the trunk's, if it has one."""
        return decide(self.index, called, caller, at, region)

    def numbers(self, called: str, caller: str | None, region: str | None = None) -> tuple[str, str | None]:
        """Called and caller number as `decide` normalises them, for records."""
        found = self.index.find(called, caller, region)
        return found.called, found.caller

    @property
    def region(self) -> str | None:
        """The region that all files agree on; None: they don't, or none says."""
        return self.index.region

    @property
    def timezone(self) -> ZoneInfo | None:
        """The time zone of all files that have one; None if they differ or none has one."""
        zones = {entry.plan.timezone for entry in self.entries if entry.plan.timezone is not None}
        return zones.pop() if len(zones) == 1 else None

    @property
    def uses_time(self) -> bool:
        """Whether any rule looks at the time."""
        return any(rule.when is not None for entry in self.entries for rule in entry.rules)

    @property
    def records(self) -> bool:
        """Whether any rule enables recording, whatever the settings say."""
        return any(rule.options.recording for entry in self.entries for rule in entry.rules)

    @property
    def personas(self) -> tuple[PersonaRef, ...]:
        """Every persona that some rule names, once."""
        named = (rule.to for entry in self.entries for rule in entry.rules)
        return tuple(dict.fromkeys(to for to in named if isinstance(to, PersonaRef)))


def _against(entries: Iterable[Entry], settings: Settings) -> Iterable[Problem]:
    for rule in (rule for entry in entries for rule in entry.rules):
        file, _, line = rule.where.rpartition(":")
        speech = settings.speech.overridden(rule.options.speech)
        if "openai" in speech.names() and settings.providers.openai is None:
            yield Problem(file, int(line), "speech", "uses openai, and the settings have no providers.openai")
        session = settings.session.overridden(rule.options.session)
        wrong = session.contradiction()
        if wrong:
            yield Problem(file, int(line), f"session.{wrong[0]}", wrong[1])
        if problem := turn_detection_problem(session.turn_detection, speech.vad, speech.stt):
            yield Problem(file, int(line), "session.turn_detection", problem)
