"""A trunk's number format, in both directions. Pure."""

from __future__ import annotations

import re

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat

from gateway.config.trunk_calls import Format
from gateway.config.trunks import TrunkSettings

__all__ = ["TrunkNumbers"]

_E164 = re.compile(r"\+[1-9][0-9]{3,14}")
_EXTENSION_DIGITS = 6  # numbers this short are extensions


class TrunkNumbers:
    def __init__(self, trunk: TrunkSettings) -> None:
        self._settings = trunk.numbers
        self._region = trunk.region

    @property
    def parameters(self) -> str:
        """Parameters of URIs with a number as their user."""
        return ";user=phone" if self._settings.user_phone else ""

    def called(self, number: str) -> str:
        """In the trunk's format. Anything but E.164 with `+` (an extension) is unchanged."""
        if not _E164.fullmatch(number):
            return number
        return self._settings.prefix + self._written(number, self._settings.format)

    def caller(self, number: str) -> str:
        if not _E164.fullmatch(number):
            return number
        return self._written(number, self._settings.caller_format or self._settings.format)

    def read_called(self, number: str) -> str:
        """E.164 with `+` if it matches the trunk's format; otherwise as received, without the prefix."""
        prefix = self._settings.inbound_prefix
        if prefix and number.startswith(prefix) and len(number) > len(prefix):
            number = number[len(prefix) :]
        return self.read(number)

    def read(self, number: str) -> str:
        """The same for a caller."""
        form = self._settings.inbound_format or self._settings.format
        digits = number.partition(";")[0]
        if form == "e164" or not digits.isascii() or not digits.isdigit() or len(digits) <= _EXTENSION_DIGITS:
            return number
        found = _parsed(f"+{digits}", None) if form == "digits" else _parsed(digits, self._region)
        if found is None or not phonenumbers.is_possible_number(found):
            return number
        return phonenumbers.format_number(found, PhoneNumberFormat.E164)

    def _written(self, number: str, form: Format) -> str:
        if form == "e164":
            return number
        parsed = _parsed(number, None)
        if form == "digits" or parsed is None or self._region is None:
            return number[1:]
        if parsed.country_code == phonenumbers.country_code_for_region(self._region):
            return _digits(phonenumbers.format_number(parsed, PhoneNumberFormat.NATIONAL))
        return _digits(phonenumbers.format_out_of_country_calling_number(parsed, self._region))


def _digits(text: str) -> str:
    return "".join(character for character in text if character.isdigit())


def _parsed(text: str, region: str | None) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(text, region)
    except NumberParseException:
        return None
