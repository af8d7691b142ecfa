"""Days and times in spoken English. Pure."""

from __future__ import annotations

import re

from agent.speech.normal.rewriting import Rule, Said

__all__ = ["date_rules"]

_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_DAYS = {
    "mon": "Monday",
    "tue": "Tuesday",
    "tues": "Tuesday",
    "wed": "Wednesday",
    "thu": "Thursday",
    "thur": "Thursday",
    "thurs": "Thursday",
    "fri": "Friday",
    "sat": "Saturday",
    "sun": "Sunday",
}
_LONG = "|".join(_MONTHS)
_SHORT = {month[:3].lower(): month for month in _MONTHS} | {"sept": "September"}
_TIME = r"(?:[01]?\d|2[0-4]):[0-5]\d"
_HALF = r"[aApP]\.? ?[mM]\b\.?"


def _ordinal(day: int) -> str:
    ending = "th" if 10 < day % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{ending}"


def _named(day: int, month: int, year: str) -> Said:
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    year = f"20{year}" if len(year) == 2 else year
    return f"{_MONTHS[month - 1]} {_ordinal(day)}" + (f", {year}" if year else "")


def _slashed(match: re.Match[str], *, day_first: bool) -> Said:
    first, second = int(match[1]), int(match[2])
    if first > 12 or (day_first and second <= 12):
        first, second = second, first
    return _named(second, first, match[3])


def _day(match: re.Match[str]) -> Said:
    day = int(match[2])
    return f"{match[1]} {_ordinal(day)}" if 1 <= day <= 31 else None


def _clock(match: re.Match[str]) -> Said:
    hour, minute = match[0].split(":")
    if minute == "00":
        return f"{int(hour)} o'clock" if 1 <= int(hour) <= 12 else f"{int(hour)} hundred"
    return f"{int(hour)} {'oh ' if minute[0] == '0' else ''}{int(minute)}"


def _half_day(match: re.Match[str]) -> Said:
    hour = match[1]
    if ":" in hour:
        hour, minute = hour.split(":")
        hour = f"{int(hour)}" if minute == "00" else f"{int(hour)} {'oh ' if minute[0] == '0' else ''}{int(minute)}"
    half = match[2][0].lower()
    # Keep what marked the end of a sentence.
    return f"{hour} {half}.m." if match[2].endswith(".") else f"{hour} {half}.m"


def date_rules(language: str) -> tuple[Rule, ...]:
    day_first = not language.startswith(("en-us", "en-ca")) and language != "en"
    days = "|".join(sorted(_DAYS, key=len, reverse=True))
    months = "|".join(sorted(_SHORT, key=len, reverse=True))
    return (
        Rule(
            re.compile(r"(?<![\w/.-])(\d{4})-(\d\d)-(\d\d)(?![\w/-])"),
            lambda m: _named(int(m[3]), int(m[2]), m[1]),
            "-",
        ),
        Rule(
            re.compile(r"(?<![\w/.-])(\d{1,2})/(\d{1,2})/(\d{4}|\d\d)(?![\w/-])"),
            lambda m: _slashed(m, day_first=day_first),
            "/",
        ),
        Rule(
            re.compile(rf"\b(?:{months})\b\.?(?= \d{{1,2}}\b)", re.IGNORECASE),
            lambda m: _SHORT[m[0].rstrip(".").lower()],
        ),
        Rule(re.compile(rf"\b({_LONG}) (\d{{1,2}})(?![\w:%]|[.,]\d)"), _day),
        Rule(
            re.compile(rf"\b({days})\b\.? ?[-–] ?({days})\b\.?", re.IGNORECASE),
            lambda m: f"{_DAYS[m[1].lower()]} to {_DAYS[m[2].lower()]}",
            "-–",
        ),
        Rule(
            re.compile(rf"\b({days})\b\.?(?=,? (?:\d|(?:{_LONG})\b|(?:&|and) (?:{days})\b))", re.IGNORECASE),
            lambda m: _DAYS[m[1].lower()] if m[0][0].isupper() else None,
        ),
        Rule(  # opening hours
            re.compile(rf"\b({'|'.join(_DAYS.values())}) (\d{{1,2}}) ?[-–] ?(\d{{1,2}})(?![\w/:-]|[.,]\d)"),
            lambda m: f"{m[1]} {m[2]} to {m[3]}",
            "-–",
        ),
        Rule(
            re.compile(rf"(?<![\w:])({_TIME}|\d{{1,2}})(?: ?{_HALF})? ?[-–] ?(?={_TIME}|\d{{1,2}} ?{_HALF})"),
            _from,
            "-–",
        ),
        Rule(re.compile(rf"(?<![\w:.])({_TIME}|\d{{1,2}}) ?({_HALF})(?!\w)"), _half_day, "mM"),
        Rule(re.compile(rf"(?<![\w:.]){_TIME}(?![\w:])"), _clock, ":"),
    )


def _from(match: re.Match[str]) -> Said:
    return f"{match[0].rstrip(' -–')} to "
