"""Whether a flow's transfers may go where they lead, by the settings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agent.warm.asking import Refused
from gateway.config import Problem, Settings, TrunkSettings
from gateway.config.livekit_sip import LiveKitOutboundSettings
from gateway.flows import FlowStep, TransferStep, steps_in
from gateway.transfers.targets import referred_to

__all__ = ["flow_problems"]


def flow_problems(flow: FlowStep, settings: Settings) -> Iterable[Problem]:
    """Each with its line."""
    trunks, carriers = settings.sip.trunks, settings.livekit.outbound if settings.livekit is not None else ()
    if not trunks and not carriers:
        return  # calls come from elsewhere, and their trunk decides
    for step in steps_in(flow):
        if isinstance(step, TransferStep) and (wrong := _closed(step, trunks, carriers)):
            file, _, line = step.where.rpartition(":")
            yield Problem(file, int(line), "transfer", wrong)


def _closed(step: TransferStep, trunks: Sequence[TrunkSettings], carriers: Sequence[LiveKitOutboundSettings]) -> str:
    """Why no trunk brings a caller there; empty: one does."""
    names = [trunk.name for trunk in trunks] + [carrier.name for carrier in carriers]
    if step.trunk and step.trunk not in names:
        return f'unknown trunk "{step.trunk}"; known are: {", ".join(names)}'
    why = ""
    for name in [step.trunk] if step.trunk else names:
        try:
            referred_to(step.to, trunks, customers=name, named=step.trunk, carriers=carriers)
        except Refused as refused:
            why = why or refused.text
        else:
            return ""
    return why
