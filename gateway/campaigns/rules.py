"""What a campaign's rules are made of: retries, limits, law. Types only; `judging` applies them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType

from gateway.campaigns.model import Attempt, Number
from gateway.campaigns.windows import CallWindows
from gateway.record import Outcome
from telephony.media.answering.model import AnsweredBy

__all__ = ["DEFAULT_RETRIES", "AttemptLimit", "CampaignRules", "Retry", "RuleSet", "kind_of"]


@dataclass(frozen=True, slots=True)
class Retry:
    """After an attempt of one kind. `most`: attempts of this kind in all, the first included. `after`: the earliest
    next one; `next_window`: not within the window of the attempt. `next_number`: the contact's other numbers go
    first."""

    most: int = 1
    after: timedelta = timedelta(0)
    next_window: bool = False
    next_number: bool = False


DEFAULT_RETRIES: Mapping[str, Retry] = MappingProxyType(
    {
        "human": Retry(),
        "message_left": Retry(),
        "voicemail": Retry(most=2, next_window=True),  # it had no message, or not all of it
        "mailbox_full": Retry(most=2, next_window=True),
        "screener": Retry(most=2, next_window=True),
        "ivr": Retry(most=2, next_window=True, next_number=True),
        "fax": Retry(next_number=True),
        "silence": Retry(most=3, after=timedelta(hours=1)),
        "busy": Retry(most=4, after=timedelta(minutes=5)),
        "no_answer": Retry(most=3, next_window=True, next_number=True),
        "rejected": Retry(most=2, next_window=True),
        "invalid_number": Retry(next_number=True),  # and that number never again
        "failed": Retry(most=3, after=timedelta(minutes=15)),
        "cancelled": Retry(most=2, after=timedelta(minutes=15)),
        "refused": Retry(most=3, after=timedelta(minutes=15)),
        "lost": Retry(most=2, after=timedelta(minutes=15)),  # what became of it is not known
    }
)
GOALS = frozenset({"human", "message_left"})  # what a campaign wants, unless its own rules try again


def kind_of(attempt: Attempt) -> str:
    """The word by which rules and reports name what became of it."""
    if attempt.outcome is None:
        return "lost"
    if attempt.outcome is not Outcome.ANSWERED:
        return attempt.outcome.value
    who = attempt.answered_by
    if who in (AnsweredBy.VOICEMAIL, AnsweredBy.MAILBOX_FULL) and attempt.delivered:
        return "message_left"
    return "human" if who in (None, AnsweredBy.HUMAN, AnsweredBy.UNKNOWN) else who.value


@dataclass(frozen=True, slots=True)
class AttemptLimit:
    """At most `most` attempts to one person within `days` days (rolling); of 1: within the person's own day."""

    most: int
    days: int


@dataclass(frozen=True, slots=True)
class RuleSet:
    """One country's law as data. `consent`: the bases that allow a call; empty: none is asked for. `windows` None: at
    any hour. `source`: where it stands, and when it was looked up."""

    name: str
    windows: CallWindows | None = None
    limits: tuple[AttemptLimit, ...] = ()
    consent: frozenset[str] = frozenset()
    source: str = ""


@dataclass(frozen=True, slots=True)
class CampaignRules:
    """`by_region`: the law for `US-FL`, else for `US`; a number of a region that none is given for is bound by
    the campaign's own rules alone, unless `unknown_region` is False: then it is not called. `gap`: between any two
    attempts to one person. `holidays_of_called`: nobody is called on public holidays of the number's region."""

    windows: CallWindows
    retries: Mapping[str, Retry] = field(default_factory=lambda: DEFAULT_RETRIES)
    limits: tuple[AttemptLimit, ...] = ()
    most_attempts: int = 6
    gap: timedelta = timedelta(minutes=5)
    by_region: Mapping[str, tuple[RuleSet, ...]] = field(default_factory=dict)
    unknown_region: bool = True
    holidays_of_called: bool = False

    def windows_for(self, number: Number) -> CallWindows:
        return self.windows.without_holidays_of(number.region) if self.holidays_of_called else self.windows

    def law_for(self, number: Number) -> tuple[RuleSet, ...] | None:
        """None: it may not be called, since no law is known for its region."""
        country = number.region.partition("-")[0]
        found = self.by_region.get(number.region, self.by_region.get(country))
        if found is None:
            return () if self.unknown_region else None
        return found

    def retry(self, kind: str) -> Retry:
        return self.retries.get(kind, DEFAULT_RETRIES.get(kind, Retry()))
