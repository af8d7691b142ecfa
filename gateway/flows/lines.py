"""A flow for people, a line a step, with what may follow it below. Pure."""

from __future__ import annotations

from pathlib import Path

from gateway.flows.steps import CollectStep, FlowStep, HangUpStep, MenuStep, PersonaStep, QueueStep, TransferStep

__all__ = ["flow_lines"]

_INDENT = "  "


def flow_lines(step: FlowStep, before: str = "", depth: int = 0) -> list[str]:
    """`before`: how the caller gets there."""
    indent, inner = _INDENT * depth, depth + 1
    first = f"{indent}{before}{_what(step)}"
    match step:
        case MenuStep():
            lines = [first]
            for choice in step.choices:
                said = f' or "{choice.name}"' if choice.name else ""
                lines += flow_lines(choice.step, f"{choice.key}{said}: ", inner)
            if step.repeat:
                lines.append(f"{_INDENT * inner}{step.repeat}: says it again")
            return lines + _otherwise(step.otherwise, inner, "goodbye")
        case CollectStep():
            then = flow_lines(step.then, "then: ", inner)
            return [first, *then, *_otherwise(step.otherwise, inner, "goodbye")]
        case TransferStep() | QueueStep():
            return [first, *_otherwise(step.otherwise, inner, "regrets, and the call ends")]
        case PersonaStep() | HangUpStep():
            return [first]


def _what(step: FlowStep) -> str:
    match step:
        case PersonaStep():
            return f"{Path(step.file).stem}.{step.name}"
        case MenuStep():
            return f'menu "{step.say}"'
        case CollectStep():
            count = str(step.least) if step.least == step.most else f"{step.least} to {step.most}"
            secret = ", secret" if step.secret else ""
            return f'collect {count} digits as {step.variable}{secret} "{step.say}"'
        case TransferStep():
            over = f" over {step.trunk}" if step.trunk else ""
            return f"transfer to {step.to}{over}"
        case QueueStep():
            return f"wait in the queue {step.queue}"
        case HangUpStep():
            return f'hang up "{step.say}"' if step.say else "hang up"


def _otherwise(step: FlowStep | None, depth: int, nothing: str) -> list[str]:
    return [f"{_INDENT * depth}otherwise: {nothing}"] if step is None else flow_lines(step, "otherwise: ", depth)
