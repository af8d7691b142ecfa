"""`trunkline show`: show a past call as a transcript or a picture."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.past_call import PastCall

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "show",
        help="show a past call",
        description="Show the transcript of a call, or draw it: both sides' audio with the transcript below. "
        "Exit code 0: shown; 1: the gateway or its files are not readable; 2: bad input.",
    )
    parser.add_argument("call_id", metavar="CALL_ID", help="the call's ID")
    parser.add_argument("--svg", action="store_true", help="a picture, as SVG")
    parser.add_argument("--out", metavar="FILE", help="output file (default: standard output)")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--url", default="http://127.0.0.1:8080", help="the gateway's HTTP address")
    source.add_argument("--config", metavar="FILE", help="a gateway's settings: read its store and recordings instead")
    parser.add_argument("--key", metavar="KEY", help="an API key of the gateway")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from gateway import past_call
    from gateway.call_picture import draw_call
    from gateway.config import ConfigError
    from gateway.rest_client import RestError
    from gateway.store import StoreError
    from telephony.media.wav import BadWavFile

    try:
        if args.config:
            call = past_call.from_store(args.call_id, args.config)
        else:
            call = past_call.from_rest(args.call_id, args.url, args.key)
        text = draw_call(call.record, call.channels) if args.svg else _transcript(call)
        if args.out:
            Path(args.out).write_text(text, encoding="utf-8")
        else:
            sys.stdout.write(text)
    except (ConfigError, BadWavFile, ValueError) as error:
        print(f"trunkline show: {error}", file=sys.stderr)
        return 2
    except (RestError, StoreError, OSError) as error:
        print(f"trunkline show: {error}", file=sys.stderr)
        return 1
    return 0


def _transcript(call: PastCall) -> str:
    from gateway.end_words import answered_lines, attempt_line, audio_lines, end_line

    record = call.record
    lines = [f"          {attempt_line(event)}" for event in record["events"] if event.get("type") == "dial_attempt"]
    lines += [f"          {line}" for line in answered_lines(record)]
    lines += [f"{turn['start_ms'] / 1000:8.2f}  {turn['speaker']}: {turn['text']}" for turn in record["turns"]]
    lines += [f"          {line}" for line in audio_lines(record)]
    if record["outcome"]:
        lines.append(f"          {end_line(record)}")
    safe = ("".join(char if char.isprintable() else " " for char in line) for line in lines)
    return "".join(f"{line}\n" for line in safe)
