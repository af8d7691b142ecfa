"""Maintains a trunk's registration with its registrar (RFC 3261 section 10). Pure: (event, now) -> actions.

The machine says when to send a REGISTER and with what; whoever runs it writes and sends the message, and knows the
hosts. All times are seconds of one clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from telephony.errors import TelephonyMisuse
from telephony.sip.digest import Credentials, DigestClient
from telephony.sip.drawn import drawn
from telephony.sip.headers import seconds_of
from telephony.sip.parse import Response
from telephony.sip.uri import parse_name_addr, try_uri

__all__ = [
    "Answered",
    "Lost",
    "Registration",
    "RegistrationAction",
    "RegistrationPolicy",
    "RegistrationState",
    "RegistrationStatus",
    "SendRegister",
    "StatusChanged",
    "answer_of",
    "table",
]


class RegistrationState(StrEnum):
    IDLE = "idle"
    REGISTERING = "registering"
    REGISTERED = "registered"
    WAITING = "waiting"  # for the next try
    ENDING = "ending"
    ENDED = "ended"


class _Happened(StrEnum):
    START = "start"
    ACCEPTED = "2xx"
    AGAIN = "challenge, 423, other host"  # the same again, at once
    REFUSED = "refused or lost"
    DUE = "time"
    STOP = "stop"


_S, _H = RegistrationState, _Happened
STEPS: Mapping[tuple[RegistrationState, _Happened], RegistrationState] = {
    (_S.IDLE, _H.START): _S.REGISTERING,
    (_S.IDLE, _H.STOP): _S.ENDED,
    (_S.REGISTERING, _H.ACCEPTED): _S.REGISTERED,
    (_S.REGISTERING, _H.AGAIN): _S.REGISTERING,
    (_S.REGISTERING, _H.REFUSED): _S.WAITING,
    (_S.REGISTERING, _H.STOP): _S.ENDING,  # the request in flight may still be accepted
    (_S.REGISTERED, _H.DUE): _S.REGISTERING,
    (_S.REGISTERED, _H.STOP): _S.ENDING,
    (_S.WAITING, _H.DUE): _S.REGISTERING,
    (_S.WAITING, _H.STOP): _S.ENDING,
    (_S.ENDING, _H.ACCEPTED): _S.ENDED,
    (_S.ENDING, _H.AGAIN): _S.ENDING,
    (_S.ENDING, _H.REFUSED): _S.ENDED,
    (_S.ENDING, _H.STOP): _S.ENDING,
    (_S.ENDED, _H.STOP): _S.ENDED,
}


@dataclass(frozen=True, slots=True)
class RegistrationPolicy:
    """Seconds. Waits between tries double from the first to the longest; jitter takes up to half of each off."""

    expiry_s: int = 3600  # requested; the registrar's value applies
    refresh_fraction: float = 0.75  # of the granted expiry
    first_wait_s: float = 5.0
    longest_wait_s: float = 300.0
    refused_wait_s: float = 60.0  # at least this once the credentials were refused, so as not to hammer the registrar
    answer_s: float = 8.0  # how long to wait for an answer while another host is left
    longest_min_expires_s: int = 86_400


@dataclass(frozen=True, slots=True)
class Answered:
    """A final answer. `challenges`: its WWW-Authenticate or Proxy-Authenticate values; `other_host`: there is a host
    that this attempt has not tried."""

    status: int
    reason: str = ""
    challenges: tuple[str, ...] = ()
    granted_s: int | None = None  # None: not given
    min_expires_s: int | None = None
    retry_after_s: int | None = None
    other_host: bool = False


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer, or nowhere to send it. `why`: in plain words."""

    why: str
    other_host: bool = False


@dataclass(frozen=True, slots=True)
class SendRegister:
    """`headers`: the credentials. `next_host`: to one that this attempt has not tried; `new_try`: an attempt begins."""

    expires_s: int  # 0: deregister
    headers: tuple[tuple[str, str], ...]
    next_host: bool = False
    new_try: bool = False


