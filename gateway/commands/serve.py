"""`trunkline serve`: run the gateway until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from agent.stopping import on_stop_signals
from agent.warm.client import fork_early
from agent.warm.memory import give_back

if TYPE_CHECKING:
    from gateway.app import Gateway
    from gateway.config import Settings
    from gateway.dialplan import Dialplan

__all__ = ["add_parser", "load", "run", "start_gateway"]


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("serve", help="run the gateway", description=__doc__)
    parser.add_argument("--config", required=True, metavar="FILE", help="settings (YAML)")
    parser.add_argument("--show", action="store_true", help="show live conversations on standard output")
    parser.set_defaults(run=run)


def load(path: str) -> tuple[Settings, Dialplan]:
    """Settings and dialplans, fully validated before anything starts. Raises ConfigError."""
    from gateway.config import load_settings
    from gateway.dialplan import Dialplan

    settings = load_settings(path)
    return settings, Dialplan.load(settings.dialplans, settings)


def run(args: argparse.Namespace) -> int:
    from gateway import logs
    from gateway.config import ConfigError
    from gateway.file_handles import raise_soft_limit
    from gateway.private_files import close_to_others

    close_to_others()
    try:
        settings, dialplan = load(args.config)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    missing = [f"{args.config}: {text}" for text in settings.missing_secrets()] + dialplan.missing_secrets
    if missing:
        print("\n".join(missing), file=sys.stderr)
        return 2
    if settings.sip.tls is not None:
        from gateway.edge_tls import tls_problems

        if problems := list(tls_problems(settings)):
            print("\n".join(f"{args.config}: {where}: {text}" for where, text in problems), file=sys.stderr)
            return 2
    logs.configure(settings.log.level, settings.log.format)
    raise_soft_limit()
    _fork_warm_parent(settings)
    _load_our_own(settings)
    return asyncio.run(_serve(settings, dialplan, show=args.show))


def _fork_warm_parent(settings: Settings) -> None:
    """Load what this process and its call workers both need, once, to share it."""
    for name in ("gateway.control", "gateway.record", "telephony.media.recording"):
        import_module(name)
    if settings.rooms == "livekit":
        import_module("gateway.livekit.server_watch")
    if settings.livekit is not None and settings.livekit.worker.in_gateway:
        for name in ("agent.worker.server", "gateway.livekit_jobs.job_records"):
            import_module(name)
    fork_early()


def _load_our_own(settings: Settings) -> None:
    """Release memory needed only for loading, before there are threads."""
    if settings.livekit is not None and settings.livekit.worker.in_gateway:
        import_module("gateway.livekit_jobs.hosted")
    for name in ("gateway.app", "gateway.live"):
        import_module(name)
    give_back()


async def _serve(settings: Settings, dialplan: Dialplan, *, show: bool) -> int:
    from gateway.app import Gateway
    from gateway.live import follow
    from gateway.terminal import Terminal

    gateway = Gateway(settings, dialplan)
    if show:
        follow(gateway, Terminal())
    starting = asyncio.current_task()
    assert starting is not None
    on_stop_signals(asyncio.get_running_loop(), starting.cancel, starting.cancel)  # `serve` has its own
    try:
        if not await start_gateway(gateway):
            return 1
    except asyncio.CancelledError:
        print("trunkline was stopped before it was ready", file=sys.stderr)
        return 1
    print(f"ready: {', '.join(str(address) for address in gateway.edge.addresses)}  {gateway.api.url}", flush=True)
    await gateway.serve()
    return 0


async def start_gateway(gateway: Gateway) -> bool:
    """Start, or print in one line why it can't."""
    from gateway.api import ExposureError
    from gateway.store import StoreError
    from telephony.edge import TlsFilesError
    from telephony.errors import PortTaken

    try:
        await gateway.start()
    except (PortTaken, TlsFilesError, StoreError, ExposureError, TimeoutError, OSError) as error:
        reason = str(error) or "no call worker became ready; see the log above"
        print(f"trunkline cannot start: {reason}", file=sys.stderr)
        return False
    return True
