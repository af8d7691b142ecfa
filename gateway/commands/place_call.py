"""`trunkline call --to`: lets a running gateway place a call, and shows the conversation live."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp

from gateway.end_words import answered_by_line, end_line, message_line
from gateway.terminal import Terminal

__all__ = ["order_of", "place_call"]

_REQUEST = aiohttp.ClientTimeout(total=15)
_STREAM = aiohttp.ClientTimeout(total=None, sock_connect=5)


def order_of(args: argparse.Namespace) -> dict[str, Any]:
    """The body of the request. Raises ValueError."""
    if not args.persona:
        raise ValueError("--to needs --persona, as in --persona clinic.Reminder")
    pairs = [text.partition("=") for text in args.var]
    if wrong := next((name for name, sign, _ in pairs if not sign or not name), None):
        raise ValueError(f"invalid --var {wrong!r}; expected NAME=VALUE")
    order: dict[str, Any] = {"to": args.to, "persona": args.persona}
    order |= {"variables": {name: value for name, _, value in pairs}} if pairs else {}
    order |= {"from": args.caller} if args.caller else {}
    order |= {"private": True} if args.private else {}
    answering = {} if args.detect is None else {"detect": args.detect}
    answering |= {name: text for name in ("message", "screener") if (text := getattr(args, name)) is not None}
    order |= {"answering": answering} if answering else {}
    order |= {"extension": args.extension} if args.extension else {}
    return order | ({"trunk": args.trunk} if args.trunk else {})


async def place_call(args: argparse.Namespace, terminal: Terminal | None = None) -> int:
    """0: answered; 1: not answered; 2: not placed."""
    terminal = terminal or Terminal()
    key = args.key or os.environ.get("TRUNKLINE_API_KEY", "")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        order = order_of(args)
        async with (
            aiohttp.ClientSession(args.url, headers=headers) as http,
            # Before the call, so that nothing of it is missed.
            http.get("/v1/events", params={"types": "call.*"}, timeout=_STREAM) as stream,
        ):
            if stream.status != 200:
                raise ValueError(await _problem(stream))
            call_id = await _placed(http, order)
            terminal.line(f"call {call_id} to {args.to}")
            return await _followed(http, stream, call_id, terminal)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        print(f"trunkline call: {error or type(error).__name__}", file=sys.stderr)
        return 2


async def _placed(http: aiohttp.ClientSession, order: Mapping[str, Any]) -> str:
    """Its id. Raises ValueError when it was refused."""
    async with http.post("/v1/calls", json=order, timeout=_REQUEST) as answer:
        if answer.status != 202:
            raise ValueError(await _problem(answer))
        return str((await answer.json())["call_id"])


async def _followed(
    http: aiohttp.ClientSession, stream: aiohttp.ClientResponse, call_id: str, terminal: Terminal
) -> int:
    """Until the call ends. Interrupted: the call is hung up."""
    try:
        async for event in _events(stream):
            if event["data"].get("call_id") != call_id:
                continue
            kind, text = _line(event["type"], event["data"])
            if text:
                terminal.line(text, kind, event["data"].get("t_ms"))
            if event["type"] == "call.ended":
                return 0 if event["data"]["outcome"] == "answered" else 1
    except asyncio.CancelledError:
        await http.delete(f"/v1/calls/{call_id}", timeout=_REQUEST)
        raise
    raise ValueError("the gateway has stopped")


async def _events(stream: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    async for line in stream.content:
        if line.startswith(b"data: "):
            event = json.loads(line[6:])
            if event:
                yield event


def _line(event_type: str, data: Mapping[str, Any]) -> tuple[str, str]:
    match event_type:
        case "call.ringing":
            return "note", "it rings"
        case "call.answered":
            return "note", "answered"
        case "call.answered_by":
            return "note", answered_by_line(data)
        case "call.message_left":
            return "note", message_line(data)
        case "call.turn":
            cut = " - (interrupted)" if data.get("interrupted") else ""
            return data["speaker"], f"{data['speaker']}: {data['text']}{cut}"
        case "call.digit":
            return "caller", f"caller pressed {data['digit']}"
        case "call.digits_sent":
            return "note", f"{data['count']} keys sent"
        case "call.digits_failed":
            return "note", f"keys not sent: {data['reason']}"
        case "call.tool":
            return "tool", f"tool: {data['name']}{' failed' if data['is_error'] else ''} -> {data['output'][:160]}"
        case "call.handoff":
            return "note", f"handed over from {data['from']} to {data['to']}"
        case "call.ended":
            return "note", end_line(data)
    return "note", ""


async def _problem(answer: aiohttp.ClientResponse) -> str:
    try:
        return str((await answer.json(content_type=None))["detail"])
    except (ValueError, KeyError, TypeError):
        return f"{answer.status} {answer.reason}"
