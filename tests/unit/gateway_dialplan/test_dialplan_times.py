from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from gateway.dialplan.calendar import HolidayCalendar, parse_holiday
from gateway.dialplan.times import parse_times

US = HolidayCalendar(("US",))


def matches(spec: str, local: str, calendar: HolidayCalendar = US) -> bool:
    return parse_times(spec).matches(datetime.fromisoformat(local), calendar.is_holiday)


@pytest.mark.parametrize(
    ("spec", "local", "expected"),
    [  # 2026-11-20 is a Friday
        ("mon-fri 08:00-18:00", "2026-11-20 08:00", True),
        ("mon-fri 08:00-18:00", "2026-11-20 17:59:59", True),
        ("mon-fri 08:00-18:00", "2026-11-20 18:00", False),
        ("mon-fri 08:00-18:00", "2026-11-20 07:59:59", False),
        ("mon-fri 08:00-18:00", "2026-11-21 12:00", False),
        ("Monday-Friday 08:00-18:00", "2026-11-20 12:00", True),
        ("mon-fri 08:00-12:00, 13:00-18:00", "2026-11-20 12:30", False),
        ("mon-fri 08:00-12:00, 13:00-18:00", "2026-11-20 13:00", True),
        ("mon-fri 08:00-12:00, sat 09:00-10:00", "2026-11-21 09:30", True),
        ("mon wed fri 08:00-12:00", "2026-11-20 09:00", True),
        ("mon wed fri 08:00-12:00", "2026-11-19 09:00", False),
        ("sat, sun", "2026-11-22 23:59", True),
        ("sun-tue", "2026-11-23 00:00", True),
        ("sun-tue", "2026-11-25 00:00", False),
        ("22:00-06:00", "2026-11-20 23:00", True),
        ("22:00-06:00", "2026-11-20 05:59", True),
        ("22:00-06:00", "2026-11-20 06:00", False),
        ("fri 22:00-06:00", "2026-11-21 05:00", True),
        ("fri 22:00-06:00", "2026-11-20 05:00", False),
        ("fri 22:00-06:00", "2026-11-21 23:00", False),
        ("sun 22:00-06:00", "2026-11-23 05:00", True),
        ("fri 18:00-24:00", "2026-11-20 23:59", True),
        ("fri 18:00-00:00", "2026-11-20 23:59", True),
        ("fri 18:00-00:00", "2026-11-21 00:00", False),
        ("2026-12-24 08:00-12:00", "2026-12-24 11:59", True),
        ("2026-12-24 08:00-12:00", "2026-12-23 11:59", False),
        ("2026-12-24", "2026-12-24 23:00", True),
        ("2026-12-24..2027-01-02", "2026-12-31 10:00", True),
        ("2026-12-24..2027-01-02", "2027-01-03 00:00", False),
        ("2026-12-31 22:00-02:00", "2027-01-01 01:00", True),
        ("holidays", "2026-11-26 10:00", True),
        ("holidays", "2026-11-27 10:00", False),
        ("not holidays", "2026-11-26 10:00", False),
        ("mon-fri 08:00-18:00 not holidays", "2026-11-26 10:00", False),
        ("mon-fri 08:00-18:00 not holidays", "2026-11-25 10:00", True),
        ("mon-fri 08:00-12:00, 13:00-18:00 not holidays", "2026-11-26 10:00", False),
        ("mon-fri 08:00-12:00, 13:00-18:00 not holidays", "2026-11-25 14:00", True),
        ("holidays 20:00-02:00", "2026-11-27 01:00", True),
        ("holidays, sat 10:00-12:00", "2026-11-26 23:00", True),
    ],
)
def test_times(spec, local, expected):
    assert matches(spec, local) is expected


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "mon,",
        "foo",
        "mon-foo",
        "mon-fri 8-18",
        "mon-fri 8:00-18:00",
        "25:00-26:00",
        "08:00-08:60",
        "08:00-08:00",
        "24:00-06:00",
        "2026-02-30",
        "2026-12-24..2026-12-01",
        "mon 2026-12-24",
        "not mon",
        "not holidays, sat",
        "sat, not holidays",
        "holidays not holidays",
        "mon 08:00-09:00 10:00-11:00",
        "mon, wed 08:00-12:00",
        "2026-12-24 2026-12-25",
    ],
)
def test_times_that_are_refused(spec):
    with pytest.raises(ValueError, match=r".") as caught:
        parse_times(spec)
    assert f'"{spec}"' in str(caught.value)


def test_opening_hours_are_wall_clock_time_on_both_sides_of_a_clock_change():
    zone = ZoneInfo("America/New_York")
    spec = parse_times("08:00-18:00")
    for day, utc_hour in (("2026-10-31", 12), ("2026-11-01", 13), ("2026-03-07", 13), ("2026-03-08", 12)):
        opening = datetime.fromisoformat(f"{day}T{utc_hour:02}:00:00+00:00").astimezone(zone)
        before = datetime.fromisoformat(f"{day}T{utc_hour - 1:02}:59:00+00:00").astimezone(zone)
        assert spec.matches(opening, US.is_holiday), day
        assert not spec.matches(before, US.is_holiday), day


def test_an_hour_that_comes_twice_matches_twice():
    zone = ZoneInfo("America/New_York")
    spec = parse_times("01:00-02:00")
    both = [datetime.fromisoformat(f"2026-11-01T0{hour}:30:00+00:00").astimezone(zone) for hour in (5, 6)]
    assert [spec.matches(at, US.is_holiday) for at in both] == [True, True]


def test_minutes_of_the_week_agree_with_matching():
    spec = parse_times("sun 23:30-00:30, wed 12:00-12:10, mon 00:20-00:40")
    week = spec.week()
    for minute in range(7 * 1440):
        day, rest = divmod(minute, 1440)
        local = datetime(2026, 11, 16 + day, rest // 60, rest % 60)
        assert spec.matches(local, US.is_holiday) == bool(week >> minute & 1), local


def test_holidays_by_country_subdivision_and_date():
    assert parse_holiday("US-NY") == "US-NY"
    assert parse_holiday("2026-12-24") == date(2026, 12, 24)
    new_york = HolidayCalendar(("US-NY",), frozenset({date(2026, 12, 24)}))
    assert new_york.is_holiday(date(2026, 2, 12))  # Lincoln's Birthday
    assert not US.is_holiday(date(2026, 2, 12))
    assert new_york.is_holiday(date(2026, 12, 24))
    assert HolidayCalendar(("DE-BY", "US")).is_holiday(date(2026, 11, 26))


@pytest.mark.parametrize("name", ["XX", "US-ZZ", "us", "2026-13-01", "Germany", ""])
def test_holidays_that_nobody_knows(name):
    with pytest.raises(ValueError, match=r"holidays|calendar"):
        parse_holiday(name)
