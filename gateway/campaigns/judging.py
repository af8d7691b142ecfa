"""Whether a contact may be called now, later or never, and by which rule. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from gateway.campaigns.model import Attempt, Contact, Dial, Done, DoneReason, Later, Number, Verdict
from gateway.campaigns.rules import AttemptLimit, CampaignRules, RuleSet, kind_of
from gateway.campaigns.windows import CallWindows

__all__ = ["judge"]

_EXPECTED = {"human": DoneReason.REACHED, "message_left": DoneReason.REACHED}


def judge(
    contact: Contact, rules: CampaignRules, now: datetime, ends: datetime | None, listed: Mapping[str, str]
) -> Verdict:
    """`listed`: numbers that may not be called -> the list that says so, as looked up at `now`. `ends`: the
    campaign's end."""
    over = _over(contact, rules)
    if over is not None:
        return over
    number = _next_number(contact, rules, listed)
    if isinstance(number, Done):
        return number
    verdict = _number(contact, number, rules, now)
    if isinstance(verdict, Later) and ends is not None and verdict.at >= ends:
        return Done(DoneReason.EXPIRED, f"the campaign ends before: {verdict.rule}")
    return verdict


def _over(contact: Contact, rules: CampaignRules) -> Done | None:
    if not contact.attempts or contact.callback_at is not None:
        return None
    if len(contact.attempts) >= rules.most_attempts:
        return Done(DoneReason.EXHAUSTED, f"most attempts in all: {rules.most_attempts}")
    kind = kind_of(contact.attempts[-1])
    most = rules.retry(kind).most
    made = sum(kind_of(attempt) == kind for attempt in contact.attempts)
    if kind == "invalid_number" or made < most:
        return None  # an invalid number is crossed out by itself
    if kind in _EXPECTED:
        return Done(_EXPECTED[kind], kind)
    if rules.retry(kind).next_number and _untried(contact):
        return None
    return Done(DoneReason.EXHAUSTED, f"most attempts after {kind}: {most}")


def _untried(contact: Contact) -> list[Number]:
    tried = {attempt.number for attempt in contact.attempts}
    return [number for number in contact.numbers if number.number not in tried and number.valid]


def _next_number(contact: Contact, rules: CampaignRules, listed: Mapping[str, str]) -> Number | Done:
    """One person's numbers are called one after another, never at once."""
    existing = [number for number in contact.numbers if _exists(contact, number)]
    usable = [number for number in existing if number.number not in listed]
    if not usable:
        if existing:
            return Done(DoneReason.LISTED, f"do-not-call list: {listed[existing[0].number]}")
        return Done(DoneReason.INVALID, "no number exists")
    if not contact.attempts:
        return usable[0]
    last = contact.attempts[-1]
    index = next((i for i, number in enumerate(usable) if number.number == last.number), -1)
    if index >= 0 and rules.retry(kind_of(last)).next_number:
        index += 1
    return usable[max(index, 0) % len(usable)]


def _exists(contact: Contact, number: Number) -> bool:
    said = any(attempt.number == number.number and kind_of(attempt) == "invalid_number" for attempt in contact.attempts)
    return number.valid and not said


def _number(contact: Contact, number: Number, rules: CampaignRules, now: datetime) -> Verdict:
    law = rules.law_for(number)
    if law is None:
        return Done(DoneReason.NO_CONSENT, f'no rule set for region "{number.region}"')
    for one in law:
        if one.consent and contact.consent not in one.consent:
            return Done(DoneReason.NO_CONSENT, f"{one.name}: consent ({' or '.join(sorted(one.consent))})")
    if not number.zones:
        return Done(DoneReason.INVALID, f"no time zone is known for {number.number}")
    at, why = _earliest(contact, number, rules, law, now)
    windows = [
        (rules.windows_for(number), "call window"),
        *((one.windows, one.name) for one in law if one.windows is not None),
    ]
    return _in_windows(at, why, windows, number, now)


def _earliest(
    contact: Contact, number: Number, rules: CampaignRules, law: Sequence[RuleSet], now: datetime
) -> tuple[datetime, str]:
    """The earliest moment but for the windows, and what forbids an earlier one."""
    waits = [(now, "now")]
    if contact.callback_at is not None:
        waits.append((contact.callback_at, "callback asked for"))
    elif contact.attempts:
        last = contact.attempts[-1]
        kind = kind_of(last)
        retry = rules.retry(kind)
        waits.append((last.at + max(retry.after, rules.gap), f"retry after {kind}"))
        if retry.next_window:
            called = next((each for each in contact.numbers if each.number == last.number), number)
            other = rules.windows_for(called).next_window(last.at, called.zones)
            waits.append((other or datetime.max.replace(tzinfo=UTC), f"next window after {kind}"))
    for limit, name in [
        *((limit, "limit") for limit in rules.limits),
        *((li, one.name) for one in law for li in one.limits),
    ]:
        until = _until(contact.attempts, limit, number.zones)
        if until is not None:
            waits.append((until, f"{name}: at most {limit.most} in {limit.days} days"))
    return max(waits, key=lambda wait: wait[0])


def _until(attempts: Sequence[Attempt], limit: AttemptLimit, zones: Sequence[str]) -> datetime | None:
    """When this limit allows another attempt. None: at once."""
    if len(attempts) < limit.most:
        return None
    binding = attempts[-limit.most].at  # when it is far enough away, there is room for another
    if limit.days > 1:
        return binding + timedelta(days=limit.days)
    zone = ZoneInfo(zones[0])
    local = binding.astimezone(zone)
    tomorrow = (local + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    return tomorrow.astimezone(UTC)


def _in_windows(
    at: datetime, why: str, windows: Sequence[tuple[CallWindows, str]], number: Number, now: datetime
) -> Verdict:
    moment = at
    while True:
        closed = next(((each, name) for each, name in windows if not each.allow(moment, number.zones)), None)
        if closed is None:
            break
        each, why = closed
        opens = each.next(moment, number.zones)
        if opens is None:
            return Done(DoneReason.EXPIRED, f"{why}: never open")
        moment = opens
    return Dial(number, "all rules allow it") if moment <= now else Later(moment, why)
