"""`trunkline phones`: which phones are registered with a running gateway."""

from __future__ import annotations

import argparse
import json
from datetime import datetime
from typing import Any

from gateway.commands.running_gateway import add_address, with_gateway

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "phones",
        help="show which phones are registered",
        description="Show each phone of the settings: its devices, where they are, until when they are registered, and "
        "whether they answer. Exit code 0: all can be called; 1: one cannot, or the gateway does not answer; 2: bad "
        "input.",
    )
    add_address(parser, "one JSON object a line")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    return with_gateway(
        args, "phones", lambda client: _show(client.get_json("/v1/phones")["phones"], as_json=args.json)
    )


def _show(found: list[dict[str, Any]], *, as_json: bool) -> int:
    for phone in found:
        print(json.dumps(phone) if as_json else "\n".join(_lines(phone)))
    return 0 if all(phone["reachable"] for phone in found) else 1


def _lines(phone: dict[str, Any]) -> list[str]:
    number = f" ({_safe(phone['number'])})" if phone["number"] else ""
    state = "" if phone["devices"] else ": not registered"
    return [f"{_safe(phone['name'])}{number}{state}", *(f"  {_device(device)}" for device in phone["devices"])]


def _device(device: dict[str, Any]) -> str:
    parts = [f"{_safe(device['source'])} as {_safe(device['uri'])}", f"until {_time(device['expires_at'])}"]
    if not device["reachable"]:
        parts.append("does not answer")
    elif device["round_trip_ms"] is not None:
        parts.append(f"answers in {device['round_trip_ms']:g} ms")
    if device["agent"]:
        parts.append(_safe(device["agent"]))
    return ", ".join(parts)


def _time(text: str) -> str:
    return datetime.fromisoformat(text).astimezone().strftime("%H:%M:%S")


def _safe(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)
