"""`trunkline explain`: which rule takes a call, which persona answers, or why nobody does. Nothing is started."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.dialplan import Dialplan, NoRoute, Route

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "explain",
        help="show which rule and persona a call would get, or why none",
        description="Show which rule matches a call and which persona answers, or why none. "
        "Exit code 0: answered; 1: refused; 2: bad input.",
    )
    parser.add_argument("number", metavar="NUMBER", help="the called number, as a phone would send it")
    parser.add_argument("--from", dest="caller", metavar="N", help='the caller\'s number; "withheld" or none: hidden')
    parser.add_argument(
        "--at", metavar="TIME", help='such as "2026-12-24 10:00", in the time zone of the dialplan; default: now'
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--config", metavar="FILE", help="settings that name the dialplans")
    source.add_argument("--dialplan", metavar="FILE", action="append", help="a dialplan; may be repeated")
    parser.add_argument("--trunk", metavar="NAME", help="the trunk that the call comes from (with --config)")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 (a route), 1 (no route) or 2 (bad input)."""
    from gateway.config import ConfigError
    from gateway.dialplan import Route

    try:
        plan, region = _load(args)
        at = _time(args.at, plan)
    except (ConfigError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    decision = plan.decide(args.number, args.caller, at, region)
    if args.json:
        print(json.dumps(_report(decision, at), indent=2, default=str))
    else:
        print(_text(decision, at))
    return 0 if isinstance(decision, Route) else 1


def _load(args: argparse.Namespace) -> tuple[Dialplan, str | None]:
    """The dialplan and the trunk's region. Without --trunk, the only trunk is used."""
    from gateway.config import load_settings
    from gateway.dialplan import Dialplan

    if args.dialplan:
        if args.trunk:
            raise ValueError("trunkline explain: --trunk requires --config")
        return Dialplan.load(map(Path, args.dialplan)), None
    settings = load_settings(args.config)
    trunks = {trunk.name: trunk.region for trunk in settings.sip.trunks}
    if args.trunk and args.trunk not in trunks:
        raise ValueError(f'trunkline explain: unknown trunk "{args.trunk}"; known are: {", ".join(trunks)}')
    only = next(iter(trunks)) if len(trunks) == 1 else ""
    return Dialplan.load(settings.dialplans, settings), trunks.get(args.trunk or only)


def _time(text: str | None, plan: Dialplan) -> datetime:
    """Raises ValueError for an invalid time, or one that needs a time zone which the dialplan lacks."""
    if text is None:
        return datetime.now(UTC).astimezone(plan.timezone or UTC)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f'trunkline explain: invalid --at "{text}"; expected something like "2026-12-24 10:00"'
        ) from None
    if not 1900 <= at.year <= 2200:
        raise ValueError(f'trunkline explain: --at "{text}" is out of range')
    if at.tzinfo is not None:
        return at
    if plan.timezone is None and plan.uses_time:
        raise ValueError(f'trunkline explain: the dialplans have different time zones; use --at "{text}+00:00"')
    return at.replace(tzinfo=plan.timezone or UTC)


def _text(decision: Route | NoRoute, at: datetime) -> str:
    from gateway.dialplan import Route
    from gateway.flows.lines import flow_lines

    lines = [f"{decision.called} called by {decision.caller or 'a withheld number'} at {at:%a %Y-%m-%d %H:%M %Z}"]
    where = max((len(step.where) for step in decision.steps), default=0)
    what = max((len(step.what) for step in decision.steps), default=0)
    for step in decision.steps:
        verdict = "yes" if step.matched else "no "
        lines.append(f"  {step.where:{where}}  {step.what:{what}}  {verdict}  {step.why}")
    if isinstance(decision, Route):
        lines.append(f"-> {decision.persona} ({decision.persona.file})")
        if decision.persona.flow is not None:
            lines += flow_lines(decision.persona.flow, depth=2)
        if decision.before_call is not None:
            lines.append(f"   before_call: {decision.before_call.settings.url} is asked first")
        changes = {"speech": decision.speech, "session": decision.session, "recording": decision.recording}
        lines += [f"   {name}: {_plain(value)}" for name, value in changes.items() if value not in ({}, None)]
    else:
        lines.append(f"-> refused with {decision.sip_status}: {decision.reason}")
    return "\n".join(lines)


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {' then '.join(v) if isinstance(v, tuple) else v}" for name, v in value.items())
    return "on" if value else "off"


def _report(decision: Route | NoRoute, at: datetime) -> dict[str, Any]:
    from gateway.dialplan import Route
    from gateway.flows import step_to_dict

    report: dict[str, Any] = {
        "called": decision.called,
        "caller": decision.caller,
        "at": at.isoformat(),
        "rule": decision.rule,
        "steps": [asdict(step) for step in decision.steps],
    }
    if isinstance(decision, Route):
        flow = decision.persona.flow
        persona: dict[str, Any] = {"name": str(decision.persona), "file": str(decision.persona.file)}
        persona |= {} if flow is None else {"flow": step_to_dict(flow)}
        changes = {"speech": decision.speech, "session": decision.session, "recording": decision.recording}
        return {"answered": True, "persona": persona, **changes, **report}
    return {"answered": False, "sip_status": decision.sip_status, "reason": decision.reason, **report}
