"""The state of a trunk, for pages and commands."""

from __future__ import annotations

from dataclasses import dataclass

from telephony.sip.probing import ProbeStatus
from telephony.sip.registration import RegistrationStatus
from telephony.sip.resolving import Place

__all__ = ["PlaceStatus", "Refusal", "TlsFailure", "TrunkStatus"]


@dataclass(frozen=True, slots=True)
class PlaceStatus:
    place: Place
    probe: ProbeStatus | None  # None: it is not probed
    passed_over_until: float  # seconds, loop clock; 0: it has not failed recently


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that a trunk did not take."""

    at: float  # seconds, loop clock
    place: Place
    status: int  # 0: no answer
    reason: str


@dataclass(frozen=True, slots=True)
class TlsFailure:
    """A secure connection with a trunk that did not come about, or broke. Repeats of the last one are one."""

    at: float  # seconds, loop clock
    peer: str  # "192.0.2.7:5061"; without the port if the trunk has made the connection
    why: str


@dataclass(frozen=True, slots=True)
class TrunkStatus:
    name: str
    places: tuple[PlaceStatus, ...]
    registration: RegistrationStatus | None  # None: we do not register there
    registrar: Place | None  # which the last REGISTER went to
    refusals: tuple[Refusal, ...]  # the last few, oldest first
    tls_failures: tuple[TlsFailure, ...] = ()  # the same
    turned_away: tuple[Refusal, ...] = ()  # the same, of its calls that we refused: no SRTP, certificate or password
