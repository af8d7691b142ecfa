"""A simulated day of 50 callers and 10 members, by strategy: `python -m bench.queues [--hours 24] [--seed 1]`.

The day is the same for all: people call about as often, are as patient, and members come and go in the same way. Two
gateways share the queue; one dies twice, the other is restarted twice. Every offer is checked by an umpire who counts
for himself (bench/queues/umpire.py). Nothing waits: a day takes some seconds.

Columns: calls; the share that was answered within 20 s (service level) and that hung up; the mean wait and the 90th
percentile of those who were answered; how busy members were; the calls of the member who had fewest and most; the
estimated wait that callers were told, against the real one (mean difference, mean absolute difference).
"""

from __future__ import annotations

import argparse
import asyncio
import statistics

from bench.queues.day import Day, Outcome, Scenario
from gateway.queues.fake_book import FakeQueueBook
from gateway.queues.model import Strategy

HEAD = (
    f"{'strategy':<14}{'calls':>7}{'level':>8}{'hung up':>9}{'wait s':>8}{'p90 s':>7}{'busy':>7}"
    f"{'fewest':>8}{'most':>6}{'told - real s':>15}{'absolute':>10}"
)


def row(name: str, outcome: Outcome) -> str:
    (desk,) = outcome.history.queues
    fates = [fate for fate in outcome.umpire.fates if not fate.is_callback]
    waits = sorted(fate.waited_s for fate in fates if fate.how == "answered")
    workers = outcome.umpire.members.values()
    busy = sum(worker.busy_s for worker in workers) / (len(workers) * outcome.seconds)
    taken = [sum(worker.taken.values()) for worker in workers]
    errors = [told - real for told, real in outcome.told]
    return (
        f"{name:<14}{len(fates):>7}{desk.service_level or 0:>8.1%}{desk.abandoned / len(fates):>9.1%}"
        f"{statistics.fmean(waits):>8.0f}{waits[int(0.9 * len(waits))]:>7.0f}{busy:>7.0%}{min(taken):>8}{max(taken):>6}"
        f"{statistics.fmean(errors):>15.0f}{statistics.fmean(map(abs, errors)):>10.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.queues", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--between", type=float, default=700, help="seconds between a person's calls")
    args = parser.parse_args()
    print(HEAD)
    for strategy in Strategy:
        first = FakeQueueBook()
        scenario = Scenario.of(strategy, hours=args.hours, between_s=args.between)
        print(row(strategy, asyncio.run(Day(scenario, first.beside, args.seed).run())), flush=True)


if __name__ == "__main__":
    main()
