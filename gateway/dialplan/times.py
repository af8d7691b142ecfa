"""Opening hours: `mon-fri 08:00-12:00, 13:00-18:00`, `fri 22:00-06:00`, `2026-12-24 08:00-12:00`, `not holidays`.

Times are wall-clock times in the dialplan's time zone: when the clocks change, 08:00 is still what the clock on the
wall shows. A range that goes past midnight belongs to the day on which it begins, holidays included.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

__all__ = ["DAYS", "MINUTES_A_WEEK", "TimeItem", "TimeSpec", "parse_times"]

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LONG = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY_MINUTES = 24 * 60
MINUTES_A_WEEK = 7 * _DAY_MINUTES
_DATE = r"\d{4}-\d{2}-\d{2}"
_EXAMPLE = '"mon-fri 08:00-12:00, 13:00-18:00"'


@dataclass(frozen=True, slots=True)
class TimeItem:
    """One line of opening hours. `start`..`end` are minutes of the day, the end excluded; `end` <= `start` continues
    into the next day. `holiday`: True only on holidays, False never, None no matter."""

    weekdays: frozenset[int] = frozenset(range(7))
    dates: tuple[date, date] | None = None
    holiday: bool | None = None
    start: int = 0
    end: int = _DAY_MINUTES

    def on(self, day: date, is_holiday: Callable[[date], bool]) -> bool:
        """Whether `day` is one of its days."""
        if self.dates is not None:
            if not self.dates[0] <= day <= self.dates[1]:
                return False
        elif day.weekday() not in self.weekdays:
            return False
        return self.holiday is None or is_holiday(day) == self.holiday

    def matches(self, local: datetime, is_holiday: Callable[[date], bool]) -> bool:
        minute, day = local.hour * 60 + local.minute, local.date()
        if self.start < self.end:
            return self.start <= minute < self.end and self.on(day, is_holiday)
        if minute >= self.start and self.on(day, is_holiday):
            return True
        return minute < self.end and self.on(day - timedelta(days=1), is_holiday)

    def week(self) -> int:
        """Its minutes of an ordinary week as bits, Monday 00:00 first; for items without dates and holidays."""
        length = (self.end - self.start) if self.start < self.end else (self.end + _DAY_MINUTES - self.start)
        bits = 0
        for day in self.weekdays:
            bits |= ((1 << length) - 1) << (day * _DAY_MINUTES + self.start)
        over = bits >> MINUTES_A_WEEK
        return (bits & ((1 << MINUTES_A_WEEK) - 1)) | over


@dataclass(frozen=True, slots=True)
class TimeSpec:
    """`text` as it was written; it matches when any of its items does."""

    text: str
    items: tuple[TimeItem, ...]

    def matches(self, local: datetime, is_holiday: Callable[[date], bool]) -> bool:
        return any(item.matches(local, is_holiday) for item in self.items)

    @property
    def uses_holidays(self) -> bool:
        return any(item.holiday is not None for item in self.items)

    @property
    def plain(self) -> bool:
        """True when it depends on the day of the week and the time alone."""
        return all(item.dates is None and item.holiday is None for item in self.items)

    def week(self) -> int:
        """Minutes of the week that are certain to match, as bits."""
        bits = 0
        for item in self.items:
            if item.dates is None and item.holiday is None:
                bits |= item.week()
        return bits


def parse_times(text: str) -> TimeSpec:
    """Raises ValueError naming the mistake. `not holidays` comes last and applies to the whole text."""
    found = re.fullmatch(r"(.*?)\bnot\s+holidays\s*", text.lower(), re.DOTALL)
    if found is None:
        return TimeSpec(text.strip(), tuple(_items(text.lower(), text)))
    if not found[1].strip():
        return TimeSpec(text.strip(), (TimeItem(holiday=False),))
    items = _items(found[1], text)
    if any(item.holiday for item in items):
        raise ValueError(f'"{text}" never matches: it requires both holidays and no holidays')
    return TimeSpec(text.strip(), tuple(replace(item, holiday=False) for item in items))


def _items(lower: str, text: str) -> list[TimeItem]:
    items: list[TimeItem] = []
    days: dict[str, Any] = {}
    parts = [part.split() for part in lower.split(",")]
    dayless = [index for index, words in enumerate(parts) if words and not _has_time(words)]
    timed = [index for index, words in enumerate(parts) if _has_time(words)]
    if dayless and timed and dayless[0] < timed[-1] and parts[dayless[0]] != ["holidays"]:
        alone, after = " ".join(parts[dayless[0]]), " ".join(parts[timed[-1]])
        raise ValueError(
            f'in "{text}" it is not clear whether "{alone}" is the whole day; '
            f'write "{alone} {after}" without the comma, or "{alone} 00:00-24:00"'
        )
    for words in parts:
        if not words:
            raise ValueError(f'"{text}" has an empty part; write it as in {_EXAMPLE}')
        item = _item(words, days, text)
        days = {"weekdays": item.weekdays, "dates": item.dates, "holiday": item.holiday}
        items.append(item)
    return items


def _has_time(words: list[str]) -> bool:
    return any(":" in word for word in words)


def _item(words: list[str], before: dict[str, Any], text: str) -> TimeItem:
    weekdays: set[int] = set()
    found: dict[str, Any] = {}
    span: tuple[int, int] | None = None
    for word in words:
        if word == "not":
            raise ValueError(f'in "{text}", "not holidays" must come last, and applies to all of it')
        if word == "holidays":
            found["holiday"] = True
        elif ":" in word:
            if span is not None:
                raise ValueError(f'in "{text}", two times need a comma between them, as in {_EXAMPLE}')
            span = _span(word, text)
        elif re.match(_DATE, word):
            if "dates" in found:
                raise ValueError(f'in "{text}", two dates need a comma between them')
            found["dates"] = _dates(word, text)
        else:
            weekdays |= _weekdays(word, text)
    if weekdays and "dates" in found:
        raise ValueError(f'in "{text}", a date needs no day of the week')
    if weekdays:
        found["weekdays"] = frozenset(weekdays)
    chosen = found or before
    start, end = span or (0, _DAY_MINUTES)
    return TimeItem(**chosen, start=start, end=end)


def _weekdays(word: str, text: str) -> set[int]:
    first, dash, last = word.partition("-")
    start = _weekday(first, text)
    if not dash:
        return {start}
    end = _weekday(last, text)
    return {day % 7 for day in range(start, (end if end >= start else end + 7) + 1)}


def _weekday(word: str, text: str) -> int:
    for names in (DAYS, _LONG):
        if word in names:
            return names.index(word)
    raise ValueError(f'in "{text}", "{word}" is not a day, date or time; write it as in {_EXAMPLE}')


def _span(word: str, text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{2}):(\d{2})-(\d{2}):(\d{2})", word)
    if not found:
        raise ValueError(f'in "{text}", "{word}" is not a time range; write it as in "08:00-18:00"')
    hours, minutes, to_hours, to_minutes = (int(group) for group in found.groups())
    start, end = hours * 60 + minutes, to_hours * 60 + to_minutes
    if minutes > 59 or to_minutes > 59 or start >= _DAY_MINUTES or end > _DAY_MINUTES:
        raise ValueError(f'in "{text}", "{word}" is not a time of day; use 00:00 to 24:00')
    if start == end:
        raise ValueError(f'in "{text}", "{word}" is empty; the whole day is "00:00-24:00"')
    return start, end


def _dates(word: str, text: str) -> tuple[date, date]:
    found = re.fullmatch(rf"({_DATE})(?:\.\.({_DATE}))?", word)
    if not found:
        raise ValueError(f'in "{text}", "{word}" is not a date; write "2026-12-24" or "2026-12-24..2027-01-02"')
    try:
        first = date.fromisoformat(found[1])
        last = date.fromisoformat(found[2] or found[1])
    except ValueError:
        raise ValueError(f'in "{text}", "{word}" does not exist in the calendar') from None
    if last < first:
        raise ValueError(f'in "{text}", "{word}" ends before it begins')
    return first, last
