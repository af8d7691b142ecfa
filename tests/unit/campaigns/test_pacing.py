"""How many calls may begin now."""

from __future__ import annotations

from gateway.campaigns.pacing import Pace, PaceLimits

FIVE = PaceLimits(per_s=5, at_once=100)


def begun(pace: Pace, start: float, seconds: float, *, step: float = 0.02, live: int = 0) -> tuple[int, Pace]:
    """Calls that begin in these seconds, looked at every `step`."""
    calls = 0
    for index in range(1, round(seconds / step) + 1):
        pace = pace.now(start + index * step)
        now = pace.allowed(live)
        calls += now
        pace = pace.begun(now)
    return calls, pace


def test_five_a_second_for_ten_minutes() -> None:
    calls, _ = begun(Pace(FIVE, 0.0), 0.0, 600.0)
    assert abs(calls - 3000) <= 5


def test_looked_at_seldom_it_is_still_five_a_second() -> None:
    calls, _ = begun(Pace(FIVE, 0.0), 0.0, 600.0, step=0.9)
    assert abs(calls - 3000) <= 5


def test_what_was_not_used_is_saved_for_a_second_at_most() -> None:
    assert Pace(FIVE, 0.0).now(3600.0).allowed(0) == 5


def test_calls_at_once_are_bounded() -> None:
    pace = Pace(PaceLimits(per_s=50, at_once=3), 0.0).now(10.0)
    assert (pace.allowed(0), pace.allowed(2), pace.allowed(3), pace.allowed(4)) == (3, 1, 0, 0)


def test_an_overload_halves_the_rate_and_it_recovers() -> None:
    pace = Pace(FIVE, 0.0).now(10.0).overloaded(10.0)
    calls, pace = begun(pace, 10.0, 4.0)
    assert 8 <= calls <= 12
    _, pace = begun(pace, 14.0, 60.0)
    assert pace.share == 1.0
    calls, _ = begun(pace, 74.0, 10.0)
    assert abs(calls - 50) <= 1


def test_refusals_of_one_moment_count_once() -> None:
    pace = Pace(FIVE, 0.0).now(10.0)
    for at in (10.0, 10.1, 10.2, 10.3):
        pace = pace.overloaded(at)
    assert 0.5 <= pace.share < 0.52


def test_the_rate_never_falls_to_nothing() -> None:
    pace = Pace(FIVE, 0.0)
    for minute in range(30):
        pace = pace.overloaded(minute * 10.0)
    assert pace.share >= 0.05


def test_retry_after_is_kept() -> None:
    pace = Pace(FIVE, 0.0).now(10.0).overloaded(10.0, retry_after_s=30.0)
    calls, pace = begun(pace, 10.0, 30.0)
    assert calls == 0
    calls, _ = begun(pace, 40.0, 4.0)
    assert 8 <= calls <= 12


def test_due_is_when_the_next_may_begin() -> None:
    pace = Pace(FIVE, 0.0)
    assert pace.allowed(0) == 0
    assert pace.now(pace.due).allowed(0) == 1


def test_a_clock_set_back_gives_nothing() -> None:
    pace = Pace(FIVE, 100.0)
    assert pace.now(50.0).allowed(0) == 0
