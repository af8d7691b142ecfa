"""Which numbers may be called over a trunk: its list of beginnings and countries, and kinds of numbers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberType

from gateway.config.trunk_calls import Kind
from gateway.config.trunks import TrunkSettings
from gateway.outbound.number_format import TrunkNumbers

__all__ = ["closed_because", "emergency", "kind_of", "not_among"]

_KINDS: Mapping[int, Kind] = {
    PhoneNumberType.PREMIUM_RATE: "premium_rate",
    PhoneNumberType.SHARED_COST: "shared_cost",
    PhoneNumberType.PERSONAL_NUMBER: "personal_number",
    PhoneNumberType.PAGER: "pager",
    PhoneNumberType.UAN: "universal_access",
    PhoneNumberType.VOICEMAIL: "voicemail",
}
# ITU-T E.164 codes of no country. Revenue is shared behind 882, 883 and 979; 870 and 881 are satellites.
_CODES: Mapping[int, Kind] = {
    808: "shared_cost",
    870: "satellite",
    878: "personal_number",
    881: "satellite",
    882: "international_network",
    883: "international_network",
    888: "international_network",
    979: "premium_rate",
}
_ORDINARY = (PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE)
_WITH_THE_UNITED_STATES = frozenset({"CA", "PR", "VI"})  # opened by +1, as the United States are
_EVERYWHERE = frozenset({"112", "911", "999", "000"})  # where a trunk has no region


def closed_because(number: str, trunk: TrunkSettings) -> str | None:
    """Why the number may not be called over the trunk; None: it may. `number`: E.164 with `+`, or an extension."""
    out = trunk.outbound
    if out is None:
        return f'trunk "{trunk.name}" places no calls'
    if emergency(number, trunk.region) or _dialled_as_emergency(number, trunk):
        return f"{number} is an emergency number"
    return not_among(number, out.destinations, out.allow_kinds, f'trunk "{trunk.name}"')


def not_among(number: str, destinations: Iterable[str], allow_kinds: Iterable[str], whose: str) -> str | None:
    """The same, by such a list; `whose` it is, for people."""
    parsed = _parsed(number)
    if not any(_opens(entry, number, parsed) for entry in destinations):
        return f"{number} is not among the destinations of {whose}{_country(parsed, destinations)}"
    kind = None if parsed is None else kind_of(parsed)
    if kind is not None and kind not in allow_kinds:
        return f"{number} is of a kind that is closed: {kind} (outbound.allow_kinds)"
    return None


def kind_of(number: PhoneNumber) -> Kind | None:
    """None: an ordinary number, a toll-free one, or one that nobody has."""
    code = number.country_code or 0
    if (kind := _CODES.get(code)) is not None:
        return kind
    found = phonenumbers.number_type(number)
    return _beginning_of(number) if found == PhoneNumberType.UNKNOWN else _KINDS.get(found)


def _beginning_of(number: PhoneNumber) -> Kind | None:
    """The kind of the numbers that begin like this unassigned one: +1 900 123 4567 is as expensive as the next number
    that is given out there. None if ordinary numbers begin like it, too."""
    region = phonenumbers.region_code_for_country_code(number.country_code or 0)
    digits = phonenumbers.national_significant_number(number)
    for size in (4, 3):
        if any(_extends(digits[:size], region, kind) for kind in _ORDINARY):
            return None
        for found, kind in _KINDS.items():
            if _extends(digits[:size], region, found):
                return kind
    return None


def _extends(beginning: str, region: str, kind: int) -> bool:
    """Whether the country's example of this kind still is one when it begins like this."""
    example = phonenumbers.example_number_for_type(region, kind)
    if example is None:
        return False
    rest = phonenumbers.national_significant_number(example)[len(beginning) :]
    parsed = _parsed(f"+{example.country_code}{beginning}{rest}")
    found = None if parsed is None else phonenumbers.number_type(parsed)
    return found == kind or (kind in _ORDINARY and found in _ORDINARY)


def emergency(number: str, region: str | None) -> bool:
    """Whether it reaches an emergency service, with a country code or as dialled in the trunk's region."""
    parsed = _parsed(number)
    if parsed is not None:
        own = phonenumbers.region_code_for_country_code(parsed.country_code or 0)
        digits = number[1 + len(str(parsed.country_code)) :]
        return bool(phonenumbers.is_emergency_number(digits, own))
    digits = number.removeprefix("+")
    if region is None:
        return digits in _EVERYWHERE
    return bool(phonenumbers.is_emergency_number(digits, region))


def _dialled_as_emergency(number: str, trunk: TrunkSettings) -> bool:
    """+1 911 555 0100 is nobody's number, but its national form begins with 911."""
    if trunk.numbers.format != "national" or trunk.region is None:
        return False
    dialled = TrunkNumbers(trunk).called(number).removeprefix(trunk.numbers.prefix)
    return bool(phonenumbers.connects_to_emergency_number(dialled, trunk.region))


def _opens(entry: str, number: str, parsed: PhoneNumber | None) -> bool:
    if entry.isalpha():
        return parsed is not None and phonenumbers.region_code_for_number(parsed) == entry
    if not number.startswith(entry):
        return False
    if parsed is None or not entry.startswith("+"):
        return True
    code = str(parsed.country_code)
    if len(entry) - 1 != len(code):
        return len(entry) - 1 > len(code)  # a part of a country code names no country
    main = phonenumbers.region_code_for_country_code(parsed.country_code or 0)
    region = phonenumbers.region_code_for_number(parsed)
    return region in (None, main) or (main == "US" and region in _WITH_THE_UNITED_STATES)


def _country(parsed: PhoneNumber | None, destinations: Iterable[str]) -> str:
    """Says which country is to be named, where its country code is open."""
    if parsed is None or f"+{parsed.country_code}" not in destinations:
        return ""
    return f": +{parsed.country_code} does not open {phonenumbers.region_code_for_number(parsed)}"


def _parsed(number: str) -> PhoneNumber | None:
    if not number.startswith("+"):
        return None
    try:
        return phonenumbers.parse(number, None)
    except NumberParseException:
        return None
