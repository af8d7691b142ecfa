"""A whole campaign on a clock that jumps: `python -m bench.campaigns` (100,000 contacts, as the issue asks).

What was called is counted anew here, from the list of calls alone and without the engine's code: windows, retries,
limits and pace. Prints what it finds wrong, and exits with 1 then.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from gateway.campaigns.model import Attempt, Contact, Number
from gateway.campaigns.order import CampaignOrder
from gateway.campaigns.simulation import Answer, Simulation
from gateway.campaigns.zones import zones_of
from gateway.outbound.order import CallOrder
from gateway.record import Outcome
from telephony.media.answering.model import AnsweredBy

START = datetime(2026, 12, 1, 8, tzinfo=UTC)
UNTIL = START + timedelta(days=120)
AREAS = ("212", "305", "214", "303", "415", "808", "602", "907", "317", "850")
HOLIDAYS = ("2026-12-25", "2027-01-01", "2027-01-18", "2027-02-15")
ORDER = CampaignOrder(
    name="bench", persona="bench.Caller", windows=("mon-fri 09:00-12:00, mon-fri 13:00-18:00",), rule_sets="none",
    pacing={"calls_per_second": 20, "at_once": 1000}, most_a_day=2, most_a_week=4, most_attempts=5, gap_s=600,
)  # fmt: skip
HUMAN, MACHINE = AnsweredBy.HUMAN, AnsweredBy.VOICEMAIL
ANSWERS: Sequence[tuple[float, Outcome, AnsweredBy | None, bool, float]] = (
    (0.25, Outcome.ANSWERED, HUMAN, False, 60),
    (0.15, Outcome.ANSWERED, MACHINE, True, 30),
    (0.10, Outcome.ANSWERED, MACHINE, False, 30),
    (0.25, Outcome.NO_ANSWER, None, False, 30),
    (0.15, Outcome.BUSY, None, False, 3),
    (0.05, Outcome.INVALID_NUMBER, None, False, 1),
    (0.05, Outcome.FAILED, None, False, 2),
)  # share, what becomes of it, seconds


def contacts(count: int, rng: random.Random) -> Iterator[Contact]:
    for index in range(count):
        numbers = tuple(f"+1{rng.choice(AREAS)}55{rng.randrange(100_000):05d}" for _ in range(rng.choice((1, 1, 2))))
        unlike = dict.fromkeys(numbers)
        yield Contact(index, f"k{index}", tuple(Number(each, zones_of(each), "US") for each in unlike))


def answer(rng: random.Random) -> Answer:
    (found,) = rng.choices(ANSWERS, [share for share, *_ in ANSWERS])
    _, outcome, who, delivered, seconds = found
    return Answer(Attempt("", START, outcome, who, delivered), seconds)


# --- counted anew -----------------------------------------------------------------------------------------------------


def wrong(attempts: dict[int, tuple[Attempt, ...]], numbers: dict[int, Sequence[Number]]) -> list[str]:
    found: list[str] = []
    began: list[datetime] = []
    for contact, made in attempts.items():
        zones = {number.number: number.zones for number in numbers[contact]}
        began += [attempt.at for attempt in made]
        found += [f"contact {contact}: {text}" for text in wrong_of_contact(made, zones)]
    began.sort()
    seconds = Counter(int(at.timestamp()) for at in began)
    found += [f"{calls} calls within {second}" for second, calls in seconds.items() if calls > 41]  # 20, and one saved
    return found


def wrong_of_contact(made: Sequence[Attempt], zones: dict[str, Sequence[str]]) -> Iterator[str]:
    by_day: dict[object, int] = defaultdict(int)
    for place, attempt in enumerate(made):
        for zone in zones[attempt.number]:
            local = attempt.at.astimezone(ZoneInfo(zone))
            if local.weekday() > 4 or not (9 <= local.hour < 12 or 13 <= local.hour < 18):
                yield f"called at {local}"
            if local.date().isoformat() in HOLIDAYS:
                yield f"called on a holiday: {local}"
        by_day[attempt.at.astimezone(ZoneInfo(zones[attempt.number][0])).date()] += 1
        if place:
            yield from wrong_retry(made[place - 1], attempt, zones)
        if place >= 4 and attempt.at - made[place - 4].at < timedelta(days=7):
            yield "five attempts in a week"
    if len(made) > 5:
        yield f"{len(made)} attempts"
    if any(count > 2 for count in by_day.values()):
        yield "three attempts in a day"
    kinds = Counter((attempt.outcome, attempt.answered_by, attempt.delivered) for attempt in made)
    for (outcome, who, delivered), most in {
        (Outcome.BUSY, None, False): 4, (Outcome.FAILED, None, False): 3, (Outcome.ANSWERED, MACHINE, False): 2,
        (Outcome.ANSWERED, HUMAN, False): 1, (Outcome.ANSWERED, MACHINE, True): 1,
    }.items():  # fmt: skip
        if kinds[outcome, who, delivered] > most:
            yield f"{kinds[outcome, who, delivered]} attempts after {outcome}, {who}"


def wrong_retry(last: Attempt, attempt: Attempt, zones: dict[str, Sequence[str]]) -> Iterator[str]:
    if last.answered_by is HUMAN or last.delivered:
        yield "called again after it was reached"
    if attempt.at - last.at < timedelta(seconds=600):
        yield "two attempts within ten minutes"
    if last.outcome is Outcome.INVALID_NUMBER and attempt.number == last.number:
        yield "an invalid number was called again"
    if last.outcome is Outcome.FAILED and attempt.at - last.at < timedelta(minutes=15):
        yield "called again too soon after a failure"
    other_window = last.outcome is Outcome.NO_ANSWER or (last.answered_by is MACHINE and not last.delivered)
    zone = ZoneInfo(zones[last.number][0])
    one, other = last.at.astimezone(zone), attempt.at.astimezone(zone)
    if other_window and one.date() == other.date() and (one.hour < 12) == (other.hour < 12):
        yield f"the same window: {one}, {other}"


async def measured(count: int, seed: int) -> int:
    rng = random.Random(seed)
    people = tuple(contacts(count, rng))
    start, cpu = time.monotonic(), time.process_time()

    def answers(_order: CallOrder, _at: datetime) -> Answer:
        return answer(rng)

    result = await Simulation(ORDER, people, answers, {}, START).run(UNTIL)
    took, cpu = time.monotonic() - start, time.process_time() - cpu
    found = wrong(result.attempts, {person.contact_id: person.numbers for person in people})
    never = sum(not made for made in result.attempts.values())
    print(f"{count} contacts, {result.calls} calls, at most {result.most_at_once} at once, {result.state}")
    print(f"ended {result.ended_at}; {cpu:.1f} s of CPU, {took:.1f} s; never called: {never}; wrong: {len(found)}")
    for text in found[:20]:
        print(f"  {text}")
    return 1 if found or never or result.ended_at is None else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contacts", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    sys.exit(asyncio.run(measured(options.contacts, options.seed)))
