"""Whether a contact may be called now, later or never, and by which rule."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.campaigns.judging import judge
from gateway.campaigns.model import Attempt, Contact, Dial, Done, DoneReason, Later, Number, Verdict
from gateway.campaigns.rules import AttemptLimit, CampaignRules, Retry, RuleSet, kind_of
from gateway.campaigns.windows import CallWindows
from gateway.dialplan.times import parse_times
from gateway.record import Outcome
from telephony.media.answering.model import AnsweredBy

NOW = datetime(2026, 12, 1, 10, tzinfo=UTC)  # a Tuesday
HOME, WORK = Number("+442079460001", ("Europe/London",), "GB"), Number("+442079460002", ("Europe/London",), "GB")
OFFICE = CallWindows((parse_times("mon-fri 09:00-12:00, mon-fri 13:00-18:00"),))
RULES = CampaignRules(OFFICE)


def contact(*attempts: Attempt, numbers: tuple[Number, ...] = (HOME,)) -> Contact:
    return Contact(1, "ada", numbers, attempts=attempts)


def attempt(outcome: Outcome | None, ago: timedelta, number: Number = HOME, **fields: object) -> Attempt:
    return Attempt(number.number, NOW - ago, outcome, **fields)  # type: ignore[arg-type]


def busy(minutes: float, number: Number = HOME) -> Attempt:
    return attempt(Outcome.BUSY, timedelta(minutes=minutes), number)


def said(
    who: Contact, rules: CampaignRules = RULES, now: datetime = NOW, listed: dict[str, str] | None = None
) -> Verdict:
    return judge(who, rules, now, None, listed or {})


def test_a_new_contact_is_called_in_the_window() -> None:
    verdict = said(contact())
    assert isinstance(verdict, Dial) and verdict.number == HOME


def test_outside_the_window_it_waits_for_it() -> None:
    verdict = said(contact(), now=NOW.replace(hour=12, minute=30))
    assert verdict == Later(NOW.replace(hour=13), "call window")


def test_busy_is_tried_after_five_minutes() -> None:
    assert said(contact(busy(4))) == Later(NOW + timedelta(minutes=1), "retry after busy")
    assert isinstance(said(contact(busy(5))), Dial)
    assert said(contact(busy(40), busy(30), busy(20), busy(10))) == Done(
        DoneReason.EXHAUSTED, "most attempts after busy: 4"
    )


def test_no_answer_is_tried_in_the_next_window() -> None:
    verdict = said(contact(attempt(Outcome.NO_ANSWER, timedelta(minutes=30))))
    assert verdict == Later(NOW.replace(hour=13), "next window after no_answer")


def test_no_answer_goes_on_with_the_next_number() -> None:
    verdict = said(contact(attempt(Outcome.NO_ANSWER, timedelta(hours=18)), numbers=(HOME, WORK)))
    assert isinstance(verdict, Dial) and verdict.number == WORK


def test_an_invalid_number_is_never_called_again() -> None:
    gone = attempt(Outcome.INVALID_NUMBER, timedelta(hours=1))
    assert said(contact(gone)) == Done(DoneReason.INVALID, "no number exists")
    verdict = said(contact(gone, numbers=(HOME, WORK)))
    assert isinstance(verdict, Dial) and verdict.number == WORK


@pytest.mark.parametrize(
    ("who", "delivered", "kind"),
    [(AnsweredBy.HUMAN, False, "human"), (None, False, "human"), (AnsweredBy.VOICEMAIL, True, "message_left")],
)
def test_who_was_reached_is_done(who: AnsweredBy | None, delivered: bool, kind: str) -> None:
    reached = attempt(Outcome.ANSWERED, timedelta(days=1), answered_by=who, delivered=delivered)
    assert kind_of(reached) == kind
    assert said(contact(reached)) == Done(DoneReason.REACHED, kind)


def test_a_voicemail_without_its_message_is_tried_twice() -> None:
    machine = attempt(Outcome.ANSWERED, timedelta(days=1), answered_by=AnsweredBy.VOICEMAIL)
    assert isinstance(said(contact(machine)), Dial)
    assert said(contact(machine, machine)) == Done(DoneReason.EXHAUSTED, "most attempts after voicemail: 2")


def test_an_attempt_whose_gateway_died_counts() -> None:
    lost = attempt(None, timedelta(hours=1))
    assert isinstance(said(contact(lost)), Dial)
    assert isinstance(said(contact(lost, lost)), Done)


def test_the_most_attempts_in_all() -> None:
    rules = replace(RULES, most_attempts=2)
    who = contact(busy(60), attempt(Outcome.FAILED, timedelta(minutes=30)))
    assert said(who, rules) == Done(DoneReason.EXHAUSTED, "most attempts in all: 2")


def test_limits_a_day_and_a_week() -> None:
    rules = replace(RULES, limits=(AttemptLimit(2, 1), AttemptLimit(3, 7)))
    two_today = contact(busy(50), busy(40))
    assert said(two_today, rules) == Later(datetime(2026, 12, 2, 9, tzinfo=UTC), "call window")
    yesterday = timedelta(days=1)
    over_midnight = contact(attempt(Outcome.BUSY, yesterday), busy(40))
    assert isinstance(said(over_midnight, rules), Dial)
    week = contact(attempt(Outcome.BUSY, 5 * yesterday), attempt(Outcome.BUSY, yesterday), busy(40))
    assert said(week, rules) == Later(NOW + timedelta(days=2), "limit: at most 3 in 7 days")


def test_numbers_on_a_list_are_left_out() -> None:
    listed = {HOME.number: "own"}
    assert said(contact(), listed=listed) == Done(DoneReason.LISTED, "do-not-call list: own")
    verdict = said(contact(numbers=(HOME, WORK)), listed=listed)
    assert isinstance(verdict, Dial) and verdict.number == WORK


def test_the_law_of_the_numbers_country() -> None:
    evening = CallWindows((parse_times("mon-fri 16:00-20:00"),))
    law = RuleSet("uk", evening, (AttemptLimit(1, 1),), frozenset({"consent", "contract"}))
    rules = replace(RULES, by_region={"GB": (law,)})
    assert said(contact(), rules) == Done(DoneReason.NO_CONSENT, "uk: consent (consent or contract)")
    asked = replace(contact(), consent="consent")
    assert said(asked, rules) == Later(NOW.replace(hour=16), "uk")
    once = replace(contact(busy(60)), consent="consent")
    assert said(once, rules) == Later(datetime(2026, 12, 2, 16, tzinfo=UTC), "uk")


def test_a_state_has_its_own_law() -> None:
    strict, federal = RuleSet("us-fl", consent=frozenset({"written"})), RuleSet("us")
    rules = replace(RULES, by_region={"US": (federal,), "US-FL": (federal, strict)})
    florida = Number("+13055550123", ("Europe/London",), "US-FL")
    texas = Number("+12145550123", ("Europe/London",), "US-TX")
    assert isinstance(said(contact(numbers=(florida,)), rules), Done)
    assert isinstance(said(contact(numbers=(texas,)), rules), Dial)


def test_a_country_without_law_can_be_refused() -> None:
    rules = replace(RULES, unknown_region=False)
    assert said(contact(), rules) == Done(DoneReason.NO_CONSENT, 'no rule set for region "GB"')


def test_a_callback_is_called_when_it_was_asked_for() -> None:
    reached = attempt(Outcome.ANSWERED, timedelta(minutes=10), answered_by=AnsweredBy.HUMAN)
    at_five = replace(contact(reached), callback_at=NOW.replace(hour=17))
    assert said(at_five) == Later(NOW.replace(hour=17), "callback asked for")
    assert isinstance(said(at_five, now=NOW.replace(hour=17)), Dial)
    at_night = replace(contact(reached), callback_at=NOW.replace(hour=22))
    assert said(at_night) == Later(datetime(2026, 12, 2, 9, tzinfo=UTC), "call window")


def test_nothing_is_planned_after_the_campaigns_end() -> None:
    ends = NOW.replace(hour=12)
    no_answer = contact(attempt(Outcome.NO_ANSWER, timedelta(minutes=30)))
    assert judge(no_answer, RULES, NOW, ends, {}) == Done(
        DoneReason.EXPIRED, "the campaign ends before: next window after no_answer"
    )


def test_a_rule_of_ones_own() -> None:
    rules = replace(RULES, retries={"busy": Retry(most=2, after=timedelta(hours=1))})
    assert said(contact(busy(30)), rules) == Later(NOW + timedelta(minutes=30), "retry after busy")
    assert said(contact(busy(90), busy(70)), rules) == Done(DoneReason.EXHAUSTED, "most attempts after busy: 2")
