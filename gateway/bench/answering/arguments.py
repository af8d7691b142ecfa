"""The options of `trunkline bench answering`. Imports nothing heavy: the command line is built for every bench."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["CALLS", "add_arguments"]

CALLS = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--part",
        choices=("tuning", "seen", "reported"),
        default="reported",
        help="answering: reported (default): what nothing was tuned on; tuning, seen: the others",
    )
    parser.add_argument("--without-words", action="store_true", help="answering: as without a recogniser")
    parser.add_argument(
        "--recogniser",
        choices=("auto", "whisper", "moonshine", "none"),
        default="auto",
        help="answering: auto: Moonshine for English, the script for the rest, see docs; whisper: for the rest",
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="answering: processes that listen")
    parser.add_argument("--kept", type=Path, metavar="FOLDER", help="answering: the corpus's cache")
    parser.add_argument("--offline", action="store_true", help="answering: fetch no packages")
    parser.add_argument("--wrong", action="store_true", help="answering: list the calls that were judged wrongly")
