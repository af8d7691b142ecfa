"""The process of a call worker: what is loaded before the fork, what it gives up after it, and its run."""

from __future__ import annotations

import gc
import os
import socket
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from agent.factory import PersonaMaker
from agent.stopping import leave_ending_to_the_owner
from agent.warm.lasting import run_to_end
from agent.warm.memory import use_few_arenas
from gateway import logs
from gateway.calls.providers import ProviderSet, preload_providers
from gateway.callworker.sandbox import SandboxRefused, confine_files, give_up_privileges
from gateway.callworker.worker import CallWorker
from gateway.config import Settings
from gateway.dialplan import Dialplan, load_persona
from telephony.pjsua import Endpoint, EndpointSettings

if TYPE_CHECKING:
    from gateway.livekit.calls import LiveKitCalls

__all__ = ["preload", "run"]

log = structlog.get_logger(__name__)

_makers: list[PersonaMaker] = []  # of the warm parent, for its forks


def preload(settings: Settings) -> None:
    """In the warm parent: load what every worker needs, without starting a thread."""
    dialplan = Dialplan.load(settings.dialplans, settings)
    _makers[:] = [load_persona(persona) for persona in dialplan.personas]
    if settings.rooms == "livekit":
        from gateway.livekit.calls import preload_livekit  # a local gateway never loads it

        preload_livekit()
    else:
        rules = [rule for entry in dialplan.entries for rule in entry.rules]
        preload_providers(settings, [rule.options.speech for rule in rules], _makers)


def run(sock: socket.socket, settings: Settings, name: str, rtp_ports: tuple[int, int]) -> int:
    """In a freshly forked child: be a call worker until the gateway says stop or is gone."""
    leave_ending_to_the_owner()
    logs.configure(settings.log.level, settings.log.format)
    structlog.contextvars.bind_contextvars(worker=name)
    _confine(settings)
    use_few_arenas(2)
    gc.set_threshold(50_000, 20, 100)  # a collection in the 20 ms path would be heard
    endpoint = EndpointSettings(
        rtp_ports=rtp_ports, public_address=settings.media_address, rtp_bind=settings.rtp.address or ""
    )
    livekit = _in_rooms_of_livekit(settings)
    worker = CallWorker(
        settings,
        ProviderSet(settings),
        partial(Endpoint, endpoint),
        livekit.conversation if livekit is not None else None,
        _makers,
        livekit.dialled if livekit is not None else None,
    )
    return run_to_end(worker.serve(sock))


def _confine(settings: Settings) -> None:
    """While there is one thread. A kernel that can't leaves the worker as it was: the calls are worth more."""
    try:
        give_up_privileges()
        if settings.sandbox.enabled:
            settings.recordings.mkdir(parents=True, exist_ok=True, mode=0o700)
            writable = [settings.recordings, Path(tempfile.gettempdir()), Path(os.devnull), *settings.sandbox.writable]
            if not confine_files(writable):
                log.info("no_sandbox", reason="the kernel has no Landlock")
    except (SandboxRefused, OSError) as error:
        log.warning("no_sandbox", reason=str(error))


def _in_rooms_of_livekit(settings: Settings) -> LiveKitCalls | None:
    if settings.rooms != "livekit" or settings.livekit is None:
        return None
    from gateway.livekit.calls import LiveKitCalls

    return LiveKitCalls(settings.livekit, settings.session, settings.speech.vad)
