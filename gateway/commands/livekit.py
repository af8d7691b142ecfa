"""`trunkline livekit`: manages LiveKit SIP's trunks and dispatch rules, and places calls through it."""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.config import LiveKitSettings, Settings
    from gateway.dialplan import Dialplan
    from telephony.call import CallOutcome, TransferOutcome
    from telephony.livekit.access import LiveKitAccess
    from telephony.livekit.trunk.desired import Desired
    from telephony.livekit.trunk.plan import Action
    from telephony.livekit.trunk.sip_api import SipObjects

__all__ = ["add_parser", "desired_of", "run"]


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "livekit",
        help="manage LiveKit SIP's trunks and dispatch rules, and place calls through it",
        description="LiveKit SIP as a trunk: see docs/livekit-sip.md.",
    )
    commands = parser.add_subparsers(dest="livekit_command", required=True, metavar="COMMAND")
    _sync_parser(commands)
    _call_parser(commands)
    transfer = commands.add_parser(
        "transfer",
        help="transfer a call by REFER",
        description="Cold transfer. Exit code 0: the target answered; 1: it did "
        "not, the call is still ours; 2: bad input.",
    )
    transfer.add_argument("room", metavar="ROOM")
    transfer.add_argument("identity", metavar="IDENTITY", help="the caller's identity, such as sip_+15550111")
    transfer.add_argument("to", metavar="NUMBER_OR_URI", help="+15550123, or a sip: or tel: URI")
    transfer.add_argument("--dialtone", action="store_true", help="the caller hears ringing in the meantime")
    _common(transfer, _transfer, ring=True)


def _sync_parser(commands: Any) -> None:
    sync = commands.add_parser(
        "sync",
        help="bring LiveKit's trunks and rules in line with settings and dialplans",
        description="Show the changes and apply them. Deletes only objects that it created. "
        "Exit code 0: LiveKit matches the settings; 1: it does not; 2: bad input, nothing was done.",
    )
    sync.add_argument("--yes", action="store_true", help="do not ask")
    sync.add_argument("--dry-run", action="store_true", help="only show the plan, as `trunkline livekit plan` does")
    _common(sync, _sync)
    plan = commands.add_parser(
        "plan",
        help="show what sync would do",
        description="Show what sync would do. Exit code 0: no changes; 1: changes, or LiveKit is unreachable; "
        "2: bad input.",
    )
    plan.set_defaults(yes=False, dry_run=True)
    _common(plan, _sync)


def _call_parser(commands: Any) -> None:
    call = commands.add_parser(
        "call",
        help="call a number through LiveKit SIP",
        description="Call a number into a LiveKit room. Without --room, a room is created and the agent of "
        "livekit.agent_name is dispatched to it. Exit code 0: answered; 1: not; 2: bad input.",
    )
    call.add_argument("number", metavar="NUMBER", help="in the carrier's format, usually +15550123")
    call.add_argument("--trunk", metavar="NAME", help="name in livekit.outbound; optional if there is only one")
    call.add_argument("--room", metavar="ROOM", help="an existing room to call into")
    call.add_argument("--identity", metavar="ID", help="the phone's identity in the room; default: sip_NUMBER")
    call.add_argument("--from", dest="caller", default="", metavar="N", help="the number to show")
    call.add_argument("--name", default="", help="the name to show")
    call.add_argument("--digits", default="", metavar="KEYS", help="keys to send when answered; w: 0.5 s pause")
    _common(call, _call, ring=True)


def _common(parser: Any, does: Callable[[argparse.Namespace, Settings], Awaitable[int]], *, ring: bool = False) -> None:
    if ring:
        parser.add_argument("--ring", type=float, default=30.0, metavar="S", help="give up after this long (30)")
    parser.add_argument("--config", metavar="FILE", required=True, help="settings (YAML)")
    parser.add_argument("--json", action="store_true", help='for machines; errors are {"error": TEXT}')
    parser.set_defaults(run=run, does=does)


