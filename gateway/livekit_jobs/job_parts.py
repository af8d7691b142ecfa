"""What the jobs of one process share."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from gateway.calls.providers import ProviderSet
from gateway.config import Settings
from gateway.dialplan import Dialplan, PersonaRef
from gateway.flows import alike
from gateway.livekit_jobs.routing import BadMetadata, JobPlan
from telephony.livekit.access import LiveKitAccess

__all__ = ["JobParts"]


class JobParts:
    """Of one process."""

    def __init__(self, settings: Settings, dialplan: Dialplan, providers: ProviderSet, keys: tuple[str, str]) -> None:
        self.settings = settings
        self.dialplan = dialplan
        self.providers = providers
        url = settings.livekit.url if settings.livekit else ""
        self.access = LiveKitAccess(url, *keys)
        self.prewarming: asyncio.Task[None] | None = None

    def with_known_persona(self, plan: JobPlan) -> JobPlan:
        """The plan with the persona of our own dialplans that it names: permission to send agents into rooms must not
        allow running any file. The gateway may be on another machine, with another folder. Raises BadMetadata."""
        wanted = plan.persona
        known = (*self.dialplan.personas, *self.dialplan.flows)
        if wanted in known:
            return plan
        same = [ref for ref in known if _same(ref, wanted)]
        if len(same) != 1:
            raise BadMetadata(f"no dialplan of this worker has the persona {_named(wanted)}")
        return replace(plan, persona=same[0])


def _same(ref: PersonaRef, wanted: PersonaRef) -> bool:
    """But for their folders."""
    if (ref.file.stem, ref.name) != (wanted.file.stem, wanted.name):
        return False
    if ref.flow is None or wanted.flow is None:
        return ref.flow is wanted.flow
    return alike(ref.flow, wanted.flow)


def _named(ref: PersonaRef) -> str:
    return f"{ref.name} of {ref.file.name}"
