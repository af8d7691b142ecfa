"""The state of each trunk, for the API and `trunkline trunks`: the edge's view, with wall-clock times."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from gateway.outbound.trunks import TrunkState
from gateway.trunk_keys import TrunkKeysState
from telephony.edge import PlaceStatus, Refusal, TrunkStatus
from telephony.sip.resolving import Place

__all__ = [
    "TrunkHost",
    "TrunkKeysReport",
    "TrunkRefusal",
    "TrunkRegistration",
    "TrunkReport",
    "TrunkTlsFailure",
    "trunk_reports",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrunkRegistration:
    """`state`: idle, registering, registered, waiting (for the next try), ending, ended."""

    state: str
    registered_until: datetime | None  # None: not registered
    registrar: str | None  # where the last REGISTER went
    status: int | None  # of its answer; None: there was none
    error: str | None  # why the last try failed
    next_at: datetime | None  # of the next refresh or try


@dataclass(frozen=True, slots=True, kw_only=True)
class TrunkHost:
    """`state`: up, down, unknown; None: it is not probed."""

    host: str  # "udp:192.0.2.7:5060"
    name: str
    state: str | None
    status: int | None  # of the last answer to OPTIONS
    round_trip_ms: float | None
    answered_at: datetime | None
    passed_over_until: datetime | None  # it failed, and comes last until then


@dataclass(frozen=True, slots=True, kw_only=True)
class TrunkRefusal:
    """An outbound call that a host did not accept. `status`: None if there was no answer."""

    at: datetime
    host: str
    status: int | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrunkLoad:
    """Legs of calls now, and the trunk's cap."""

    placed: int
    came_in: int
    cap: int | None  # calls at once; null: no limit
    cap_per_second: float | None
    waiting: int  # calls that wait for their turn
    refused: int  # since the start: the trunk was full, and stayed so


@dataclass(frozen=True, slots=True, kw_only=True)
class TrunkTlsFailure:
    """A secure connection with the trunk that failed or broke. `peer`: without a port if the peer opened it."""

    at: datetime
    peer: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrunkKeysReport:
    """By which ways its keys come, since the start of the gateway. `presses` and `calls`: by way (`rfc4733`, `info`,
    `inband`); a call counts for the way of its first key."""

    setting: str  # `dtmf` of the trunk
    presses: dict[str, int]
    calls: dict[str, int]
    agreed_but_not_used: int  # calls that agreed to telephone-event and sent tones only
    latest: str | None  # the way of the last call with keys
    listens_in_band: bool  # in a call that begins now, until an event comes


@dataclass(frozen=True, slots=True, kw_only=True)
class TrunkReport:
    name: str
    calls: int  # dialogs now, inbound and outbound
    registration: TrunkRegistration | None
    hosts: tuple[TrunkHost, ...]  # in the order to try them; empty: none configured, or its name is not resolved yet
    refusals: tuple[TrunkRefusal, ...]  # the last few, oldest first
    load: TrunkLoad
    tls_failures: tuple[TrunkTlsFailure, ...]  # the last few, oldest first; repeats of the last one are one
    turned_away: tuple[TrunkRefusal, ...]  # its calls that we refused: no SRTP as it is set, certificate or password
    certificate_expires_at: datetime | None  # of our certificate that it is shown; null: there is none
    keys: TrunkKeysReport | None = None
    passed_over_until: datetime | None = None  # tried last until then, since it failed of late


@dataclass(frozen=True, slots=True)
class _Clock:
    """Loop time as a time of day."""

    loop_now: float
    now: datetime

    def at(self, loop_time: float) -> datetime | None:
        if not loop_time or math.isinf(loop_time):
            return None
        return self.now + timedelta(seconds=loop_time - self.loop_now)


def trunk_reports(
    statuses: Iterable[TrunkStatus],
    calls_of: Iterable[str],
    states: Mapping[str, TrunkState],
    loop_now: float,
    now: datetime,
    expiries: Mapping[str, datetime] | None = None,
    keys: Mapping[str, TrunkKeysState] | None = None,
) -> tuple[TrunkReport, ...]:
    """`calls_of`: the trunk of each live dialog; `loop_now` and `now` are the same moment; `expiries`: of our
    certificates, by the trunk that has one of its own, and under an empty name for all others."""
    clock, calls, ours = _Clock(loop_now, now), Counter(calls_of), expiries or {}
    return tuple(
        replace(
            _report(status, calls[status.name], states[status.name], clock, ours.get(status.name, ours.get(""))),
            keys=_keys((keys or {}).get(status.name)),
        )
        for status in statuses
    )


def _report(
    status: TrunkStatus, calls: int, state: TrunkState, clock: _Clock, expires_at: datetime | None
) -> TrunkReport:
    registration = None
    if (found := status.registration) is not None:
        registration = TrunkRegistration(
            state=found.state.value,
            registered_until=clock.at(found.registered_until),
            registrar=None if status.registrar is None else _host(status.registrar),
            status=found.status or None,
            error=found.reason or None,
            next_at=clock.at(found.next_at),
        )
    return TrunkReport(
        name=status.name,
        calls=calls,
        registration=registration,
        hosts=tuple(_host_report(place, clock) for place in status.places),
        refusals=tuple(_refusal(refusal, clock) for refusal in status.refusals),
        load=TrunkLoad(
            placed=state.cap.placed,
            came_in=state.cap.came_in,
            cap=state.cap.calls,
            cap_per_second=state.cap.calls_per_second,
            waiting=state.cap.waiting,
            refused=state.cap.refused,
        ),
        passed_over_until=clock.at(state.passed_over_until) if state.passed_over_until > clock.loop_now else None,
        tls_failures=tuple(
            TrunkTlsFailure(at=clock.at(failure.at) or clock.now, peer=failure.peer, reason=failure.why)
            for failure in status.tls_failures
        ),
        turned_away=tuple(_refusal(refusal, clock) for refusal in status.turned_away),
        certificate_expires_at=expires_at,
    )


def _keys(state: TrunkKeysState | None) -> TrunkKeysReport | None:
    if state is None:
        return None
    return TrunkKeysReport(
        setting=state.setting,
        presses=dict(state.presses),
        calls=dict(state.calls),
        agreed_but_not_used=state.not_used,
        latest=state.latest or None,
        listens_in_band=state.setting == "inband" or (state.setting == "auto" and not state.events_work),
    )


def _refusal(refusal: Refusal, clock: _Clock) -> TrunkRefusal:
    return TrunkRefusal(
        at=clock.at(refusal.at) or clock.now,
        host=_host(refusal.place),
        status=refusal.status or None,
        reason=refusal.reason,
    )


def _host_report(status: PlaceStatus, clock: _Clock) -> TrunkHost:
    probe = status.probe
    late = status.passed_over_until > clock.loop_now
    return TrunkHost(
        host=_host(status.place),
        name=status.place.name,
        state=None if probe is None else probe.reachability.value,
        status=None if probe is None else probe.status or None,
        round_trip_ms=None if probe is None or probe.round_trip_ms is None else round(probe.round_trip_ms, 1),
        answered_at=None if probe is None else clock.at(probe.answered_at),
        passed_over_until=clock.at(status.passed_over_until) if late else None,
    )


def _host(place: Place) -> str:
    ip = f"[{place.ip}]" if ":" in place.ip else place.ip
    return f"{place.transport}:{ip}:{place.port}"
