"""`python -m gateway.bench.answering`: the same as `trunkline bench answering`."""

from __future__ import annotations

import argparse
import sys

from gateway.bench.answering.arguments import CALLS, add_arguments
from gateway.bench.answering.command import run

parser = argparse.ArgumentParser(prog="python -m gateway.bench.answering")
parser.add_argument("--calls", type=int, default=CALLS, metavar="N", help=f"how many; default {CALLS}")
parser.add_argument("--json", metavar="FILE", help="write the figures there (-: standard output)")
add_arguments(parser)
if __name__ == "__main__":
    arguments = parser.parse_args()
    sys.exit(run(arguments, arguments.calls))
