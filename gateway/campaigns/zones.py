"""Where a number's owner may be: time zones and country. Pure, but for the tables of `phonenumbers`."""

from __future__ import annotations

from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

import phonenumbers
from phonenumbers import PhoneNumber, timezone

__all__ = ["UnknownZone", "region_of", "zones_of"]


class UnknownZone(ValueError):
    """A zone column says what is not an IANA time zone."""


def zones_of(number: str, zone: str = "") -> tuple[str, ...]:
    """All time zones that `number` (E.164) may be in: that of the contact's own `zone` if given, otherwise those of its
    prefix. A mobile number may be anywhere in its country. Empty if nothing is known.

    Raises UnknownZone."""
    if zone:
        return (_known(zone.strip()),)
    parsed = _parsed(number)
    if parsed is None:
        return ()
    found = timezone.time_zones_for_number(parsed)
    return tuple(sorted(name for name in found if name != "Etc/Unknown"))


def region_of(number: str) -> str:
    """Its country as ISO 3166 (`US`); empty for numbers of no country."""
    parsed = _parsed(number)
    if parsed is None:
        return ""
    region = phonenumbers.region_code_for_number(parsed)
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
    ZoneInfo(zone)
    return zone
