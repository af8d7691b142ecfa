"""`trunkline replay`: recorded calls as tests, on a virtual clock or over real SIP and RTP."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.testing.expectation import Deviation
    from agent.testing.fixture import Fixture
    from agent.testing.replay import ReplayResult

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "replay",
        help="replay recorded calls as tests",
        description="Replay recorded calls (docs/recorded-calls.md). Exit code 0: all went as recorded; "
        "1: some did not; 2: a fixture is invalid.",
    )
    parser.add_argument("folders", nargs="+", metavar="DIR", help="a recorded call, or a folder of them")
    parser.add_argument("--sip", action="store_true", help="in real time, over SIP and RTP, instead of a virtual clock")
    parser.add_argument(
        "--target", metavar="HOST:PORT", help="with --sip: use a running gateway instead of starting one"
    )
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="with --target: its HTTP address")
    parser.add_argument("--key", metavar="KEY", help="with --target: its API key")
    parser.add_argument("--wav", metavar="OUT", help="folder to write each call's audio to (stereo, caller left)")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("-v", "--verbose", action="store_true", help="show all conversations, not only failed ones")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from agent.testing.fixture_yaml import FixtureError
    from agent.testing.personas import PersonaNotFound
    from gateway.config import ConfigError

    if args.target and not args.sip:
        print("trunkline replay: --target requires --sip", file=sys.stderr)
        return 2
    try:
        fixtures = load_fixtures(args.folders)
        if args.sip and not args.target:
            _without_models(fixtures)
        player = _over_sip(args) if args.sip else _virtual
    except (FixtureError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    results: list[ReplayResult] = []
    try:
        for result in player(fixtures):
            results.append(result)
            if args.wav:
                _write_wav(result, Path(args.wav))
            if not args.json:
                _print(result, verbose=args.verbose)
    except (PersonaNotFound, ConfigError) as error:
        print(error, file=sys.stderr)
        return 2
    except _CannotReplay as error:
        print(f"trunkline replay: {error}", file=sys.stderr)
        return 1
    _finish(results, as_json=args.json)
    return 0 if all(result.passed for result in results) else 1


def load_fixtures(folders: Iterable[str]) -> list[Fixture]:
    """Load all before playing any. Raises FixtureError with every problem."""
    from agent.testing.fixture_format import find_fixtures, load_fixture
    from agent.testing.fixture_yaml import FixtureError

    fixtures: list[Fixture] = []
    problems: list[str] = []
    for folder in folders:
        try:
            found = find_fixtures(folder)
        except FixtureError as error:
            problems += error.problems
            continue
        for each in found:
            try:
                fixtures.append(load_fixture(each))
            except FixtureError as error:
                problems += error.problems
    if problems:
        raise FixtureError(problems)
    return fixtures


def _without_models(fixtures: Iterable[Fixture]) -> None:
    """Raises ValueError for fixtures with a model's replies, which a gateway cannot replay."""
    names = [fixture.name for fixture in fixtures if fixture.model]
    if names:
        raise ValueError(
            f"trunkline replay: {', '.join(names)} has a language model's replies, which can only be "
            f"replayed on the virtual "
            "clock: omit --sip, or use a gateway with that model (--target)"
        )


class _CannotReplay(Exception):
    """Failures that are not the fixture's: no gateway, no port."""


def _virtual(fixtures: list[Fixture]) -> Iterator[ReplayResult]:
    """A virtual replay bypasses the dialplan, so check whether the call would have reached its persona."""
    from dataclasses import replace

    from agent.testing.replay import replay_fixture

    for fixture in fixtures:
        result = replay_fixture(fixture)
        yield replace(result, problems=(*_misrouted(fixture), *result.problems))


