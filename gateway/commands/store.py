"""`trunkline store`: old calls out of the store, calls as JSON lines, and a move to another database."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from gateway.commands.with_store import settings_for, with_store

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.store import CallStore, Selection

__all__ = ["add_parser", "run"]

_AGE = re.compile(r"([1-9][0-9]{0,5})([hdw])")
_HOURS = {"h": 1, "d": 24, "w": 168}


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "store",
        help="prune old calls, export calls, move to PostgreSQL",
        description="Look after the store of call records.",
    )
    commands = parser.add_subparsers(dest="store_command", required=True, metavar="COMMAND")
    prune = commands.add_parser(
        "prune",
        help="remove old records, recordings and transcripts",
        description="Remove data older than the given ages: 12h, 90d, 8w since the call began. The gateway may be "
        "running; calls in progress are left alone. Exit code 0: done; 1: not, or only partly; 2: bad input.",
    )
    for what, meaning in (
        ("records", "whole records of calls, with their recordings"),
        ("recordings", "recordings; the records stay"),
        ("transcripts", "transcripts and events; the records and recordings stay"),
    ):
        prune.add_argument(f"--{what}", metavar="AGE", type=_age, help=f"{meaning}, when older than this")
    prune.add_argument("--dry-run", action="store_true", help="only say what would go")
    prune.add_argument("--compact", action="store_true", help="free the disk space; new records wait meanwhile")
    prune.set_defaults(run=run, work=_prune)
    export = commands.add_parser(
        "export",
        help="write calls as JSON lines",
        description="Write calls that are over, oldest first, one JSON object a line, each as GET /v1/calls/{id} "
        "answers it. Exit code 0: done; 1: not, and why; 2: bad input.",
    )
    export.add_argument("--since", metavar="TIME", type=_time, help="started at or after: ISO 8601, UTC unless given")
    export.add_argument("--until", metavar="TIME", type=_time, help="started before")
    export.add_argument("--out", metavar="FILE", help="write there (default: standard output)")
    export.set_defaults(run=run, work=_export)
    copy = commands.add_parser(
        "copy",
        help="copy the records of a SQLite file into the store of the settings",
        description="Copy calls, with all that belongs to them, and API keys from a SQLite file into the store of the "
        "settings: how a gateway moves to PostgreSQL. Stop the gateway first. Calls that are there already are left as "
        "they are, so that it can be repeated. Exit code 0: done; 1: not, and why; 2: bad input.",
    )
    copy.add_argument("--from", dest="source", required=True, metavar="FILE", type=Path, help="the SQLite file")
    copy.set_defaults(run=run, work=_copy, dialplan=None)
    for each in (prune, export, copy):
        each.add_argument("--config", required=True, metavar="FILE", help="the gateway's settings")
    for each in (prune, export):
        each.add_argument("--dialplan", metavar="FILE", help="only calls that a rule of this dialplan took")
        each.add_argument(
            "--all-gateways", action="store_true", help="with PostgreSQL: not only this gateway's own calls"
        )


def run(args: argparse.Namespace) -> int:
    from gateway.config import ConfigError

    try:
        settings = settings_for(args.config)
        dialplan = _dialplan(settings, args.dialplan)
        if args.work is _prune and not (args.records or args.recordings or args.transcripts):
            raise ValueError("nothing to remove: use --records, --recordings or --transcripts, each with an age")
    except (ConfigError, ValueError) as error:
        print(f"trunkline store: {error}", file=sys.stderr)
        return 2
    return with_store(
        "store", settings, lambda store: args.work(store, settings, args, dialplan), must_exist=args.work is not _copy
    )


async def _prune(store: CallStore, settings: Settings, args: argparse.Namespace, dialplan: str) -> int:
    from gateway.pruning import prune
    from gateway.store import Kept

    now = datetime.now(UTC)
    failed = False
    for what in Kept:  # whole records first
        age: timedelta | None = getattr(args, what.value)
        if age is None:
            continue
        selection = _selection(settings, args, dialplan, until=now - age)
        done = await prune(
            store, settings.recordings, selection, what, dry_run=args.dry_run, progress=_progress(what.value)
        )
        verb = "would go" if args.dry_run else "gone"
        files = f", {done.recordings} files with {done.bytes / 1e6:.1f} MB" if what is not Kept.TRANSCRIPTS else ""
        waits = f", {done.waits} waits in queues" if done.waits else ""
        print(f"{what.value} of before {selection.until:%Y-%m-%d %H:%M} UTC: {done.calls} calls {verb}{files}{waits}")
        for error in done.errors:
            print(f"trunkline store: recording not removed: {error}", file=sys.stderr)
        failed |= bool(done.errors)
    if args.compact and not args.dry_run:
        await store.compact()
    return 1 if failed else 0


async def _export(store: CallStore, settings: Settings, args: argparse.Namespace, dialplan: str) -> int:
    selection = _selection(settings, args, dialplan, since=args.since, until=args.until)
    if args.out is None:
        await _lines(store, selection, sys.stdout)
        return 0
    path = Path(args.out)
    new = path.with_name(f"{path.name}.new")  # a cut-off export does not look like a whole one
    with new.open("w", encoding="utf-8") as file:
        count = await _lines(store, selection, file)
    new.replace(path)
    print(f"{path}: {count} calls")
    return 0


async def _lines(store: CallStore, selection: Selection, file: IO[str]) -> int:
    from pydantic import TypeAdapter

    from gateway.record import CallDetail

    model = TypeAdapter(CallDetail)
    progress = _progress("calls")
    count, after = 0, None
    while call_ids := await store.find(selection, after, 200):
        for call_id in call_ids:
            call = await store.get_call(call_id)
            if call is None:  # pruned meanwhile
                continue
            file.write(model.dump_json(call, warnings=False).decode() + "\n")
            count, after = count + 1, (call.started_at, call.call_id)
        progress(count)
    return count


async def _copy(store: CallStore, settings: Settings, args: argparse.Namespace, _dialplan: str) -> int:
    from gateway.store_copy import copy

    done = await copy(args.source, store, settings.store.owner, _progress("calls"))
    calls = f"{done.calls} calls copied, {done.known} were there already"
    print(f"{calls}; {done.keys} API keys; {done.waits} waits in queues")
    return 0


def _selection(
    settings: Settings,
    args: argparse.Namespace,
    dialplan: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Selection:
    from gateway.store import Selection

    own = "" if args.all_gateways else settings.store.owner
    return Selection(since=since, until=until, dialplan=dialplan, gateway_id=own)


def _dialplan(settings: Settings, given: str | None) -> str:
    """As rules are named in records. Raises ValueError for a file that is not in the settings."""
    if given is None:
        return ""
    for path in settings.dialplans:
        if given in (str(path), path.name) or Path(given).resolve() == path.resolve():
            return str(path)
    known = ", ".join(str(path) for path in settings.dialplans)
    raise ValueError(f"{given} is not a dialplan of the settings; known are: {known}")


def _progress(what: str) -> Callable[[int], None]:
    """Only on a terminal."""

    def show(count: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{what}: {count}", end="\n" if not count else "", file=sys.stderr, flush=True)

    return show


def _age(text: str) -> timedelta:
    found = _AGE.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f'invalid age "{text}"; use hours, days or weeks, as in 12h, 90d or 8w')
    return timedelta(hours=int(found[1]) * _HOURS[found[2]])


def _time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
        return at.astimezone(UTC) if at.tzinfo is not None else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f'invalid time "{text}"; use a form like 2026-11-20T09:00:00Z') from None
