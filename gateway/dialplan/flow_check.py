"""Whether a flow's transfers may go where they lead, and its queues are there, by the settings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agent.warm.asking import Refused
from gateway.config import Problem, Settings, TrunkSettings
from gateway.config.livekit_sip import LiveKitOutboundSettings
from gateway.config.messages import similar
from gateway.flows import FlowStep, QueueStep, TransferStep, kind_of, steps_in
from gateway.transfers.targets import referred_to

__all__ = ["flow_problems"]


def flow_problems(flow: FlowStep, settings: Settings) -> Iterable[Problem]:
    """Each with its line."""
    queues = [queue.name for queue in settings.queues]
    trunks, carriers = settings.sip.trunks, settings.livekit.outbound if settings.livekit is not None else ()
    for step in steps_in(flow):
        wrong = ""
        if isinstance(step, QueueStep) and step.queue not in queues:
            wrong = f'unknown queue "{step.queue}"{similar(step.queue, queues)}'
        if isinstance(step, TransferStep) and (trunks or carriers):  # else calls come from elsewhere
            wrong = _closed(step, trunks, carriers)
        if wrong:
            file, _, line = step.where.rpartition(":")
            yield Problem(file, int(line), kind_of(step), wrong)


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