def _misrouted(fixture: Fixture) -> Iterator[Deviation]:
    """Raises ConfigError for an invalid dialplan."""
    from datetime import UTC, datetime

    from agent.testing.expectation import Deviation
    from agent.testing.personas import find_file
    from gateway.config import ConfigError, Problem
    from gateway.dialplan import Dialplan, Route

    if not fixture.dialplan:
        return
    file = find_file(fixture.dialplan, fixture.folder)
    if file is None:
        raise ConfigError([Problem(str(fixture.file), 0, "dialplan", f"no such file: {fixture.dialplan}")])
    plan = Dialplan.load([file])
    at = fixture.time or datetime.now(UTC)
    at = at if at.tzinfo is not None else at.replace(tzinfo=plan.timezone or UTC)
    decision = plan.decide(fixture.number, fixture.caller, at)
    name, _, class_name = fixture.persona.rpartition(":")
    wanted = (find_file(name, fixture.folder), class_name)
    if not isinstance(decision, Route):
        yield Deviation(0, f"{fixture.dialplan} refuses the call: {decision.reason}")
    elif (decision.persona.file.resolve(), decision.persona.name) != wanted:
        hint = "" if fixture.time else " (at this time; set the fixture's `time` if that matters)"
        yield Deviation(0, f"{fixture.dialplan} routes the call to {decision.persona}: {decision.rule}{hint}")


def _over_sip(args: argparse.Namespace) -> Callable[[list[Fixture]], Iterator[ReplayResult]]:
    """Raises ValueError for an invalid address."""
    from gateway import logs
    from gateway.rest_client import RestClient, RestError
    from gateway.sip_replay import SipTarget, own_gateway, replay_over_sip
    from gateway.store import StoreError
    from telephony.errors import TelephonyError

    logs.configure("warning", "console")
    target = SipTarget(args.target.removeprefix("sip:"), RestClient(args.url, args.key)) if args.target else None

    async def play(fixture: Fixture) -> ReplayResult:
        if target is not None:
            return await replay_over_sip(fixture, target)
        async with own_gateway(fixture) as own:
            return await replay_over_sip(fixture, own)

    def play_all(fixtures: list[Fixture]) -> Iterator[ReplayResult]:
        for fixture in fixtures:
            try:
                yield asyncio.run(play(fixture))
            except (RestError, StoreError, TelephonyError, TimeoutError, OSError) as error:
                raise _CannotReplay(str(error) or type(error).__name__) from error

    return play_all


def _write_wav(result: ReplayResult, out: Path) -> None:
    file = out if out.suffix == ".wav" else out / f"{result.fixture.name}.wav"
    file.parent.mkdir(parents=True, exist_ok=True)
    result.write_wav(file)


def _print(result: ReplayResult, *, verbose: bool) -> None:
    speed = result.duration_s / result.took_s if result.took_s else 0.0
    verdict = "as recorded    " if result.passed else "NOT AS RECORDED"
    figures = f"{result.duration_s:6.1f} s of call in {result.took_s:5.1f} s ({speed:3.0f}x)"
    print(f"{result.fixture.name:24} {verdict} {figures}  events {result.digest}", flush=True)
    if not result.passed or verbose:
        print("\n".join(f"    {line}" for line in result.report().splitlines()), flush=True)


def _finish(results: list[ReplayResult], *, as_json: bool) -> None:
    failed = [result.fixture.name for result in results if not result.passed]
    if as_json:
        print(json.dumps({"ok": not failed, "calls": [_as_json(result) for result in results]}, indent=2, default=str))
        return
    spoken, took = sum(result.duration_s for result in results), sum(result.took_s for result in results)
    verdict = f"{len(failed)} not as recorded: {', '.join(failed)}" if failed else "all as recorded"
    print(f"{len(results)} calls, {verdict}; {spoken:.0f} s of calls in {took:.1f} s")


def _as_json(result: ReplayResult) -> dict[str, Any]:
    return {
        "name": result.fixture.name,
        "passed": result.passed,
        "problems": [{"line": problem.line, "text": problem.text} for problem in result.problems],
        "ended_by": result.ended_by,
        "end_reason": result.end_reason,
        "duration_s": round(result.duration_s, 2),
        "took_s": round(result.took_s, 3),
        "digest": result.digest,
        "events": [{"type": event.type, "at": event.at, **event.fields} for event in result.events],
    }