@dataclass(frozen=True, slots=True)
class RegistrationStatus:
    state: RegistrationState
    registered_until: float  # 0: not registered
    status: int  # of the last final answer; 0: none
    reason: str  # why the last attempt failed; empty: it did not
    next_at: float  # time of the next attempt or refresh; infinite: none planned


@dataclass(frozen=True, slots=True)
class StatusChanged:
    """Registered, no longer registered, or an attempt has failed."""

    status: RegistrationStatus


RegistrationAction = SendRegister | StatusChanged


class Registration:
    """`random` returns numbers from 0 to 1, `random_token` client nonces."""

    def __init__(
        self,
        uri: str,
        credentials: Credentials | None,
        policy: RegistrationPolicy,
        random: Callable[[], float],
        random_token: Callable[[], str],
    ) -> None:
        self._uri = uri  # of the registrar: "sip:carrier.example"
        self._digest = None if credentials is None else DigestClient(credentials, random_token)
        self._policy = policy
        self._random = random
        self._state = RegistrationState.IDLE
        self._asked_s = policy.expiry_s
        self._until = 0.0
        self._next_at = math.inf
        self._failures = 0  # in a row
        self._challenges = 0  # of this attempt
        self._too_brief = False  # this attempt got a 423
        self._status, self._reason = 0, ""

    @property
    def status(self) -> RegistrationStatus:
        return RegistrationStatus(self._state, self._until, self._status, self._reason, self._next_at)

    @property
    def next_at(self) -> float:
        """When to call `due`."""
        return self._next_at

    def start(self, now: float) -> list[RegistrationAction]:
        self._step(_H.START)
        return [self._send(new_try=True)]

    def due(self, now: float) -> list[RegistrationAction]:
        actions: list[RegistrationAction] = []
        if 0 < self._until <= now:
            self._until = 0.0
            actions.append(StatusChanged(self.status))
        if now < self._next_at:
            return actions
        self._step(_H.DUE)
        self._next_at = math.inf
        return [*actions, self._send(new_try=True)]

    def stop(self, now: float) -> list[RegistrationAction]:
        """Deregister if a registration may exist. Idempotent."""
        before = self._state
        self._step(_H.STOP)
        self._next_at = math.inf
        if self._state is not _S.ENDING or before is _S.ENDING:
            return []
        if before is _S.WAITING and self._until <= now:
            self._step(_H.REFUSED)  # nothing to report
            return []
        return [self._send(new_try=True)]

    def lost(self, lost: Lost, now: float) -> list[RegistrationAction]:
        self._status = 0
        if lost.other_host:
            self._step(_H.AGAIN)
            return [self._send(next_host=True)]
        return self._failed(lost.why, now)

    def answered(self, answer: Answered, now: float) -> list[RegistrationAction]:
        """A final answer to the last REGISTER."""
        self._status = answer.status
        if 200 <= answer.status < 300:
            return self._accepted(answer, now)
        if answer.status in (401, 407):
            return self._challenged(answer, now)
        if answer.status == 423 and self._state is _S.REGISTERING:
            least = answer.min_expires_s or 0
            if self._asked_s < least <= self._policy.longest_min_expires_s and not self._too_brief:
                self._asked_s, self._too_brief = least, True
                self._step(_H.AGAIN)
                return [self._send()]
        if answer.other_host and (answer.status >= 500 or answer.status == 408):
            self._step(_H.AGAIN)
            return [self._send(next_host=True)]
        at_least = float(answer.retry_after_s or 0)
        if answer.status in (403, 404):
            at_least = max(at_least, self._policy.refused_wait_s)
        return self._failed(_told(answer), now, at_least)

    def _challenged(self, answer: Answered, now: float) -> list[RegistrationAction]:
        digest = self._digest
        if digest is None:
            return self._failed(f"{_told(answer)}: no account is set", now, self._policy.refused_wait_s)
        if not digest.challenged(answer.status, answer.challenges, before=self._challenges):
            return self._failed(f"{_told(answer)}: {digest.refused}", now, self._policy.refused_wait_s)
        self._challenges += 1
        self._step(_H.AGAIN)
        return [self._send()]

    def _accepted(self, answer: Answered, now: float) -> list[RegistrationAction]:
        granted = self._asked_s if answer.granted_s is None else answer.granted_s
        if self._state is _S.REGISTERING and granted <= 0:
            return self._failed("the registrar does not list our registration", now)
        was_registered = self._until > now and not self._reason
        self._step(_H.ACCEPTED)
        self._failures, self._reason = 0, ""
        if self._state is _S.ENDED:
            self._until = 0.0
            return [StatusChanged(self.status)]
        self._until = now + granted
        self._next_at = now + granted * self._policy.refresh_fraction * (1 - 0.1 * self._random())
        return [] if was_registered else [StatusChanged(self.status)]

    def _failed(self, why: str, now: float, at_least_s: float = 0.0) -> list[RegistrationAction]:
        self._reason = why
        self._step(_H.REFUSED)
        if self._state is _S.ENDED:
            self._until = 0.0
            return [StatusChanged(self.status)]
        policy = self._policy
        wait = min(policy.first_wait_s * 2 ** min(self._failures, 30), policy.longest_wait_s)
        self._failures += 1
        self._next_at = now + max(at_least_s, wait * (1 - 0.5 * self._random()))
        return [StatusChanged(self.status)]

    def _send(self, *, new_try: bool = False, next_host: bool = False) -> SendRegister:
        if new_try:
            self._challenges, self._too_brief = 0, False
        if next_host:
            self._challenges = 0
        headers = () if self._digest is None else tuple(self._digest.answers("REGISTER", self._uri))
        return SendRegister(0 if self._state is _S.ENDING else self._asked_s, headers, next_host, new_try)

    def _step(self, happened: _Happened) -> None:
        after = STEPS.get((self._state, happened))
        if after is None:
            raise TelephonyMisuse(f"registration: {happened} is not possible while {self._state}")
        self._state = after