def run(args: argparse.Namespace) -> int:
    """Exit code 0, 1 or 2, as each command's help says."""
    from gateway.config import ConfigError, SecretMissing, load_settings
    from telephony.errors import TelephonyError, TelephonyMisuse

    try:
        settings = load_settings(args.config)
        if settings.livekit is None:
            raise ValueError("the settings have no `livekit` section (url, api_key, api_secret)")
        return int(asyncio.run(args.does(args, settings)))
    except ConfigError as error:
        return _failed(args, str(error), 2)
    except (SecretMissing, TelephonyMisuse, ValueError) as error:
        return _failed(args, f"trunkline livekit: {error}", 2)
    except TelephonyError as error:
        return _failed(args, f"trunkline livekit: {error}", 1)
    except KeyboardInterrupt:
        return _failed(args, "trunkline livekit: interrupted", 1)


def _failed(args: argparse.Namespace, text: str, code: int) -> int:
    if args.json:
        print(json.dumps({"error": text.removeprefix("trunkline livekit: ")}))
    print(text, file=sys.stderr)
    return code


async def _sync(args: argparse.Namespace, settings: Settings) -> int:
    from gateway.dialplan import Dialplan
    from telephony.livekit.trunk.livekit_sip_api import LiveKitSipApi

    if args.json and not (args.yes or args.dry_run):
        raise ValueError("--json requires --yes or --dry-run, as it cannot ask")
    desired = desired_of(settings, Dialplan.load(settings.dialplans, settings))
    async with LiveKitSipApi(_access(_livekit(settings))) as api:
        return await _synchronise(args, desired, api)


async def _synchronise(args: argparse.Namespace, desired: Desired, api: SipObjects) -> int:
    from telephony.livekit.trunk.plan import apply, make_plan

    plan = make_plan(desired.objects, await api.objects())
    due = [action for action in plan if action.does_something]
    if not args.json:
        _print_plan(plan, desired.notes)
    applied = False
    if due and not args.dry_run:
        if not args.yes and not await _agreed():
            return 1
        # Print each step when it is done, so that it is known if a later step fails.
        await apply(plan, api, lambda action: None if args.json else print(f"done: {_short(action)}"))
        applied = True
    if args.json:
        print(json.dumps(_report(plan, desired.notes, applied), indent=2))
    return 1 if due and not applied else 0


async def _agreed() -> bool:
    if not sys.stdin.isatty():
        print("trunkline livekit sync: nothing was done: not a terminal, use --yes", file=sys.stderr)
        return False
    answer = await asyncio.to_thread(input, "Apply? [y/N] ")
    return answer.strip().lower() in ("y", "yes")


def desired_of(settings: Settings, plan: Dialplan) -> Desired:
    """What LiveKit should have. Raises SecretMissing."""
    from telephony.livekit.trunk.desired import Carrier, Source, desired_objects

    livekit = _livekit(settings)
    patterns = [entry.pattern for entry in plan.entries]
    local = any(entry.plan.region for entry in plan.entries)
    sources = [
        Source(trunk.name, tuple(str(network) for network in trunk.allow), local or trunk.region is not None)
        for trunk in settings.sip.trunks
    ]
    carriers = [
        Carrier(
            each.name,
            each.address,
            each.numbers,
            each.transport,
            each.auth_username,
            each.auth_password.read() if each.auth_password else "",
        )
        for each in livekit.outbound
    ]
    return desired_objects(
        [pattern.text for pattern in patterns if pattern.exact],
        [pattern.text for pattern in patterns if not pattern.exact],
        sources,
        carriers,
        livekit.agent_name,
        livekit.api_secret.read(),
    )


async def _call(args: argparse.Namespace, settings: Settings) -> int:
    from telephony.livekit.access import call_room_name
    from telephony.livekit.trunk.dialing import LiveKitSipTrunk
    from telephony.livekit.trunk.livekit_sip_api import LiveKitSipApi

    livekit = _livekit(settings)
    trunk = _trunk(args.trunk, [each.name for each in livekit.outbound])
    access = _access(livekit)
    room = args.room or call_room_name(secrets.token_hex(6))
    async with LiveKitSipApi(access) as sip, _own_room(access, livekit.agent_name, "" if args.room else room) as own:
        outcome = await LiveKitSipTrunk(sip, trunk).call(
            args.number,
            room,
            args.identity or f"sip_{args.number}",
            caller=args.caller,
            display_name=args.name,
            digits=args.digits,
            ringing_timeout_s=args.ring,
        )
        own.wanted = outcome.answered
    return _told(outcome, outcome.answered, room if outcome.answered else "", args.json)


