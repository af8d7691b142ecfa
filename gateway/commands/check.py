"""`trunkline check`: validate settings, dialplans and personas, reporting every problem."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.config import LiveKitSettings, Problem, Settings, SpeechSettings
    from gateway.dialplan import Dialplan, PersonaRef

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "check",
        help="check settings, dialplans and personas",
        description="Check settings, dialplans and personas. Exit code 0: no "
        "problems; 2: problems, each with its line.",
    )
    parser.add_argument("--config", metavar="FILE", help="settings (YAML), with the dialplans that they name")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("dialplans", nargs="*", metavar="DIALPLAN", help="dialplans to check without settings")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit code 0 or 2."""
    if not args.config and not args.dialplans:
        print("trunkline check: nothing to check: give --config FILE, or a dialplan", file=sys.stderr)
        return 2
    problems: list[Problem] = []
    settings = _settings(args.config, problems) if args.config else None
    paths = [Path(path) for path in args.dialplans]
    if settings is not None:
        paths = [*settings.dialplans, *(path for path in paths if path not in settings.dialplans)]
    warnings: list[str] = []
    plan = _plan(paths, settings, problems, warnings)
    if settings is not None:
        _check_certificates(args.config, settings, problems, warnings)
    missing = [f"{missing}: required to start the gateway" for missing in _missing(settings, plan)]
    warnings += missing
    livekit = ""
    if settings is not None and not missing and settings.livekit is not None:
        trouble = _livekit(settings.livekit)
        warnings += [trouble] if trouble else []
        livekit = "" if trouble else f"LiveKit at {settings.livekit.url}: ok"
    if args.json:
        print(json.dumps(_report(problems, warnings, plan), indent=2))
    else:
        _print(problems, warnings, plan, paths)
        if livekit and not problems:
            print(livekit)
    return 2 if problems else 0


def _settings(path: str, problems: list[Problem]) -> Settings | None:
    from gateway.config import ConfigError, load_settings

    try:
        return load_settings(path)
    except ConfigError as error:
        problems += error.problems
        return None


def _check_certificates(file: str, settings: Settings, problems: list[Problem], warnings: list[str]) -> None:
    if settings.sip.tls is None:
        return
    from gateway.config import Problem
    from gateway.edge_tls import tls_problems, tls_warnings

    problems += [Problem(file, 0, where, text) for where, text in tls_problems(settings)]
    warnings += tls_warnings(settings)


def _missing(settings: Settings | None, plan: Dialplan | None) -> Iterable[str]:
    of_settings = settings.missing_secrets() if settings is not None else []
    return of_settings + (plan.missing_secrets if plan is not None else [])


def _livekit(settings: LiveKitSettings) -> str:
    """Why the LiveKit server can't be used now (it may be started later); empty if it can."""
    import asyncio

    from gateway.livekit.server_watch import check_livekit

    return asyncio.run(check_livekit(settings))


def _plan(
    paths: list[Path], settings: Settings | None, problems: list[Problem], warnings: list[str]
) -> Dialplan | None:
    from gateway.config import ConfigError
    from gateway.dialplan import Dialplan
    from gateway.dialplan.persona_check import persona_problems, persona_warnings

    if not paths:
        return None
    try:
        plan = Dialplan.load(paths, settings)
    except ConfigError as error:
        problems += error.problems
        return None
    problems += _voices_behind_slashes(plan, settings)
    problems += _voices_of_flows(plan, settings)
    for persona in plan.personas:
        speeches = _speech_of(plan, persona, settings)
        hears = list(dict.fromkeys(name for speech in speeches for name in speech.stt))
        speaks = list(dict.fromkeys(name.partition("/")[0] for speech in speeches for name in speech.tts))
        hearing = [(speech.vad, speech.stt) for speech in speeches]
        problems += [found for found in persona_problems(persona, speaks, hearing) if found not in problems]
        warnings += [found for found in persona_warnings(persona, hears) if found not in warnings]
    return plan


def _speech_of(plan: Dialplan, persona: PersonaRef, settings: Settings | None) -> list[SpeechSettings]:
    """The speech of all rules that lead to the persona."""
    from gateway.config import SpeechSettings

    common = settings.speech if settings is not None else SpeechSettings()
    rules = [rule for entry in plan.entries for rule in entry.rules if persona in rule.personas]
    return [common.overridden(rule.options.speech) for rule in rules]


def _voices_behind_slashes(plan: Dialplan, settings: Settings | None) -> Iterable[Problem]:
    """A voice named in the settings or a rule, such as `espeak/en-gb`."""
    from agent.providers.registry import voice_problem
    from gateway.config import Problem

    named = [("settings", 0, name) for name in settings.speech.tts] if settings is not None else []
    for rule in (rule for entry in plan.entries for rule in entry.rules):
        file, _, line = rule.where.rpartition(":")
        named += [(file, int(line), name) for name in rule.options.speech.get("tts", ())]
    for where, at, name in dict.fromkeys(named):
        wrong = voice_problem(name, "", "")
        if wrong:
            yield Problem(where, at, "speech.tts", wrong)


def _voices_of_flows(plan: Dialplan, settings: Settings | None) -> Iterable[Problem]:
    """A voice or language of a menu that none of its rule's synthesisers has."""
    from agent.providers.registry import voice_problem
    from gateway.config import Problem, SpeechSettings
    from gateway.dialplan import PersonaRef
    from gateway.flows import PersonaStep, kind_of, steps_in

    common = settings.speech if settings is not None else SpeechSettings()
    found: dict[Problem, None] = {}
    for rule in (rule for entry in plan.entries for rule in entry.rules):
        if not isinstance(rule.to, PersonaRef) or rule.to.flow is None:
            continue
        specs = [name.partition("/")[0] for name in common.overridden(rule.options.speech).tts]
        for step in steps_in(rule.to.flow):
            if isinstance(step, PersonaStep):
                continue
            wrongs = [voice_problem(spec, step.voice, step.language) for spec in specs]
            if wrongs and all(wrongs):  # else one of them speaks so
                file, _, line = step.where.rpartition(":")
                where = f"{kind_of(step)}.{'voice' if step.voice else 'language'}"
                found[Problem(file, int(line), where, wrongs[-1])] = None
    return list(found)


def _report(problems: list[Problem], warnings: list[str], plan: Dialplan | None) -> dict[str, Any]:
    return {
        "ok": not problems,
        "problems": [asdict(problem) for problem in problems],
        "warnings": warnings,
        "numbers": [entry.pattern.text for entry in plan.entries] if plan else [],
        "personas": [str(persona) for persona in plan.personas] if plan else [],
    }


def _print(problems: list[Problem], warnings: list[str], plan: Dialplan | None, paths: list[Path]) -> None:
    for problem in problems:
        print(problem, file=sys.stderr)
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if problems:
        print(f"{len(problems)} problem{'s' if len(problems) > 1 else ''} found", file=sys.stderr)
    elif plan is not None:
        names = ", ".join(map(str, plan.personas))
        print(f"{', '.join(map(str, paths))}: ok. {len(plan.entries)} numbers, personas {names}")
    else:
        print("good")
