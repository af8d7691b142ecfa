"""Flows: what a dialplan does with a caller without a persona, or before one. Format: docs/dialplan.md."""

from gateway.flows.steps import (
    Choice,
    CollectStep,
    FlowStep,
    HangUpStep,
    MenuStep,
    PersonaStep,
    QueueStep,
    TransferStep,
    alike,
    kind_of,
    personas_in,
    step_from_dict,
    step_to_dict,
    steps_in,
)

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
