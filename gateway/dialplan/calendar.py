"""Holidays of a dialplan: public ones by country and subdivision, and dates of one's own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

__all__ = ["HolidayCalendar", "parse_holiday"]


@dataclass(frozen=True, slots=True)
class HolidayCalendar:
    """`regions` as written (`US`, `US-NY`)."""

    regions: tuple[str, ...] = ()
    dates: frozenset[date] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.regions or self.dates)

    def is_holiday(self, day: date) -> bool:
        return day in self.dates or any(day in _public(region, day.year) for region in self.regions)


def parse_holiday(text: str) -> str | date:
    """A region that the `holidays` library knows, or a date. Raises ValueError naming the mistake."""
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        try:
            return date.fromisoformat(text)
        except ValueError:
            raise ValueError(f'"{text}" does not exist in the calendar') from None
    import holidays  # here, for it is large and few dialplans need it

    country, dash, subdivision = text.partition("-")
    known = holidays.list_supported_countries(include_aliases=True)
    if country not in known or not re.fullmatch(r"[A-Z]{2}", country):
        raise ValueError(f'no public holidays are known for "{country}"; write "US", "US-NY" or a date')
    if dash and subdivision not in known[country]:
        some = ", ".join(f"{country}-{name}" for name in list(known[country])[:6]) or "none"
        raise ValueError(f'"{country}" has no holidays of its own for "{subdivision}"; there are: {some}, …')
    return text


@lru_cache(maxsize=256)
def _public(region: str, year: int) -> frozenset[date]:
    import holidays

    country, _, subdivision = region.partition("-")
    return frozenset(holidays.country_holidays(country, subdiv=subdivision or None, years=year))
