"""What a campaign's engine decides about: contacts, their numbers, and attempts. Times are aware datetimes, in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from gateway.record import Outcome
from telephony.media.answering.model import AnsweredBy

__all__ = [
    "Attempt",
    "CampaignState",
    "Contact",
    "ContactState",
    "Dial",
    "Done",
    "DoneReason",
    "Later",
    "Number",
    "Verdict",
]


class CampaignState(StrEnum):
    DRAFT = "draft"
    RUNNING = "running"
    PAUSED = "paused"  # by a person, or for a reason that the campaign keeps
    FINISHING = "finishing"  # no new calls; those that are live end by themselves
    STOPPED = "stopped"
    DONE = "done"  # no contact is left to call, or its end has come


class ContactState(StrEnum):
    WAITING = "waiting"  # for `next_at`
    DIALLING = "dialling"  # leased by a gateway: an attempt is under way
    DONE = "done"


class DoneReason(StrEnum):
    """Why a contact is not called any more."""

    REACHED = "reached"  # a person or a message: the campaign has what it wanted
    EXHAUSTED = "exhausted"  # all attempts were made
    INVALID = "invalid"  # none of the numbers exists
    OPTED_OUT = "opted_out"
    NO_CONSENT = "no_consent"
    LISTED = "listed"  # on a do-not-call list
    EXPIRED = "expired"  # the campaign ends before it may be called again
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Number:
    """`zones`: every time zone that it may be in, as IANA names; `region`: its country, `US`, or `US-NY` if known.
    `valid`: False once the network has said that it does not exist."""

    number: str  # E.164 with +
    zones: tuple[str, ...]
    region: str = ""
    valid: bool = True


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call, from its order on. `outcome` None: not known yet, or never will be (its gateway was killed)."""

    number: str
    at: datetime
    outcome: Outcome | None = None
    answered_by: AnsweredBy | None = None
    delivered: bool = False  # a message, whole
    call_id: str = ""


@dataclass(frozen=True, slots=True)
class Contact:
    """One person. `key` is unique in the campaign; `attempts` in their order. `callback_at`: when they have asked to be
    called, which goes before the rules for retries, but not before windows and law."""

    contact_id: int
    key: str
    numbers: tuple[Number, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    attempts: tuple[Attempt, ...] = ()
    consent: str = ""  # its basis, as the rule sets name them; empty: none is known
    callback_at: datetime | None = None
    added_at: datetime | None = None


# --- what is decided about a contact ---


@dataclass(frozen=True, slots=True)
class Dial:
    """Call this number now. `rule`: by what it was allowed, for the evidence."""

    number: Number
    rule: str


@dataclass(frozen=True, slots=True)
class Later:
    """Not before `at`. `rule`: what forbids it now, as a person would say it."""

    at: datetime
    rule: str


@dataclass(frozen=True, slots=True)
class Done:
    """Never (again)."""

    reason: DoneReason
    rule: str


Verdict = Dial | Later | Done
