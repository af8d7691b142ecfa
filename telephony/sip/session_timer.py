"""Session timers (RFC 4028): what to ask for, what to agree to, and when to refresh or to give up. Pure.

One machine for each dialog, for either side's requests. It holds no message and no clock; whoever runs it tells it what
was said and what time it is.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from telephony.sip.headers import Headers, seconds_of

__all__ = ["SHORTEST_S", "SessionDue", "SessionExpires", "SessionPolicy", "SessionTimer", "read_session_expires"]

SHORTEST_S = 90  # section 4
_LONGEST_S = 86_400
_FLOOR_S = 2.0  # whatever a peer writes: no more than one refresh a second
_LAST_S = 0.5  # of a session in which another refresh is tried
_MOST_TRIES = 3  # of one request with a longer interval
_GRACE_S = 32.0  # section 10: the end comes so long before the interval is over, or a third of that
_SECONDS = re.compile(r"(\d{1,9})[ \t]*(?:;(.*))?\Z", re.ASCII)
_REFRESHER = re.compile(r"(?:^|;)[ \t]*refresher[ \t]*=[ \t]*(uac|uas)[ \t]*(?:;|\Z)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """`refresher`: who is to refresh, where that is ours to say."""

    expires_s: int = 1800
    refresher: Literal["us", "them", "either"] = "either"


@dataclass(frozen=True, slots=True)
class SessionExpires:
    """The header's value; `refresher` empty: not said."""

    seconds: int
    refresher: str


class SessionDue(StrEnum):
    REFRESH = "refresh"
    END = "end"  # nobody has refreshed it


def read_session_expires(headers: Headers) -> SessionExpires | None:
    """None: there is none that can be read."""
    match = _SECONDS.match(headers.get_first("session-expires") or "")
    if match is None:
        return None
    refresher = _REFRESHER.search(match[2] or "")
    return SessionExpires(min(int(match[1]), _LONGEST_S), refresher[1].lower() if refresher else "")


class SessionTimer:
    def __init__(self, policy: SessionPolicy) -> None:
        self._policy = policy
        self._wanted_s = policy.expires_s
        self._least_s = SHORTEST_S
        self._tries = 0
        self._agreed_s = 0
        self._we_refresh = False
        self._refresh_at = math.inf
        self._ends_at = math.inf

    @property
    def running(self) -> bool:
        return self._ends_at < math.inf

    @property
    def next_at(self) -> float:
        """When `due` has to be asked; infinite: not at all."""
        return min(self._refresh_at, self._ends_at)

    # Requests of ours

    def asks(self) -> list[tuple[str, str]]:
        """Header fields of our INVITE, re-INVITE or UPDATE (section 7.1)."""
        refresher = {"us": "uac", "them": "uas", "either": ""}[self._policy.refresher]
        seconds = self._wanted_s
        if self.running:
            refresher = "uac" if self._we_refresh else "uas"
            seconds = max(self._agreed_s, self._least_s)
        value = f"{seconds};refresher={refresher}" if refresher else str(seconds)
        return [("Session-Expires", value), ("Min-SE", str(self._least_s))]

    def too_short(self, headers: Headers) -> bool:
        """Our request met a 422. Whether it is to be sent again: then with a longer interval (section 7.3)."""
        least = seconds_of(headers.get_first("min-se") or "")
        self._tries += 1
        if least is None or not self._least_s <= least <= _LONGEST_S or self._tries > _MOST_TRIES:
            return False
        self._least_s = least
        self._wanted_s = max(self._wanted_s, least)
        return True

    def accepted(self, headers: Headers, now: float) -> None:
        """Our request met a 2xx (section 7.2); without the header there is no timer from now on."""
        self._tries = 0
        said = read_session_expires(headers)
        if said is None:
            self.stop()
        else:
            self._run(said.seconds, now, we_refresh=said.refresher != "uas")

    def failed(self, now: float) -> None:
        """Our refresh was refused: once more, at half of what is left (section 10)."""
        left = self._ends_at - now
        self._refresh_at = now + left / 2 if self._we_refresh and left > _LAST_S else math.inf

    # Requests of the peer

    @staticmethod
    def refuses(headers: Headers) -> bool:
        """Whether its request is to be refused with 422: it wants less than we do, and knows that answer."""
        said = read_session_expires(headers)
        return said is not None and said.seconds < SHORTEST_S and _knows_timers(headers)

    def answers(self, headers: Headers, now: float) -> list[tuple[str, str]]:
        """Header fields of our 2xx to its INVITE, re-INVITE or UPDATE with these (section 9, table 2)."""
        said, able, policy = read_session_expires(headers), _knows_timers(headers), self._policy
        if said is None and policy.refresher != "us":
            self.stop()
            return []
        least = max(SHORTEST_S, seconds_of(headers.get_first("min-se") or "") or 0)
        seconds = max(least, min(self._wanted_s, said.seconds if said else self._wanted_s))
        refresher = said.refresher if said else ""
        if not refresher and self.running:
            refresher = "uas" if self._we_refresh else "uac"
        elif not refresher:
            refresher = "uas" if policy.refresher == "us" else "uac"
        if not able:
            refresher = "uas"
        self._run(seconds, now, we_refresh=refresher == "uas")
        required = [("Require", "timer")] if refresher == "uac" else []
        return [("Session-Expires", f"{seconds};refresher={refresher}"), *required]

    # Time

    def due(self, now: float) -> SessionDue | None:
        """A refresh is due once: `accepted`, `too_short` or `failed` tells what became of it."""
        if now >= self._ends_at:
            self.stop()
            return SessionDue.END
        if now >= self._refresh_at:
            self._refresh_at = math.inf
            return SessionDue.REFRESH
        return None

    def stop(self) -> None:
        self._refresh_at = self._ends_at = math.inf

    def _run(self, agreed_s: int, now: float, *, we_refresh: bool) -> None:
        seconds = max(agreed_s, _FLOOR_S)
        self._agreed_s, self._we_refresh = agreed_s, we_refresh
        self._refresh_at = now + seconds / 2 if we_refresh else math.inf
        self._ends_at = now + seconds - min(_GRACE_S, seconds / 3)


def _knows_timers(headers: Headers) -> bool:
    return any(token.lower() == "timer" for name in ("supported", "require") for token in headers.get(name))
