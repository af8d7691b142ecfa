"""`trunkline queue`: the human queues of a running gateway."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from gateway.commands.running_gateway import add_address, with_gateway

__all__ = ["add_parser", "run"]

WATCH_S = 2.0


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "queue",
        help="show human queues, and change their members",
        description="Human queues of a running gateway. Exit code 0: done; 1: the gateway refuses or does not answer; "
        "2: bad input.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _action(actions, "list", "who waits, who is there, today's figures")
    _action(actions, "show", "one queue with its members and callers", "queue")
    _action(actions, "watch", f"all queues, or one, every {WATCH_S:g} s", "queue", optional=True)
    _action(actions, "members", "a queue's members", "queue")
    for verb, text in _VERBS.items():
        _action(actions, verb, text, "queue", "member")
    _action(actions, "pause", "pause a member, with a reason", "queue", "member", "reason")
    _action(actions, "add", "add a member, or change whom to ring", "queue", "member", "target")
    _action(actions, "remove", "remove a member from a queue", "queue", "member")
    _action(actions, "move", "change a waiting caller's priority", "queue", "call", "priority")
    _action(actions, "drop", "take a waiting caller, or a callback, out of a queue", "queue", "call")
    parser.set_defaults(run=run)


_VERBS = {
    "sign-in": "sign a member in, to all their queues",
    "sign-out": "sign a member out of all their queues",
    "resume": "end a member's pause",
    "ready": "end a member's wrap-up early",
}


def _action(actions: Any, name: str, text: str, *words: str, optional: bool = False) -> None:
    parser = actions.add_parser(name, help=text)
    for word in words:
        if optional:
            parser.add_argument(word, nargs="?")
        else:
            parser.add_argument(word, type=int if word == "priority" else str)
    add_address(parser)


def run(args: argparse.Namespace) -> int:
    return with_gateway(args, "queue", lambda client: _answered(client, args))


def _answered(client: Any, args: argparse.Namespace) -> int:
    if args.action == "watch":
        return _watch(client, args)
    print(_done(client, args))
    return 0


def _watch(client: Any, args: argparse.Namespace) -> int:
    args.action = "show" if args.queue else "list"
    while True:
        text = _done(client, args)
        print(text if args.json else f"\033[2J\033[H{text}", flush=True)
        time.sleep(WATCH_S)


def _done(client: Any, args: argparse.Namespace) -> str:
    path = "/v1/queues"
    if args.action == "list":
        return _shown(args, client.get_json(path), lambda answer: _lines(map(_queue, answer["queues"])))
    path += f"/{quote(args.queue, safe='')}"
    if args.action == "show":
        return _shown(args, client.get_json(path), _detail)
    if args.action == "members":
        found = client.get_json(f"{path}/members")
        return _shown(args, found, lambda answer: _lines(map(_member, answer["members"])))
    if args.action in ("move", "drop"):
        path += f"/callers/{quote(args.call, safe='')}"
        body = {"priority": args.priority} if args.action == "move" else None
        client.send("POST" if body else "DELETE", path, body)
        return f"{args.call}: {'moved' if body else 'taken out'}"
    member = f"{path}/members/{quote(args.member, safe='')}"
    if args.action == "remove":
        client.send("DELETE", member)
        return f"{args.member}: removed"
    if args.action == "add":
        answer = client.send("POST", f"{path}/members", {"name": args.member, "target": args.target})
    else:
        body = {"reason": args.reason} if args.action == "pause" else None
        answer = client.send("POST", f"{member}/{args.action}", body)
    return _shown(args, answer, _member)


def _shown(args: argparse.Namespace, answer: Any, as_text: Callable[[Any], str]) -> str:
    return json.dumps(answer) if args.json else as_text(answer)


def _lines(lines: Any) -> str:
    return "\n".join(lines) or "none"


def _detail(answer: dict[str, Any]) -> str:
    lines = [_queue(answer["queue"])]
    lines += [f"  {_member(member)}" for member in answer["members"]]
    lines += [f"  {_caller(caller)}" for caller in answer["callers"]]
    return "\n".join(lines)


def _queue(queue: dict[str, Any]) -> str:
    today = queue["today"]
    level = "" if today["service_level"] is None else f", {today['service_level']:.0%} in time"
    waits = f"{queue['waiting']} waiting"
    if queue["waiting"]:
        waits += f" (the first for {queue['longest_wait_s']:.0f} s)"
    if queue["callbacks"]:
        waits += f", {queue['callbacks']} to be called back"
    closed = "" if queue["open"] else " closed:"
    return (
        f"{queue['name']}:{closed} {waits}; {queue['free']} of {queue['signed_in']} members free; "
        f"today {today['answered']} answered{level}, {today['abandoned']} gave up"
    )


def _member(member: dict[str, Any]) -> str:
    state = "signed out"
    if member["signed_in"]:
        state = "free"
        if member["paused"]:
            state = f"paused ({_safe(member['paused'])})"
        elif not member["reachable"]:
            state = "phone away"
        elif member["ringing"]:
            state = "ringing"
        elif member["calls"]:
            state = f"{member['calls']} call{'' if member['calls'] == 1 else 's'}"
        elif member["wraps_up_s"]:
            state = f"wrapping up, {member['wraps_up_s']:.0f} s"
    return f"{member['name']} ({member['target']}): {state}; {member['taken_today']} today"


def _caller(caller: dict[str, Any]) -> str:
    text = f"{caller['position']}. {caller['call_id']}, {caller['waited_s']:.0f} s"
    if caller["priority"]:
        text += f", priority {caller['priority']}"
    if caller["callback_to"]:
        text += f", to be called back at {caller['callback_to']}"
    return text + (f", offered to {', '.join(caller['offered_to'])}" if caller["offered_to"] else "")


def _safe(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)
