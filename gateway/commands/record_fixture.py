"""`trunkline record-fixture`: turn a real call into a recorded call, a test."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

__all__ = ["add_parser", "run"]

_WARNING = (
    "The fixture contains a person's voice and words: use it only as that person and the law allow, "
    "and keep it private."
)


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "record-fixture",
        help="turn a real call into a test",
        description="Turn a call of a gateway into a recorded call (docs/recorded-calls.md), and replay it once. "
        "Exit code 0: written, and the replay matches; 1: written, but the replay differs, or the "
        "gateway is unreachable; "
        "2: bad input.",
        epilog=_WARNING,
    )
    parser.add_argument("call_id", metavar="CALL_ID", help="the call's ID")
    parser.add_argument("--out", required=True, metavar="DIR", help="the folder to create; must not exist")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--url", default="http://127.0.0.1:8080", help="the gateway's HTTP address")
    source.add_argument("--config", metavar="FILE", help="a gateway's settings: read its store and recordings instead")
    parser.add_argument("--key", metavar="KEY", help="an API key of the gateway")
    parser.add_argument("--persona", metavar="FILE:CLASS", help="if it cannot be found from the record")
    parser.add_argument(
        "--digits", default="", metavar="DIGITS", help="the digits keyed by the caller, if the record hides them"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from gateway import past_call
    from gateway.config import ConfigError
    from gateway.fixtures import CannotBeFixture
    from gateway.rest_client import RestError
    from gateway.store import StoreError
    from telephony.media.wav import BadWavFile

    out = Path(args.out)
    if out.exists():
        print(f"trunkline record-fixture: {out} already exists", file=sys.stderr)
        return 2
    try:
        if args.config:
            call = past_call.from_store(args.call_id, args.config)
        else:
            call = past_call.from_rest(args.call_id, args.url, args.key)
        notes = _write(out, call.record, call.caller(), args)
    except (ConfigError, CannotBeFixture, BadWavFile, ValueError) as error:
        print(f"trunkline record-fixture: {error}", file=sys.stderr)
        return 2
    except (RestError, StoreError, OSError) as error:
        print(f"trunkline record-fixture: {error}", file=sys.stderr)
        return 1
    print(f"written: {out / 'fixture.yaml'}\n{_WARNING}")
    for note in notes:
        print(f"note: {note}")
    return _replays(out)


def _write(out: Path, record: dict[str, Any], caller: bytes, args: argparse.Namespace) -> tuple[str, ...]:
    """Writes the folder; returns its notes. Raises ValueError if the persona is unknown."""
    from agent.testing.clips import write_ulaw_wav
    from gateway.fixtures import draft_fixture, persona_of_rule

    persona = args.persona or persona_of_rule(record["persona"], record["rule"])
    if not persona:
        raise ValueError(f"the record does not say where persona {record['persona']!r} is: use --persona FILE:CLASS")
    draft = draft_fixture(record, caller, persona=persona, digits=args.digits)
    out.mkdir(parents=True)
    (out / "fixture.yaml").write_text(draft.text, encoding="utf-8")
    for name, pcm in draft.clips.items():
        write_ulaw_wav(out / name, pcm)
    return draft.notes


def _replays(out: Path) -> int:
    from agent.testing.personas import PersonaNotFound
    from agent.testing.replay import replay

    try:
        result = replay(out)
    except PersonaNotFound as error:
        print(f"trunkline record-fixture: {error}", file=sys.stderr)
        return 2
    if result.passed:
        print(f"it replays as recorded ({result.duration_s:.1f} s in {result.took_s:.1f} s)")
        return 0
    print("it does not replay as recorded; edit its expectations, or check whether it found a bug:", file=sys.stderr)
    print(result.report(), file=sys.stderr)
    return 1
