"""`trunkline worker`: run agents for LiveKit rooms until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from agent.warm.client import fork_early
from agent.warm.memory import give_back

if TYPE_CHECKING:
    from gateway.config import Settings

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("worker", help="run agents in LiveKit rooms", description=__doc__)
    parser.add_argument("--config", required=True, metavar="FILE", help="settings (YAML) with a `livekit` section")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from gateway import logs
    from gateway.commands.serve import load
    from gateway.config import ConfigError
    from gateway.private_files import close_to_others

    close_to_others()
    try:
        settings, _ = load(args.config)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    if settings.livekit is None:
        print(f"{args.config}: livekit: required for `trunkline worker` (url, api_key, api_secret)", file=sys.stderr)
        return 2
    missing = settings.missing_secrets()
    if missing:
        print("\n".join(f"{args.config}: {text}" for text in missing), file=sys.stderr)
        return 2
    if any(find_spec(package) is None for package in ("livekit", "livekit.rtc", "livekit.api")):
        print("LiveKit's packages are not installed: pip install 'trunkline[livekit]'", file=sys.stderr)
        return 2
    logs.configure(settings.log.level, settings.log.format)
    _fork_warm_parent()
    _load_our_own()
    return asyncio.run(_work(settings))


def _fork_warm_parent() -> None:
    """Load what this process and its job processes both need, once, to share it."""
    for name in ("agent.worker.server", "gateway.livekit_jobs.job_records"):
        import_module(name)
    fork_early()


def _load_our_own() -> None:
    """Release memory needed only for loading, before there are threads."""
    import_module("gateway.livekit_jobs.worker")
    give_back()


async def _work(settings: Settings) -> int:
    from agent.worker.server import WorkerCannotRun
    from gateway.livekit_jobs.worker import run_worker
    from gateway.store import StoreError

    def started(_: object, url: str) -> None:
        print(f"worker: {settings.livekit.url if settings.livekit else ''}  {url}", flush=True)

    try:
        await run_worker(settings, started=started)
    except (WorkerCannotRun, StoreError) as error:
        print(f"trunkline worker cannot run: {error}", file=sys.stderr)
        return 2
    return 0
