"""`trunkline keys`: API keys, made, listed and revoked. The store keeps their digests only."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gateway.commands.with_store import settings_for, with_store

if TYPE_CHECKING:
    from gateway.store.keys import StoredKeys

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "keys",
        help="make, list and revoke API keys",
        description="API keys with scopes: read (records, recordings, events), call (place and steer calls), admin "
        "(everything). A running gateway heeds changes within 5 seconds. Exit code 0: done; 1: not, and why; 2: bad "
        "input.",
    )
    commands = parser.add_subparsers(dest="keys_command", required=True, metavar="COMMAND")
    create = commands.add_parser("create", help="make a key; it is shown once")
    create.add_argument("--name", required=True, help="who or what uses it, for the list")
    create.add_argument("--scopes", type=_scopes, required=True, metavar="SCOPES", help="as in read,call")
    create.set_defaults(run=run, work=_create)
    listing = commands.add_parser("list", help="list the keys, without themselves")
    listing.add_argument("--json", action="store_true", help="one JSON object a line")
    listing.set_defaults(run=run, work=_list)
    revoke = commands.add_parser("revoke", help="revoke a key")
    revoke.add_argument("key_id", metavar="KEY_ID", help="the key's ID, as listed")
    revoke.set_defaults(run=run, work=_revoke)
    for each in (create, listing, revoke):
        each.add_argument("--config", required=True, metavar="FILE", help="the gateway's settings")


def run(args: argparse.Namespace) -> int:
    from gateway.config import ConfigError

    try:
        settings = settings_for(args.config)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    return with_store("keys", settings, lambda store: args.work(store.keys, args), must_exist=False)


async def _create(keys: StoredKeys, args: argparse.Namespace) -> int:
    from gateway.keys import make_key

    key, kept = make_key(args.name, args.scopes, datetime.now(UTC))
    await keys.add(kept)
    print(key)
    print(f"created {kept.key_id} for {args.name}; the key is not shown again", file=sys.stderr)
    return 0


async def _list(keys: StoredKeys, args: argparse.Namespace) -> int:
    for key in await keys.all():
        scopes = sorted(key.scopes)
        if args.json:
            fields = {
                "key_id": key.key_id,
                "name": key.name,
                "scopes": scopes,
                "created_at": key.created_at.isoformat(),
                "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
            }
            print(json.dumps(fields, ensure_ascii=False))
            continue
        state = f"revoked {key.revoked_at:%Y-%m-%d %H:%M}" if key.revoked_at else "active"
        name = "".join(char if char.isprintable() else "?" for char in key.name)
        print(f"{key.key_id}  {','.join(scopes):16}  {key.created_at:%Y-%m-%d %H:%M}  {state:24}  {name}")
    return 0


async def _revoke(keys: StoredKeys, args: argparse.Namespace) -> int:
    if await keys.revoke(args.key_id, datetime.now(UTC)):
        print(f"{args.key_id} is revoked")
        return 0
    print(f"trunkline keys: no active key {args.key_id}", file=sys.stderr)
    return 1


def _scopes(text: str) -> frozenset[Any]:
    from gateway.keys import Scope

    try:
        return frozenset(Scope(each.strip()) for each in text.split(","))
    except ValueError:
        known = ", ".join(scope.value for scope in Scope)
        raise argparse.ArgumentTypeError(f'invalid scopes "{text}"; known are: {known}') from None
