"""`trunkline redact`: permanently remove speech and keyed digits from past calls."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.commands.with_store import settings_for, with_store

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.store import CallStore

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "redact",
        help="remove speech and keyed digits from past calls",
        description="Remove speech and keyed digits from the records of past calls, with their recordings, so that "
        "nothing of it is left in the database file. The gateway may be running. Exit code 0: done; 1: not, or only "
        "partly; 2: bad input.",
    )
    parser.add_argument("call_ids", metavar="CALL_ID", nargs="+", help="a call's ID")
    parser.add_argument("--config", required=True, metavar="FILE", help="the gateway's settings")
    parser.add_argument("--digits", action="store_true", help="only digits: keyed ones, and three or more in a row")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from gateway.config import ConfigError

    try:
        settings = settings_for(args.config)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    return with_store(
        "redact", settings, lambda store: _redact(store, settings, args.call_ids, digits_only=args.digits)
    )


async def _redact(store: CallStore, settings: Settings, call_ids: list[str], *, digits_only: bool) -> int:
    from gateway.store import Spill
    from gateway.store.redact import CallGoesOn, NoSuchCall

    failed = 0
    for call_id in dict.fromkeys(call_ids):
        if any(Spill(settings.store_path, role).mentions(call_id) for role in ("", "worker")):
            print(f"{call_id}: not redacted: parts of it are waiting to be written to the store", file=sys.stderr)
            failed += 1
            continue
        try:
            call = await store.redact(call_id, digits_only=digits_only)
        except NoSuchCall:
            print(f"{call_id}: no such call", file=sys.stderr)
            failed += 1
        except CallGoesOn:
            print(f"{call_id}: not redacted: the call is still in progress", file=sys.stderr)
            failed += 1
        else:
            audio = await asyncio.to_thread(_audio, settings.recordings, call.recording, call.spans)
            print(f"{call_id}: {call.events} events and the transcript redacted; {audio}")
    await store.compact()
    if settings.store.sqlite:
        print(f"{settings.store_path}: written anew, its WAL emptied: nothing is left in them of what was redacted")
    else:
        print(
            f"{settings.store.url}: tables written anew; the server's own WAL, replicas and backups keep what they have"
        )
    return 1 if failed else 0


def _audio(folder: Path, name: str, spans: list[tuple[float, float]] | None) -> str:
    """Redact the recording; returns what was done. Raises OSError."""
    from gateway.api.recordings import confined
    from telephony.media.redaction import erase, silence

    path = confined(folder, name) if name else None
    if path is None:
        return "it has no recording" if not name else f"its recording {name} no longer exists"
    if spans is not None:
        return f"{silence(path, spans) / 1000:.1f} s of {name} silenced"
    parts = [path, *sorted(path.parent.glob(f"{path.stem}-*{path.suffix}"))]
    for part in parts:
        erase(part)
    return f"{name} overwritten and deleted"
