"""A parsed dialplan: which number reaches which persona, and the decision about one call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from gateway.config.answering import merged
from gateway.config.before_call import BeforeCallSettings
from gateway.config.summary import SummarySettings
from gateway.dialplan.calendar import HolidayCalendar
from gateway.dialplan.numbers import NumberPattern
from gateway.dialplan.times import TimeSpec
from gateway.flows import FlowStep, personas_in

__all__ = [
    "BeforeCall",
    "Entry",
    "NoRoute",
    "Options",
    "OutboundPersona",
    "PersonaRef",
    "PlanFile",
    "Refusal",
    "Route",
    "Rule",
    "Step",
]


@dataclass(frozen=True, slots=True)
class PersonaRef:
    """A persona's class, or a factory (`reception`, `Reception.for_call`), and the file it is in. `where`: the line of
    the dialplan that names it. `flow`: of a flow in place of a persona, its first step; `file` is the dialplan then,
    and `name` the step's kind."""

    file: Path
    name: str
    where: str = field(default="", compare=False)
    flow: FlowStep | None = None

    def __str__(self) -> str:
        return f"{self.file.stem}.{self.name}"

    @property
    def personas(self) -> tuple[PersonaRef, ...]:
        """Itself, or those that its flow leads to."""
        if self.flow is None:
            return (self,)
        return tuple(PersonaRef(Path(each.file), each.name, each.where) for each in personas_in(self.flow))


@dataclass(frozen=True, slots=True)
class Refusal:
    """The call is answered with this SIP status instead of a persona."""

    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class BeforeCall:
    """A URL that is asked before an inbound call is answered. `personas`: whom the answer may name, besides the
    rule's own."""

    settings: BeforeCallSettings
    personas: tuple[PersonaRef, ...] = ()


@dataclass(frozen=True, slots=True)
class Options:
    """A route's overrides of the settings: only the given fields. `recording` None: as in the settings. `before_call`
    and `after_call`: whom to ask and to tell; None: nothing is said here, False: nobody. `answering`: of calls that we
    place, as `AnsweringOptions.given`; None: nothing is said here."""

    speech: Mapping[str, Any] = field(default_factory=dict)
    session: Mapping[str, Any] = field(default_factory=dict)
    recording: bool | None = None
    before_call: BeforeCall | Literal[False] | None = None
    after_call: SummarySettings | Literal[False] | None = None
    answering: Mapping[str, Any] | None = None

    def over(self, below: Options) -> Options:
        """These options, with those of `below` as defaults."""
        return Options(
            {**below.speech, **self.speech},
            {**below.session, **self.session},
            below.recording if self.recording is None else self.recording,
            below.before_call if self.before_call is None else self.before_call,
            below.after_call if self.after_call is None else self.after_call,
            merged(below.answering, self.answering),
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a number's rules. Without `when` and `callers` and `withheld` it takes every call.

    `where` as in `clinic.yaml:5`; `text` says its conditions in the file's own words.
    """

    where: str
    text: str
    to: PersonaRef | Refusal
    when: TimeSpec | None = None
    callers: tuple[NumberPattern, ...] = ()
    withheld: bool = False
    options: Options = field(default_factory=Options)

    @property
    def personas(self) -> tuple[PersonaRef, ...]:
        """All who may answer by it."""
        asked = self.options.before_call.personas if self.options.before_call else ()
        return (*self.to.personas, *asked) if isinstance(self.to, PersonaRef) else ()

    @property
    def name(self) -> str:
        """As records have it."""
        return f"{self.where} {self.text}"

    @property
    def any_caller(self) -> bool:
        return not self.callers and not self.withheld

    @property
    def unconditional(self) -> bool:
        return self.when is None and self.any_caller


@dataclass(frozen=True, slots=True)
class OutboundPersona:
    """A persona that calls may be placed with."""

    persona: PersonaRef
    options: Options
    where: str


@dataclass(frozen=True, slots=True)
class PlanFile:
    """What holds for all numbers of one file. `timezone` None: no rule of the file looks at the time."""

    file: str
    timezone: ZoneInfo | None
    region: str | None
    calendar: HolidayCalendar


@dataclass(frozen=True, slots=True)
class Entry:
    """A number, or a pattern of numbers, and its rules: the first that matches decides."""

    pattern: NumberPattern
    rules: tuple[Rule, ...]
    where: str
    plan: PlanFile


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was considered: a number pattern or a rule, and why it did or did not match."""

    where: str
    what: str
    matched: bool
    why: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}: {'yes' if self.matched else 'no'}, {self.why}"


@dataclass(frozen=True, slots=True)
class Route:
    """The call goes to `persona`. `rule` names the line that said so; `called` and `caller` are normalised."""

    persona: PersonaRef
    rule: str
    called: str
    caller: str | None
    speech: Mapping[str, Any] = field(default_factory=dict)
    session: Mapping[str, Any] = field(default_factory=dict)
    recording: bool | None = None
    steps: tuple[Step, ...] = ()
    before_call: BeforeCall | None = None


@dataclass(frozen=True, slots=True)
class NoRoute:
    """The call is refused with `sip_status`. `reason` is one printable ASCII line that can go into a SIP header.
    `rule` names the line that refused it; empty: no line knows the number."""

    reason: str
    rule: str
    called: str
    caller: str | None
    sip_status: int = 404
    steps: tuple[Step, ...] = ()
    phrase: str = ""  # the reason phrase that the rule asks for; empty: SIP's own
