"""What job processes share: loaded in their warm parent, created again in each."""

from __future__ import annotations

import asyncio

import structlog

from agent.worker.job import JobProcess
from gateway import logs
from gateway.calls.providers import ProviderSet, preload_providers
from gateway.config import Settings
from gateway.dialplan import Dialplan, load_persona
from gateway.livekit_jobs.job_parts import JobParts

__all__ = ["preload", "prewarm"]

PREWARM_LIMIT_S = 5.0  # a `prewarm` that takes longer continues while the first calls wait for it

_dialplans: list[Dialplan] = []  # of the warm parent, for its forks


def preload(settings: Settings) -> None:
    """In the warm parent: load what every job needs, without starting a thread."""
    dialplan = Dialplan.load(settings.dialplans, settings)
    rules = [rule for entry in dialplan.entries for rule in entry.rules]
    calls = settings.livekit.worker.jobs_per_process if settings.livekit else 1
    makers = [load_persona(persona) for persona in dialplan.personas]
    of_jobs = settings.model_copy(update={"slots_per_worker": calls})
    preload_providers(of_jobs, [rule.options.speech for rule in rules], makers)
    _dialplans[:] = [dialplan]


async def prewarm(process: JobProcess) -> None:
    """In each process, before its first job."""
    settings: Settings = process.arguments
    logs.configure(settings.log.level, settings.log.format)
    structlog.contextvars.bind_contextvars(worker=process.name)
    dialplan = _dialplans[0] if _dialplans else Dialplan.load(settings.dialplans, settings)
    parts = JobParts(settings, dialplan, ProviderSet(settings), process.keys or ("", ""))
    process.userdata["parts"] = parts
    parts.prewarming = asyncio.create_task(
        parts.providers.prewarm([load_persona(persona) for persona in dialplan.personas]), name="prewarm"
    )
    await asyncio.wait({parts.prewarming}, timeout=PREWARM_LIMIT_S)