def _told(answer: Answered) -> str:
    return f"{answer.status} {answer.reason}".strip()


def answer_of(response: Response, contact: str, *, other_host: bool) -> Answered:
    """A registrar's final answer. `contact`: the registered URI, as a registrar lists all bindings (RFC 3261 section
    10.3)."""
    asks = "proxy-authenticate" if response.status == 407 else "www-authenticate"
    return Answered(
        response.status,
        response.reason[:100],
        tuple(response.headers.get(asks)),
        _granted(response, contact),
        seconds_of(response.value("min-expires")),
        seconds_of(response.value("retry-after")),
        other_host,
    )


def _granted(response: Response, contact: str) -> int | None:
    wanted = try_uri(contact)
    contacts: Sequence[str] = response.headers.get("contact")
    for value in contacts:
        try:
            address = parse_name_addr(value)
        except ValueError:
            continue
        found = try_uri(address.uri)
        if (
            found is None
            or wanted is None
            or (found.user, found.host, found.port or 5060)
            != (
                wanted.user,
                wanted.host,
                wanted.port or 5060,
            )
        ):
            continue
        seconds = seconds_of(address.params.get("expires", ""))
        return seconds_of(response.value("expires")) if seconds is None else seconds
    if contacts:
        return 0 if wanted is not None else None  # it lists others, and not ours
    return seconds_of(response.value("expires"))


def table() -> str:
    """The table as Markdown, for docs/trunks.md: a test compares them."""

    def cell(state: RegistrationState, happened: _Happened) -> str:
        after = STEPS.get((state, happened))
        return "" if after is None else after.value

    return drawn(RegistrationState, _Happened, cell)
