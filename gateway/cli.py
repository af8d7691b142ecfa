"""The `trunkline` command. Exit codes: 0 success, 1 failure, 2 bad input (nothing was started)."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from importlib.metadata import version

__all__ = ["main"]

# Each module has add_parser(subparsers) and run(args) -> exit code. They import what they need in run(), so that
# `trunkline explain` does not load a speech recogniser.
COMMANDS = (
    "serve", "demo", "check", "explain", "call", "console", "replay", "record_fixture", "bench", "worker", "livekit",
    "redact", "show", "store", "keys", "trunks", "phones", "queue", "campaign",
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="trunkline", description="A telephony-first SIP voice-bot gateway: phone calls in, an AI agent talks."
    )
    parser.add_argument("--version", action="version", version=f"trunkline {version('trunkline')}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        importlib.import_module(f"gateway.commands.{name}").add_parser(subparsers)
    args = parser.parse_args(argv)
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 1


if __name__ == "__main__":
    sys.exit(main())
