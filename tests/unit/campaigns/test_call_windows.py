"""When people may be called: on the clock of their own wall."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from gateway.campaigns.windows import CallWindows
from gateway.campaigns.zones import UnknownZone, region_of, zones_of
from gateway.dialplan.calendar import HolidayCalendar
from gateway.dialplan.times import parse_times

NEW_YORK, LOS_ANGELES, BERLIN = "America/New_York", "America/Los_Angeles", "Europe/Berlin"


def windows(*texts: str, holidays: tuple[str, ...] = (), quiet: tuple[date, ...] = ()) -> CallWindows:
    return CallWindows(tuple(parse_times(text) for text in texts), HolidayCalendar(holidays), frozenset(quiet))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def wall(moment: datetime | None, zone: str) -> str:
    assert moment is not None
    return moment.astimezone(ZoneInfo(zone)).strftime("%a %Y-%m-%d %H:%M")


def test_the_called_partys_clock_counts() -> None:
    office = windows("mon-fri 09:00-18:00")
    assert office.allow(utc("2026-12-01T15:00"), [NEW_YORK])  # 10:00
    assert not office.allow(utc("2026-12-01T15:00"), [LOS_ANGELES])  # 07:00
    assert wall(office.next(utc("2026-12-01T15:00"), [LOS_ANGELES]), LOS_ANGELES) == "Tue 2026-12-01 09:00"


def test_a_number_of_several_zones_is_called_when_all_allow() -> None:
    office = windows("mon-fri 09:00-18:00")
    both = [NEW_YORK, LOS_ANGELES]
    assert wall(office.next(utc("2026-12-01T15:00"), both), LOS_ANGELES) == "Tue 2026-12-01 09:00"
    assert not office.allow(utc("2026-12-01T23:30"), both)  # 18:30 in New York
    assert wall(office.next(utc("2026-12-01T23:30"), both), LOS_ANGELES) == "Wed 2026-12-02 09:00"


def test_zones_that_never_agree_are_never_called() -> None:
    assert windows("09:00-10:00").next(utc("2026-12-01T15:00"), [NEW_YORK, BERLIN]) is None


def test_without_a_zone_nobody_is_called() -> None:
    assert not windows("00:00-24:00").allow(utc("2026-12-01T15:00"), [])
    assert windows("00:00-24:00").next(utc("2026-12-01T15:00"), []) is None


def test_weekends_holidays_and_quiet_days_are_passed_over() -> None:
    office = windows("mon-fri 09:00-18:00 not holidays", holidays=("US",), quiet=(date(2026, 12, 28),))
    assert (
        wall(office.next(utc("2026-12-24T23:30"), [NEW_YORK]), NEW_YORK) == "Tue 2026-12-29 09:00"
    )  # Friday is Christmas


def test_hours_of_campaign_and_law_must_both_allow() -> None:
    both = windows("06:00-12:00", "08:00-21:00")
    assert wall(both.next(utc("2026-12-01T05:30"), ["Europe/London"]), "Europe/London") == "Tue 2026-12-01 08:00"


@pytest.mark.parametrize(("day", "opens"), [("2026-03-29", "05:00"), ("2026-10-25", "06:00"), ("2026-12-01", "06:00")])
def test_seven_oclock_is_seven_oclock_when_the_clocks_change(day: str, opens: str) -> None:
    found = windows("07:00-08:00").next(utc(f"{day}T00:00"), [BERLIN])
    assert found == utc(f"{day}T{opens}")


def test_a_window_that_begins_in_the_hour_left_out_begins_after_it() -> None:
    found = windows("02:30-04:00").next(utc("2026-03-29T00:00"), [BERLIN])
    assert wall(found, BERLIN) == "Sun 2026-03-29 03:00"


def test_a_window_past_midnight_is_one_window() -> None:
    night = windows("fri 22:00-02:00")
    assert night.allow(utc("2026-12-05T00:30"), ["UTC"])
    assert night.next_window(utc("2026-12-04T23:00"), ["UTC"]) == utc("2026-12-11T22:00")


def test_the_next_window_is_not_the_present_one() -> None:
    office = windows("mon-fri 09:00-12:00, mon-fri 13:00-18:00")
    assert office.next_window(utc("2026-12-01T10:00"), ["UTC"]) == utc("2026-12-01T13:00")
    assert office.next_window(utc("2026-12-01T14:00"), ["UTC"]) == utc("2026-12-02T09:00")
    assert office.next_window(utc("2026-12-01T12:30"), ["UTC"]) == utc("2026-12-01T13:00")
    assert windows("00:00-24:00").next_window(utc("2026-12-01T14:00"), ["UTC"]) is None  # it never closes


def test_every_found_moment_is_allowed_and_none_before_it() -> None:
    office = windows("mon-sat 08:10-11:50, mon-fri 14:05-21:00 not holidays", "09:00-20:00", holidays=("US-NY",))
    at = utc("2026-10-29T00:07")
    for hours in range(0, 24 * 12, 5):
        start = at + timedelta(hours=hours)
        found = office.next(start, [NEW_YORK, LOS_ANGELES])
        assert found is not None and office.allow(found, [NEW_YORK, LOS_ANGELES])
        moment = start
        while moment < found:
            assert not office.allow(moment, [NEW_YORK, LOS_ANGELES])
            moment += timedelta(minutes=7)


def test_zones_of_numbers() -> None:
    assert zones_of("+12125550123") == (NEW_YORK,)
    assert len(zones_of("+61412345678")) > 1  # a mobile: anywhere in Australia
    assert zones_of("+61412345678", "Australia/Perth") == ("Australia/Perth",)
    assert region_of("+12125550123") == "US" and region_of("+493012345678") == "DE"
    assert region_of("+80012345678") == ""
    with pytest.raises(UnknownZone, match="Mars"):
        zones_of("+12125550123", "Mars/North")
