"""Compares LiveKit's stack, Trunkline on LiveKit and Trunkline alone, with the same recorded callers.

    .venv/bin/python -m bench.livekit_stack                     all of it: about ten minutes, from the top of the tree
    .venv/bin/python -m bench.livekit_stack --only b,c --calls 1

The agents hear, think and speak instantly and wait only for 0.55 s of silence, so that the remaining time is that of
the stacks. Needs what deploy/livekit/build.py needs, and installs livekit-agents into its own cache.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.livekit_stack.figures import StackFigures, disturbed, middle, over_limits, table
from bench.livekit_stack.programs import NotReady
from bench.livekit_stack.setups import SETUPS, livekit_stack_class
from gateway.commands.bench import recorded_speech


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.livekit_stack", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    keys = ",".join(setup.key for setup in SETUPS)
    parser.add_argument("--only", default=keys, metavar=keys, help="; ".join(f"{s.key}: {s.title}" for s in SETUPS))
    parser.add_argument("--calls", default="1,4,8", metavar="N[,N...]", help="simultaneous calls; one run per number")
    parser.add_argument("--rounds", type=int, default=8, help="how often each caller speaks")
    parser.add_argument(
        "--repeat", type=int, default=1, help="repeat everything this often, alternating; each figure is the median"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="file to write the figures to")
    args = parser.parse_args()
    args.only = [key.strip() for key in args.only.split(",")]
    unknown = sorted(set(args.only) - {setup.key for setup in SETUPS})
    if unknown:
        parser.error(f"--only: there is no {', '.join(unknown)}; there are {keys}")
    try:
        args.calls = [int(count) for count in args.calls.split(",")]
    except ValueError:
        parser.error("--calls: numbers separated by commas")
    if min(args.calls) < 1 or args.rounds < 2 or args.repeat < 1:
        parser.error("--calls and --repeat must be at least 1, and --rounds 2: the first has nothing to interrupt")
    return args


async def _run(args: argparse.Namespace) -> list[StackFigures]:
    from bench.livekit_stack.measure import measure

    clips = await recorded_speech()
    runs: list[StackFigures] = []
    for setup in [setup for setup in SETUPS if setup.key in args.only] * args.repeat:
        print(f"({setup.key}) {setup.title}: starting", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="trunkline-bench-", ignore_cleanup_errors=True) as folder:
            async with setup.start(Path(folder)) as started:
                for count in args.calls:
                    print(f"({setup.key}) {count} at once ...", file=sys.stderr, flush=True)
                    runs.append(await measure(setup, started, count, args.rounds, clips))
                    _write(args.json, middle(runs))  # so that an interrupted run keeps its results
    return middle(runs)


def _write(path: Path | None, runs: list[StackFigures]) -> None:
    if path is not None:
        figures: list[dict[str, Any]] = [each.to_dict() for each in runs]
        path.write_text(json.dumps(figures, indent=2) + "\n")


def main() -> int:
    """Exit code 0: all calls were answered; 1: not, or something did not start."""
    args = _arguments()
    livekit_stack_class()  # adds deploy/livekit to the path, for `build` and its error
    from build import BuildImpossible

    try:
        runs = asyncio.run(_run(args))
    except (NotReady, BuildImpossible, subprocess.CalledProcessError) as problem:
        print(problem, file=sys.stderr)
        return 1
    print(table(runs))
    for sentence in [*over_limits(runs), *disturbed(runs)]:
        print(sentence)
    return 0 if all(each.run.failed == 0 for each in runs) else 1


if __name__ == "__main__":
    sys.exit(main())