@dataclass(slots=True)
class _OwnRoom:
    wanted: bool = False  # when we go


@asynccontextmanager
async def _own_room(access: LiveKitAccess, agent_name: str, name: str) -> AsyncIterator[_OwnRoom]:
    """A room with an agent, created for a call; deleted unless the call is answered. An empty name: nothing is
    created."""
    from telephony.livekit.access import Dispatch, RoomPlan
    from telephony.livekit.api import LiveKitApi
    from telephony.livekit.errors import LiveKitError

    own = _OwnRoom()
    if not name:
        yield own
        return
    api = LiveKitApi(access)
    try:
        await api.create_room(name, RoomPlan(dispatches=[Dispatch(agent_name)] if agent_name else []))
        try:
            yield own
        finally:
            if not own.wanted:
                with suppress(LiveKitError):  # it is gone, or will be in a minute, as it is empty
                    await api.delete_room(name)
    finally:
        await api.close()


async def _transfer(args: argparse.Namespace, settings: Settings) -> int:
    from telephony.livekit.trunk.dialing import transfer
    from telephony.livekit.trunk.livekit_sip_api import LiveKitSipApi

    async with LiveKitSipApi(_access(_livekit(settings))) as sip:
        outcome = await transfer(
            sip, args.room, args.identity, args.to, ringing_timeout_s=args.ring, play_dialtone=args.dialtone
        )
    return _told(outcome, outcome.transferred, "", args.json)


def _trunk(name: str | None, names: Sequence[str]) -> str:
    if name is not None and name in names:
        return name
    if not names:
        raise ValueError("no carrier to call through: add one to livekit.outbound and run `trunkline livekit sync`")
    if name is None and len(names) == 1:
        return names[0]
    what = f'unknown carrier "{name}"' if name else "use --trunk to choose a carrier"
    raise ValueError(f"{what}; known are: {', '.join(names)}")


def _livekit(settings: Settings) -> LiveKitSettings:
    assert settings.livekit is not None  # run() has looked
    return settings.livekit


def _access(livekit: LiveKitSettings) -> LiveKitAccess:
    from telephony.livekit.access import LiveKitAccess

    return LiveKitAccess(livekit.url, livekit.api_key.read(), livekit.api_secret.read())


def _told(outcome: CallOutcome | TransferOutcome, good: bool, room: str, as_json: bool) -> int:
    if as_json:
        report = {"outcome": outcome.kind.value, "sip_status": outcome.sip_status or None, "text": outcome.text}
        print(json.dumps({**report, **({"room": room} if room else {})}))
    else:
        status = f" ({outcome.sip_status} {outcome.text})" if outcome.sip_status else f" ({outcome.text})"
        print(outcome.kind.value.replace("_", " ") + status + (f", in room {room}" if room else ""))
    return 0 if good else 1


def _print_plan(plan: Sequence[Action], notes: Sequence[str]) -> None:
    for action in plan:
        print(action)
    for note in notes:
        print(f"note: {note}")
    count = sum(action.does_something for action in plan)
    print(f"{count} to do" if count else "nothing to do")


def _short(action: Action) -> str:
    return " ".join(str(action).partition("\n")[0].split())


def _report(plan: Sequence[Action], notes: Sequence[str], applied: bool) -> dict[str, Any]:
    from telephony.livekit.trunk.objects import kind_of

    actions = [
        {
            "verb": action.verb.value,
            "kind": kind_of(action.thing),
            "name": action.thing.name,
            "id": action.id,
            "fields": action.fields,
            "changes": [
                {"field": change.field, "before": change.before, "after": change.after} for change in action.changes
            ],
        }
        for action in plan
    ]
    return {"actions": actions, "notes": list(notes), "applied": applied}
