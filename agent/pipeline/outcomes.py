"""Special tool results: another persona, or the end of the call. Pure."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from agent.end_call import EndCall
from agent.persona import Agent
from agent.tasks.task import Task
from agent.tools import ToolOutcome

__all__ = [
    "all_silent",
    "as_read_by_model",
    "end_of",
    "end_refused",
    "handoff_of",
    "handoff_refused",
    "without_consequences",
]

_log = logging.getLogger(__name__)


def handoff_of(outcome: ToolOutcome) -> tuple[Agent, str] | None:
    """The next persona and the words to say, if the tool returned an `Agent` or `(Agent, str)`."""
    value = outcome.value
    if isinstance(value, Agent):
        return value, ""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], Agent):
        return value[0], str(value[1])
    return None


def end_of(outcomes: Sequence[ToolOutcome]) -> EndCall | None:
    """The first end of the call among the outcomes."""
    return next((outcome.value for outcome in outcomes if isinstance(outcome.value, EndCall)), None)


def all_silent(outcomes: Sequence[ToolOutcome]) -> bool:
    """None of them needs words."""
    return bool(outcomes) and all(outcome.silent for outcome in outcomes)


def end_refused(
    outcome: ToolOutcome, why: str = "since another function failed. Tell the caller first."
) -> ToolOutcome:
    """A refused end of the call: the caller must hear something first."""
    if not isinstance(outcome.value, EndCall):
        return outcome
    return ToolOutcome(f"The call has not ended, {why}", is_error=True)


def as_read_by_model(outcome: ToolOutcome) -> ToolOutcome:
    """Words instead of objects that mean nothing to a model."""
    if isinstance(outcome.value, EndCall):
        return ToolOutcome("The call ends after your farewell.", value=outcome.value)
    if (handoff := handoff_of(outcome)) is not None:
        if isinstance(handoff[0], Task):
            _log.error("a tool returned the task %s: tasks are awaited, not handed over to", handoff[0].name)
            return ToolOutcome("The function failed with an internal error.", is_error=True)
        return ToolOutcome(f"The caller now talks to {handoff[0].name}.", value=outcome.value)
    return outcome


def without_consequences(outcome: ToolOutcome) -> ToolOutcome:
    """For a function that outlived its activity: it can no longer hand over or end the call."""
    if isinstance(outcome.value, EndCall) or handoff_of(outcome) is not None:
        return ToolOutcome("Not done: another persona has the caller by now.", is_error=True)
    return outcome


def handoff_refused(name: str) -> ToolOutcome:
    """For a second handoff of one answer; the caller already goes to `name`."""
    return ToolOutcome(f"Not done: the caller is already handed over to {name}.", is_error=True)
