"""When people may be called: windows by the clock on their own wall, weekdays, holidays, quiet days. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from gateway.dialplan.calendar import HolidayCalendar, parse_holiday
from gateway.dialplan.times import TimeItem, TimeSpec

__all__ = ["CallWindows"]

FURTHEST = timedelta(days=400)  # that a window is looked for
_MINUTE = timedelta(minutes=1)
_DAY = 24 * 60


@dataclass(frozen=True, slots=True)
class CallWindows:
    """`times`: each must allow a call (a campaign's own hours, and those of the law). `quiet`: days on which nobody is
    called, and with `closed_on_holidays` the calendar's holidays too."""

    times: tuple[TimeSpec, ...]
    calendar: HolidayCalendar = field(default_factory=HolidayCalendar)
    quiet: frozenset[date] = frozenset()
    closed_on_holidays: bool = False

    def without_holidays_of(self, region: str) -> CallWindows:
        """The same, closed on the public holidays of `US` or `US-NY`, as far as they are known."""
        return _closed_on_holidays(self, region) if region else self

    def allow(self, at: datetime, zones: Sequence[str]) -> bool:
        """`at` in UTC; False without zones. A number that may be in several zones is called when all of them allow."""
        return bool(zones) and all(self._allows(at.astimezone(_zone(name))) for name in zones)

    def next(self, at: datetime, zones: Sequence[str]) -> datetime | None:
        """The first moment from `at` on that is allowed, to the minute. None: there is none within 400 days."""
        if not zones:
            return None
        until, moment = at + FURTHEST, at
        while moment < until:
            closed = [name for name in zones if not self._allows(moment.astimezone(_zone(name)))]
            if not closed:
                return moment
            moment = max(self._opens(moment, _zone(name)) for name in closed)
        return None

    def next_window(self, at: datetime, zones: Sequence[str]) -> datetime | None:
        """The beginning of the first window after that which `at` is in."""
        moment, until = at, at + FURTHEST
        while self.allow(moment, zones):
            if moment >= until:
                return None
            moment = max(min(self._changes(moment, _zone(name)) for name in zones), moment + _MINUTE)
        return self.next(moment, zones)

    def _allows(self, local: datetime) -> bool:
        day = local.date()
        if day in self.quiet or (self.closed_on_holidays and self.calendar.is_holiday(day)):
            return False
        return all(spec.matches(local, self.calendar.is_holiday) for spec in self.times)

    def _opens(self, moment: datetime, zone: ZoneInfo) -> datetime:
        """The next moment at which this zone's clock shows what may be a window's beginning."""
        return self._clock(moment, zone, sorted({0, *(item.start % _DAY for item in self._items)}))

    def _changes(self, moment: datetime, zone: ZoneInfo) -> datetime:
        """The same, or its end."""
        marks = {minute % _DAY for item in self._items for minute in (item.start, item.end)}
        return self._clock(moment, zone, sorted({0, *marks}))

    @property
    def _items(self) -> list[TimeItem]:
        return [item for spec in self.times for item in spec.items]

    @staticmethod
    def _clock(moment: datetime, zone: ZoneInfo, minutes: Sequence[int]) -> datetime:
        local = moment.astimezone(zone)
        for days in range(2):
            day = local.date() + timedelta(days=days)
            for minute in minutes:
                begin = _at(day, minute, zone)
                if begin > moment:
                    return begin
        return moment + timedelta(days=1)


@lru_cache(maxsize=1024)
def _closed_on_holidays(windows: CallWindows, region: str) -> CallWindows:
    for name in (region, region.partition("-")[0]):
        try:
            parse_holiday(name)
        except ValueError:
            continue
        calendar = replace(windows.calendar, regions=(*windows.calendar.regions, name))
        return replace(windows, calendar=calendar, closed_on_holidays=True)
    return windows


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _at(day: date, minute: int, zone: ZoneInfo) -> datetime:
    """As UTC. A time that the change of clocks leaves out is the first after it; of one that comes twice, the first."""
    wall = datetime.combine(day, time(minute // 60, minute % 60), zone)
    moment = wall.astimezone(UTC)
    back = moment.astimezone(zone)
    if back.replace(tzinfo=None) != wall.replace(tzinfo=None):  # left out: go to the change
        while (moment - _MINUTE).astimezone(zone).utcoffset() == moment.astimezone(zone).utcoffset():
            moment -= _MINUTE
    return moment
