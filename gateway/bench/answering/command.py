"""`trunkline bench answering`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from gateway.bench.answering.cases import AnsweredCall
from gateway.bench.answering.cpu import cpu_share
from gateway.bench.answering.driving import Outcome
from gateway.bench.answering.hearing import Heard
from gateway.bench.answering.keeping import folder
from gateway.bench.answering.report import Figures, answering_table
from gateway.bench.answering.running import Run, heard_calls, machines, ours, prepare

__all__ = ["measure", "run"]

_CPU_CALLS = 20


def measure(wanted: Run, *, words: bool = True, told: Callable[[int], None] = lambda done: None) -> Figures:
    missing = prepare(wanted)
    judges = machines(words)
    outcomes: dict[str, list[Outcome]] = {name: [] for name in judges}
    some: list[tuple[AnsweredCall, Heard]] = []
    for call, heard in heard_calls(wanted, told):
        for name, judge in judges.items():
            outcomes[name].append(judge(call, heard))
        if len(some) < _CPU_CALLS:
            some.append((call, heard))
    return Figures(wanted.part, words, outcomes, cpu=cpu_share(ours, some), missing=missing)


def run(args: argparse.Namespace, calls: int) -> int:
    wanted = Run(args.part, calls, folder(args.kept), args.recogniser, args.jobs, args.offline)

    def told(done: int) -> None:
        if done % 50 == 0:
            print(f"{done} of {calls} calls ...", file=sys.stderr, flush=True)

    figures = measure(wanted, words=not args.without_words, told=told)
    text = json.dumps(figures.to_dict(), indent=1)
    if args.json == "-":
        print(text)
    else:
        print(answering_table(figures))
        if args.wrong:
            print("\n" + "\n".join(_wrong(figures)))
        if args.json:
            Path(args.json).write_text(text + "\n")
    return 0 if figures.good else 1


def _wrong(figures: Figures) -> list[str]:
    lines = []
    for outcome in figures.outcomes[figures.ours]:
        call, said = outcome.call, outcome.verdicts
        if all(verdict.answered_by in call.right for verdict in said) and said:
            continue
        verdicts = "; ".join(f"{each.at:.2f} {each.answered_by} ({', '.join(each.reasons)})" for each in said)
        lines.append(f"{call.name} {call.kind}, {call.language}, {call.voice}, {call.line}: {call.text!r}: {verdicts}")
    return lines
