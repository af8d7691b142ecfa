"""What commands that ask a running gateway have in common: its address, and what they exit with."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.rest_client import RestClient

__all__ = ["add_address", "with_gateway"]


def add_address(parser: argparse.ArgumentParser, json_help: str = "JSON instead of text") -> None:
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="the gateway's HTTP address")
    parser.add_argument("--key", metavar="KEY", help="an API key of the gateway")
    parser.add_argument("--json", action="store_true", help=json_help)


def with_gateway(args: argparse.Namespace, command: str, work: Callable[[RestClient], int]) -> int:
    """The exit code of `work`; 1 if the gateway refuses or does not answer, 2 for bad input (ValueError, OSError)."""
    from gateway.rest_client import RestClient, RestError

    try:
        return work(RestClient(args.url, args.key))
    except (ValueError, OSError) as error:
        print(f"trunkline {command}: {error}", file=sys.stderr)
        return 2
    except RestError as error:
        print(f"trunkline {command}: {error}", file=sys.stderr)
        return 1
