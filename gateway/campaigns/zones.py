"""Where a number's owner may be: time zones and country. Pure, but for the tables of `phonenumbers`."""

from __future__ import annotations

from functools import lru_cache
from zoneinfo import available_timezones

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberFormat

from gateway.campaigns.model import Number
from gateway.campaigns.us_areas import STATE_OF_AREA

__all__ = ["BadNumber", "UnknownZone", "number_of", "region_of", "zones_of"]

_NANP = 1  # +1: its mobiles have the area codes of places, and are not told apart


class UnknownZone(ValueError):
    """A zone column says what is not an IANA time zone."""


class BadNumber(ValueError):
    """This cannot be a telephone number."""


def number_of(text: str, region: str = "", zone: str = "") -> Number:
    """A number as people write it (`020 7946 0001` with `region` GB, `+44 …`, `0044…`), with its zones: that of `zone`
    if given, otherwise all that its prefix may be in; a mobile number may be anywhere in its country.

    Raises BadNumber, UnknownZone."""
    try:
        parsed = phonenumbers.parse(text, region or None)
    except phonenumbers.NumberParseException as error:
        hint = "" if region or text.lstrip().startswith("+") else " (without a + its country is not known)"
        raise BadNumber(f'"{text[:40]}" is not a telephone number{hint}') from error
    if not phonenumbers.is_possible_number(parsed):
        raise BadNumber(f'"{text[:40]}" has a length that no number of its country has')
    e164 = phonenumbers.format_number(parsed, PhoneNumberFormat.E164)
    return Number(e164, (_known(zone.strip()),) if zone.strip() else _zones(parsed), _region(parsed))


def zones_of(number: str, zone: str = "") -> tuple[str, ...]:
    """Of an E.164 number, as above. Empty if nothing is known. Raises UnknownZone."""
    if zone:
        return (_known(zone.strip()),)
    parsed = _parsed(number)
    return () if parsed is None else _zones(parsed)


def region_of(number: str) -> str:
    """Its country as ISO 3166 (`US`), and the state where that has a law of its own (`US-FL`); empty for numbers of no
    country."""
    parsed = _parsed(number)
    return "" if parsed is None else _region(parsed)


def _zones(parsed: PhoneNumber) -> tuple[str, ...]:
    from phonenumbers import timezone  # a megabyte of tables, for campaigns alone

    if parsed.country_code == _NANP:
        found = timezone.time_zones_for_geographical_number(parsed)
    else:
        found = timezone.time_zones_for_number(parsed)
    return tuple(sorted(name for name in found if name != "Etc/Unknown"))


def _region(parsed: PhoneNumber) -> str:
    region = phonenumbers.region_code_for_number(parsed)
    if region == "US":
        state = STATE_OF_AREA.get(str(parsed.national_number)[:3])
        return f"US-{state}" if state else "US"
    return "" if region in (None, "001", "ZZ") else str(region)


def _parsed(number: str) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(number, None)
    except phonenumbers.NumberParseException:
        return None


@lru_cache(maxsize=1024)
def _known(zone: str) -> str:
    if zone not in available_timezones():
        raise UnknownZone(f'"{zone}" is not a time zone; write it as "America/New_York"')
    return zone
