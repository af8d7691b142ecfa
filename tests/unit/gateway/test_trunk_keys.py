"""By which ways a trunk's keys come: learnt from its calls."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gateway.config.trunks import TrunkSettings
from gateway.record import CallClosed, CallOpened, LegClosed, LegMoved, LegOpened, Outcome, WorkerLost
from gateway.trunk_keys import LISTEN_EVERY, PROVEN_AFTER, TrunkKeys
from telephony.call import CallInfo, DigitSource, Direction, EndedBy, LegRole, MediaStatistics
from telephony.fakes import statistics
from telephony.keys import KeyFigures, KeyTerms

NOW = datetime(2026, 11, 28, tzinfo=UTC)
EVENTS = KeyFigures(rfc4733=2, first="rfc4733", agreed=True)
TONES = KeyFigures(inband=4, first="inband", agreed=True)


def made(dtmf: str = "auto") -> TrunkKeys:
    return TrunkKeys([TrunkSettings(name=name, allow=(), dtmf=dtmf) for name in ("lab", "other")])  # type: ignore[arg-type]


def call(keys: TrunkKeys, figures: KeyFigures | None, trunk: str = "lab", *, moved: str = "") -> None:
    """One whole call."""
    info = CallInfo("c", Direction.INBOUND, "+1", None, trunk)
    keys.observe(CallOpened.of(info, started_at=NOW, persona="p", rule="r", worker="w1"))
    if moved:
        keys.observe(LegMoved(leg_id="c-1", call_id="c", trunk=moved))
    keys.observe(
        CallClosed(call_id="c", outcome=Outcome.ANSWERED, ended_by=EndedBy.CALLER, ended_at=NOW, media=_media(figures))
    )


def _media(figures: KeyFigures | None) -> MediaStatistics | None:
    return None if figures is None else replace(statistics(), keys=figures)


def test_a_restart_forgets_nothing() -> None:
    keys = made()
    keys.remember([("lab", TONES), *[("lab", EVENTS)] * PROVEN_AFTER, ("gone", EVENTS), ("other", KeyFigures())])
    assert keys.states["lab"].events_work and not keys.states["other"].events_work
    assert (keys.states["lab"].not_used, keys.states["lab"].latest) == (1, "rfc4733")


def test_presses_and_calls_are_counted_by_way() -> None:
    keys = made()
    call(keys, KeyFigures(rfc4733=3, inband=3, first="inband", agreed=True))
    call(keys, KeyFigures(info=1, first="info"))
    call(keys, KeyFigures(agreed=True))  # nobody pressed anything
    call(keys, None)
    state = keys.states["lab"]
    assert state.presses == {"rfc4733": 3, "info": 1, "inband": 3}
    assert state.calls == {"rfc4733": 0, "info": 1, "inband": 1}
    assert (state.not_used, state.latest) == (0, "info")
    assert keys.states["other"].latest == ""


def test_a_trunk_whose_events_work_is_listened_to_no_more_but_for_one_call_in_twenty() -> None:
    keys = made()
    for _ in range(PROVEN_AFTER):
        assert keys.terms(["lab"]) == KeyTerms()
        call(keys, EVENTS)
    given = [keys.terms(["lab"]).events_work for _ in range(2 * LISTEN_EVERY)]
    assert given.count(False) == 2
    assert not keys.terms(["other"]).events_work


def test_tones_from_a_trunk_that_had_agreed_to_events_are_noticed() -> None:
    keys = made()
    for _ in range(PROVEN_AFTER):
        call(keys, EVENTS)
    call(keys, TONES)
    assert keys.states["lab"].not_used == 1
    assert not keys.terms(["lab"]).events_work
    call(keys, KeyFigures(inband=4, first="inband", agreed=False))
    assert keys.states["lab"].not_used == 1, "without an agreement tones are as they should be"


@pytest.mark.parametrize("way", list(DigitSource))
def test_a_setting_fixes_the_way(way: DigitSource) -> None:
    assert made(way.value).terms(["lab"]).way is way


def test_a_leg_that_may_go_over_several_trunks_takes_what_holds_for_all() -> None:
    keys = TrunkKeys(
        [TrunkSettings(name="lab", allow=(), dtmf="info"), TrunkSettings(name="other", allow=(), dtmf="auto")]
    )
    assert keys.terms(["lab"]) == KeyTerms(DigitSource.INFO)
    assert keys.terms(["lab", "other"]) == KeyTerms()
    assert keys.terms(["unknown"]) == KeyTerms()


def test_a_leg_counts_for_the_trunk_that_took_it() -> None:
    keys = made()
    call(keys, EVENTS, moved="other")
    assert (keys.states["lab"].latest, keys.states["other"].latest) == ("", "rfc4733")
    keys.observe(
        LegOpened(
            leg_id="c-2",
            call_id="c",
            role=LegRole.HUMAN,
            direction=Direction.OUTBOUND,
            trunk="lab",
            called="+1",
            caller=None,
            started_at=NOW,
        )
    )
    keys.observe(LegClosed(leg_id="c-2", call_id="c", outcome=Outcome.ANSWERED, ended_at=NOW, media=_media(TONES)))
    assert keys.states["lab"].latest == "inband"


def test_a_lost_worker_teaches_nothing() -> None:
    keys = made()
    info = CallInfo("c", Direction.INBOUND, "+1", None, "lab")
    keys.observe(CallOpened.of(info, started_at=NOW, persona="p", rule="r", worker="w1"))
    keys.observe(WorkerLost(call_ids=("c",), at=NOW, reason="x"))
    keys.observe(
        CallClosed(call_id="c", outcome=Outcome.ANSWERED, ended_by=EndedBy.CALLER, ended_at=NOW, media=_media(TONES))
    )
    assert keys.states["lab"].latest == ""
