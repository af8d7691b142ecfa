"""What a flow consists of: frozen steps, each with what may follow it. A flow travels to call workers and jobs as JSON.
Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

__all__ = [
    "Choice",
    "CollectStep",
    "FlowStep",
    "HangUpStep",
    "MenuStep",
    "PersonaStep",
    "QueueStep",
    "TransferStep",
    "alike",
    "kind_of",
    "personas_in",
    "step_from_dict",
    "step_to_dict",
    "steps_in",
]


@dataclass(frozen=True, slots=True)
class PersonaStep:
    """A persona has the caller. `where`, of all steps: the line of the dialplan."""

    file: str
    name: str
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class HangUpStep:
    """`say` empty: the call ends without a word."""

    say: str = ""
    language: str = "en"
    voice: str = ""
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class TransferStep:
    """A cold transfer to `to`. `otherwise`: when nobody there took the caller; None: regrets, and the end."""

    to: str
    say: str = ""
    trunk: str = ""
    caller: str = ""
    ring_s: float = 30.0
    refer: str = "prefer"
    extension: str = ""
    otherwise: FlowStep | None = None
    language: str = "en"
    voice: str = ""
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class QueueStep:
    """The caller waits in the human queue `queue`, without an agent. `otherwise`: when nobody there took the caller;
    None: the end."""

    queue: str
    say: str = ""
    priority: int = 0
    skills: tuple[str, ...] = ()
    otherwise: FlowStep | None = None
    language: str = "en"
    voice: str = ""
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class CollectStep:
    """As the parameters of `agent.tasks.CollectDigits`. `variable`: of the call, which gets the digits. `otherwise`:
    when the caller gave none that fit; None: goodbye."""

    say: str
    variable: str
    least: int
    most: int
    then: FlowStep
    otherwise: FlowStep | None = None
    terminators: str = "#"
    first_digit_timeout_ms: float = 7000.0
    inter_digit_timeout_ms: float = 3000.0
    secret: bool = False
    confirm: bool = False
    retries: int = 2
    say_again: str = ""
    language: str = "en"
    voice: str = ""
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Choice:
    """`name`: what the caller may say in place of the key; empty: only the key's number."""

    key: str
    step: FlowStep
    name: str = ""


@dataclass(frozen=True, slots=True)
class MenuStep:
    """As the parameters of `agent.tasks.Menu`. `otherwise`: when nothing was chosen; None: goodbye."""

    say: str
    choices: tuple[Choice, ...]
    otherwise: FlowStep | None = None
    repeat: str = ""
    first_digit_timeout_ms: float = 7000.0
    inter_digit_timeout_ms: float = 1500.0
    retries: int = 2
    say_again: str = ""
    language: str = "en"
    voice: str = ""
    where: str = field(default="", compare=False)


FlowStep = PersonaStep | MenuStep | CollectStep | TransferStep | QueueStep | HangUpStep
_KINDS: Mapping[str, type[FlowStep]] = {
    "persona": PersonaStep,
    "menu": MenuStep,
    "collect": CollectStep,
    "transfer": TransferStep,
    "queue": QueueStep,
    "hangup": HangUpStep,
}
_NEXT = ("then", "otherwise", "step")  # fields that are steps


def kind_of(step: FlowStep) -> str:
    """As the dialplan calls it."""
    return next(kind for kind, cls in _KINDS.items() if isinstance(step, cls))


def steps_in(step: FlowStep) -> Iterator[FlowStep]:
    """The step and all that may follow it, in the dialplan's order."""
    yield step
    if isinstance(step, MenuStep):
        for choice in step.choices:
            yield from steps_in(choice.step)
    if isinstance(step, CollectStep):
        yield from steps_in(step.then)
    following = None if isinstance(step, PersonaStep | HangUpStep) else step.otherwise
    if following is not None:
        yield from steps_in(following)


def personas_in(step: FlowStep) -> tuple[PersonaStep, ...]:
    return tuple(each for each in steps_in(step) if isinstance(each, PersonaStep))


def step_to_dict(step: FlowStep) -> dict[str, Any]:
    """JSON values."""
    return {"do": kind_of(step), **_to_dict(step)}


def _to_dict(of: FlowStep | Choice) -> dict[str, Any]:
    written: dict[str, Any] = {}
    for each in fields(of):
        value = getattr(of, each.name)
        if each.name in _NEXT:
            value = None if value is None else step_to_dict(value)
        elif each.name == "choices":
            value = [_to_dict(choice) for choice in value]
        written[each.name] = value
    return written


def step_from_dict(body: Mapping[str, Any]) -> FlowStep:
    """Raises KeyError, TypeError."""
    return _KINDS[body["do"]](**_read({name: value for name, value in body.items() if name != "do"}))


def _read(given: Mapping[str, Any]) -> dict[str, Any]:
    read = dict(given)
    for name in _NEXT:
        if read.get(name) is not None:
            read[name] = step_from_dict(read[name])
    if "choices" in read:
        read["choices"] = tuple(Choice(**_read(choice)) for choice in read["choices"])
    if "skills" in read:
        read["skills"] = tuple(read["skills"])
    return read


def alike(one: FlowStep, other: FlowStep) -> bool:
    """Whether they are the same but for the folders of their personas' files: the flow of another machine."""
    return _without_folders(one) == _without_folders(other)


def _without_folders(step: FlowStep) -> FlowStep:
    match step:
        case PersonaStep():
            return replace(step, file=Path(step.file).name)
        case MenuStep():
            choices = tuple(replace(each, step=_without_folders(each.step)) for each in step.choices)
            return replace(step, choices=choices, otherwise=_following(step.otherwise))
        case CollectStep():
            return replace(step, then=_without_folders(step.then), otherwise=_following(step.otherwise))
        case TransferStep() | QueueStep():
            return replace(step, otherwise=_following(step.otherwise))
        case HangUpStep():
            return step


def _following(step: FlowStep | None) -> FlowStep | None:
    return None if step is None else _without_folders(step)
