"""`trunkline campaign`: campaigns of a running gateway."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from gateway.commands.running_gateway import add_address, with_gateway

if TYPE_CHECKING:
    from gateway.campaigns.importing import Imported
    from gateway.campaigns.model import Contact
    from gateway.rest_client import RestClient

__all__ = ["add_parser", "run"]

WATCH_S = 2.0
MOST_CONTACTS, MOST_BYTES = 200, 60_000  # of one request, as the API takes them
_VERBS = {
    "start": "begin, or begin again, to call",
    "pause": "no new calls until it is resumed",
    "resume": "go on after a pause",
    "finish": "no new calls; those that are live end by themselves",
    "stop": "no new calls, and hang up those that are live",
}
_OVER = ("draft", "paused", "stopped", "done")


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "campaign",
        help="create, import, start and watch campaigns",
        description="Campaigns of a running gateway (docs/campaigns.md). Exit code 0: done; 1: the gateway refuses or "
        "does not answer, or rows of a list were refused; 2: bad input.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _action(actions, "list", "all campaigns, newest first")
    _action(actions, "create", "from a file, YAML or JSON; prints its ID").add_argument("file", type=Path)
    _with_id(_action(actions, "show", "state and figures"))
    _with_id(_action(actions, "watch", f"the same every {WATCH_S:g} s, until it does not run any more"))
    for verb, text in _VERBS.items():
        _with_id(_action(actions, verb, text))
    _with_id(_action(actions, "results", "all attempts as CSV"))
    imports = _with_id(_action(actions, "import", "people from a CSV or .xlsx file"))
    imports.add_argument("file", type=Path)
    imports.add_argument("--column", action="append", default=[], metavar="HEADER=MEANING", help="what a column is: "
                         "number, number_2 …, key, zone, consent, or a variable's name")  # fmt: skip
    imports.add_argument("--region", default="", help="the country of numbers without one, such as GB")
    imports.add_argument("--consent", default="", help="the basis for calling, of rows that name none")
    imports.add_argument("--delimiter", default="", help="default: found out")
    imports.add_argument("--encoding", default="", help="default: found out")
    imports.add_argument("--refused", type=Path, help="where refused rows go; default: beside the list")
    parser.set_defaults(run=run)


def _action(actions: Any, name: str, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=text)
    add_address(parser)
    return parser


def _with_id(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("campaign", help="its ID")
    return parser


def run(args: argparse.Namespace) -> int:
    return with_gateway(args, "campaign", lambda client: _done(client, args))


def _done(client: RestClient, args: argparse.Namespace) -> int:
    if args.action == "list":
        for each in client.get_json("/v1/campaigns")["campaigns"]:
            print(json.dumps(each) if args.json else f"{each['campaign_id']}  {each['state']:<9}  {each['name']}")
        return 0
    if args.action == "create":
        created = client.send("POST", "/v1/campaigns", _read(args.file))
        print(json.dumps(created) if args.json else created["campaign_id"])
        return 0
    path = f"/v1/campaigns/{quote(args.campaign, safe='')}"
    if args.action == "import":
        return _import(client, path, args)
    if args.action == "results":
        sys.stdout.write(client.get_bytes(f"{path}/results").decode())
        return 0
    if args.action == "watch":
        return _watch(client, path, args)
    found = client.get_json(path) if args.action == "show" else client.send("POST", f"{path}/{args.action}")
    print(json.dumps(found) if args.json else _shown(found))
    return 0


def _read(path: Path) -> Any:
    """Raises ValueError."""
    from gateway.config.located_yaml import ConfigError, read_yaml

    try:
        return json.loads(json.dumps(read_yaml(path).data, default=str))
    except ConfigError as error:
        raise ValueError(str(error)) from None


def _watch(client: RestClient, path: str, args: argparse.Namespace) -> int:
    while True:
        found = client.get_json(path)
        print(json.dumps(found) if args.json else f"\033[2J\033[H{_shown(found)}", flush=True)
        if found["state"] in _OVER:
            return 0
        time.sleep(WATCH_S)


def _shown(campaign: dict[str, Any]) -> str:
    figures = campaign["figures"]
    why = f": {campaign['reason']}" if campaign["reason"] else ""
    contacts, done = figures["contacts"], figures["done"]
    lines = [
        f"{campaign['name']} ({campaign['campaign_id']}): {campaign['state']}{why}",
        f"  people: {sum(contacts.values())}, {_counts(contacts)}; live calls: {figures['live']}",
        f"  done: {_counts(done)}",
        f"  calls: {_counts(figures['attempts'])}",
    ]
    if figures["next_at"]:
        lines.append(f"  next call at {figures['next_at']}")
    return "\n".join(lines)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"


def _import(client: RestClient, path: str, args: argparse.Namespace) -> int:
    from gateway.campaigns.importing import import_list
    from gateway.campaigns.order import CampaignOrder

    named = dict(_pair(text) for text in args.column)
    order = CampaignOrder.model_validate(client.get_json(path)["order"])
    named = {header: f"variables.{what}" if what in order.variables else what for header, what in named.items()}
    refused = args.refused or args.file.with_suffix(".refused.csv")

    async def add(contacts: list[Contact]) -> int:
        added = 0
        for body in _bodies(contacts):
            answer = await asyncio.to_thread(client.send, "POST", f"{path}/contacts", body)
            added += int(answer["added"])
        return added

    def progress(done: Imported) -> None:
        if sys.stderr.isatty():
            print(f"\r{done.rows} rows, {done.added} added, {done.refused} refused", end="", file=sys.stderr)

    done = asyncio.run(
        import_list(
            args.file, order, add, refused=refused, named=named, region=args.region, consent=args.consent,
            delimiter=args.delimiter, encoding=args.encoding, progress=progress,
        )
    )  # fmt: skip
    where = f" (see {refused})" if done.refused else ""
    print(f"{done.rows} rows: {done.added} added, {done.double} there already, {done.refused} refused{where}")
    return 1 if done.refused else 0


def _pair(text: str) -> tuple[str, str]:
    header, sign, meaning = text.rpartition("=")
    if not sign:
        raise ValueError(f"--column {text}: write it as HEADER=MEANING")
    return header, meaning


def _bodies(contacts: list[Contact]) -> Iterator[dict[str, Any]]:
    """As many requests as it takes: each has at most MOST_CONTACTS contacts and MOST_BYTES."""
    part: list[dict[str, Any]] = []
    size = 0
    for given in map(_given, contacts):
        length = len(json.dumps(given)) + 2
        if part and (len(part) == MOST_CONTACTS or size + length > MOST_BYTES):
            yield {"contacts": part}
            part, size = [], 0
        part.append(given)
        size += length
    if part:
        yield {"contacts": part}


def _given(contact: Contact) -> dict[str, Any]:
    zones = contact.numbers[0].zones
    return {
        "numbers": [number.number for number in contact.numbers],
        "key": contact.key,
        "zone": zones[0] if len(zones) == 1 else "",
        "consent": contact.consent,
        "variables": {name: value for name, value in contact.variables.items() if value},
    }
