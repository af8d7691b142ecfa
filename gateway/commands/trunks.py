"""`trunkline trunks`: how each trunk of a running gateway is doing."""

from __future__ import annotations

import argparse
import json
from datetime import datetime
from typing import Any

from gateway.commands.running_gateway import add_address, with_gateway

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "trunks",
        help="show how each trunk is doing",
        description="Show each trunk: registered until when, which hosts are up and how fast they answer, calls now, "
        "the last refusals. Exit code 0: all trunks are well; 1: one is not registered or has no host that is up, or "
        "the gateway does not answer; 2: bad input.",
    )
    add_address(parser, "one JSON object a line")
    parser.set_defaults(run=run)


_WAYS = {"rfc4733": "RFC 4733", "info": "INFO", "inband": "tone"}


def run(args: argparse.Namespace) -> int:
    return with_gateway(
        args, "trunks", lambda client: _show(client.get_json("/v1/trunks")["trunks"], as_json=args.json)
    )


def _show(found: list[dict[str, Any]], *, as_json: bool) -> int:
    for trunk in found:
        print(json.dumps(trunk) if as_json else "\n".join(_lines(trunk)))
    return 0 if all(map(_is_well, found)) else 1


def _is_well(trunk: dict[str, Any]) -> bool:
    registration, hosts = trunk["registration"], trunk["hosts"]
    registered = registration is None or registration["registered_until"] is not None
    return registered and (not hosts or any(host["state"] != "down" for host in hosts))


def _lines(trunk: dict[str, Any]) -> list[str]:
    calls = trunk["calls"]
    lines = [f"{_safe(trunk['name'])}: {calls} call{'' if calls == 1 else 's'}{_cap(trunk['load'])}"]
    if trunk["passed_over_until"]:
        lines.append(f"  tried last until {_time(trunk['passed_over_until'])}")
    lines += _keys(trunk.get("keys"))
    if (registration := trunk["registration"]) is not None:
        until = registration["registered_until"]
        text = f"registered until {_time(until)}" if until else f"not registered ({registration['state']})"
        if registration["registrar"]:
            text += f", at {registration['registrar']}"
        if registration["error"]:
            text += f": {_safe(registration['error'])}"
            text += f"; next try at {_time(registration['next_at'])}" if registration["next_at"] else ""
        lines.append(f"  {text}")
    lines += [f"  {_host(host)}" for host in trunk["hosts"]]
    for refusal in trunk["refusals"]:
        status = refusal["status"] or "no answer"
        lines.append(f"  refused at {_time(refusal['at'])} by {refusal['host']}: {status} {_safe(refusal['reason'])}")
    for failure in trunk["tls_failures"]:
        lines.append(f"  TLS failed at {_time(failure['at'])} with {failure['peer']}: {_safe(failure['reason'])}")
    for refusal in trunk["turned_away"]:
        reason = f"{refusal['status']} {_safe(refusal['reason'])}"
        lines.append(f"  turned away at {_time(refusal['at'])} from {refusal['host']}: {reason}")
    if trunk["certificate_expires_at"]:
        lines.append(f"  our certificate expires on {trunk['certificate_expires_at'][:10]}")
    return lines


def _keys(keys: dict[str, Any] | None) -> list[str]:
    """Nothing, until there is something to say."""
    if keys is None or (keys["setting"] == "auto" and not keys["latest"]):
        return []
    parts = [f"{count} by {_WAYS[way]}" for way, count in keys["presses"].items() if count]
    text = f"keys: {', '.join(parts) or 'none yet'}"
    if keys["setting"] != "auto":
        text += f"; set to {_WAYS[keys['setting']]}"
    if unused := keys["agreed_but_not_used"]:
        text += f"; in {unused} call{'' if unused == 1 else 's'} telephone-event was agreed on, but not used"
    return [f"  {text}; tones are {'' if keys['listens_in_band'] else 'not '}listened for"]


def _cap(load: dict[str, Any]) -> str:
    parts = []
    if load["cap"] is not None:
        parts.append(f"at most {load['cap']} at once")
    if load["cap_per_second"] is not None:
        parts.append(f"{load['cap_per_second']:g} new ones a second")
    if load["waiting"]:
        parts.append(f"{load['waiting']} waiting")
    if load["refused"]:
        parts.append(f"{load['refused']} refused, as it was full")
    return "".join(f", {part}" for part in parts)


def _host(host: dict[str, Any]) -> str:
    name = f" ({_safe(host['name'])})" if host["name"] and host["name"] not in host["host"] else ""
    parts = [f"host {host['host']}{name}"]
    if host["state"] is not None:
        parts.append(host["state"])
    if host["status"] is not None:
        parts.append(f"OPTIONS {host['status']} in {host['round_trip_ms']} ms")
    if host["passed_over_until"]:
        parts.append(f"tried last until {_time(host['passed_over_until'])}")
    return ", ".join(parts)


def _time(text: str) -> str:
    return datetime.fromisoformat(text).astimezone().strftime("%H:%M:%S")


def _safe(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)
