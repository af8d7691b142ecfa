"""Numbers: brought to E.164 once, and compared with the patterns of a dialplan.

A trunk that omits the `+` is the most common reason for a number to match nothing, so
everything that can be known to be a number becomes `+` and digits; the rest (extensions, SIP users) stays as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat, ValidationResult

__all__ = ["NumberPattern", "is_possible", "normalise", "normalise_caller", "parse_pattern"]

EXTENSION_DIGITS = 6  # so many digits or fewer are an internal extension or a short code, not a number in a region
_WITHHELD = {"", "anonymous", "restricted", "unavailable", "withheld", "private", "unknown", "null"}
_SEPARATORS = re.compile(r"[\s.()\-/\u00a0]")
_CONTEXT = re.compile(r";\s*phone-context\s*=\s*\+([0-9][0-9.()\-]*)", re.IGNORECASE)


def normalise(number: str, region: str | None) -> str:
    """The normal form of a number: E.164 if possible, else as received.

    `number` may be the user part of a SIP or tel URI, with parameters (RFC 3966: `+1555;npdi`). `region` (ISO 3166) is
    where numbers without a country code are; None: they are taken to lack nothing but the `+`.
    """
    user = number.strip().removeprefix("sip:").removeprefix("sips:").removeprefix("tel:")
    user, _, parameters = user.partition(";")
    user = user.partition("@")[0].strip()
    bare = _SEPARATORS.sub("", user.replace("(0)", "") if user.startswith("+") else user)
    digits = bare.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        return user  # alphanumeric, or a code with * or #
    if bare.startswith("+"):
        return bare  # E.164 already: an unassigned number must not turn into another one
    if (context := _CONTEXT.search(f";{parameters}")) is not None:
        return _in_context(digits, _SEPARATORS.sub("", context[1]))
    if len(digits) <= EXTENSION_DIGITS:
        return digits
    return _without_plus(digits, region)


def is_possible(number: str) -> bool:
    """Whether an E.164 number with `+` has a length that its country uses."""
    parsed = _parsed(number, None)
    return parsed is not None and phonenumbers.is_possible_number(parsed)


def _in_context(digits: str, context: str) -> str:
    """A local number with the digits that are before it (RFC 3966 section 5.1.5: `context`, without the `+`). A short
    code that is only told its country stays one: +1 before 911 makes no number."""
    country = next((size for size in (1, 2, 3) if int(context[:size]) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE), 0)
    joined = f"+{context}{digits}"
    if not country or len(context) > country:
        return joined
    if len(digits) <= EXTENSION_DIGITS:
        return joined if _likelihood(_parsed(joined, None)) == 3 else digits
    region = phonenumbers.region_code_for_country_code(int(context))
    local = _parsed(digits, region)
    if digits.startswith(context) and _likelihood(local) < 3:  # its country code is there already
        return _without_plus(digits, region)
    return _e164(local) or joined


def normalise_caller(number: str | None, region: str | None) -> str | None:
    """The same for a caller; None when the number is withheld (RFC 3323: `anonymous`)."""
    if number is None:
        return None
    caller = normalise(number, region)
    return None if caller.lower() in _WITHHELD else caller


def _without_plus(digits: str, region: str | None) -> str:
    local = _parsed(digits, region) if region else None
    if local is not None and phonenumbers.is_valid_number(local):
        return _e164(local) or digits
    # Prefixes for calls abroad: 00 nearly everywhere, 011 in North America. Regions' own are known to `local`.
    for prefix in ("00", "011"):
        abroad = _parsed("+" + digits.removeprefix(prefix), None) if digits.startswith(prefix) else None
        if abroad is not None and (prefix == "00" or region is None or _calling_code(region) == 1):
            return _e164(abroad) or digits
    plain = _parsed("+" + digits, None)
    best = [number for number in (plain, local) if number is not None]
    best.sort(key=_likelihood, reverse=True)
    if plain is not None and region and plain.country_code == _calling_code(region) and _likelihood(local) < 2:
        return _e164(plain) or digits
    return (_e164(best[0]) or digits) if best else digits


def _likelihood(number: PhoneNumber | None) -> int:
    """3: assigned; 2: of a length that its country has; 1: could be dialed within a town; 0: not a number."""
    if number is None:
        return 0
    if phonenumbers.is_valid_number(number):
        return 3
    reason = phonenumbers.is_possible_number_with_reason(number)
    if reason == ValidationResult.IS_POSSIBLE:
        return 2
    return 1 if reason == ValidationResult.IS_POSSIBLE_LOCAL_ONLY else 0


def _calling_code(region: str) -> int:
    return phonenumbers.country_code_for_region(region)


def _parsed(text: str, region: str | None) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(text, region)
    except NumberParseException:
        return None


def _e164(number: PhoneNumber | None) -> str | None:
    return phonenumbers.format_number(number, PhoneNumberFormat.E164) if number is not None else None


@dataclass(frozen=True, slots=True)
class NumberPattern:
    """`?` matches one digit, `*` any run of characters, including none; everything else is literal."""

    text: str

    @property
    def exact(self) -> bool:
        return "?" not in self.text and "*" not in self.text

    @property
    def beginning(self) -> str:
        """The part before the first `?` or `*`."""
        return self.text.partition("*")[0].partition("?")[0]

    @property
    def specificity(self) -> tuple[int, int, int]:
        """Higher is more specific: more characters that stand for themselves, then fewer `*`, then fewer `?`."""
        stars, marks = self.text.count("*"), self.text.count("?")
        return len(self.text) - stars - marks, -stars, -marks

    def matches(self, number: str) -> bool:
        if self.exact:
            return self.text == number
        return _regex(self.text).fullmatch(number) is not None

    def overlaps(self, other: NumberPattern) -> bool:
        """Whether some number matches both."""
        return _overlap(self.text, other.text)

    def covers(self, other: NumberPattern) -> bool:
        """Whether what matches `other` matches this one (said only where it is certain)."""
        if other.exact:
            return self.matches(other.text)
        prefix = self.text.removesuffix("*")
        if prefix != self.text and not re.search(r"[?*]", prefix):
            return other.text.startswith(prefix)
        return self.text == other.text


@lru_cache(maxsize=4096)
def _regex(pattern: str) -> re.Pattern[str]:
    kinds = {"?": "[0-9]", "*": ".*"}
    return re.compile("".join(kinds.get(character) or re.escape(character) for character in pattern), re.DOTALL)


def _overlap(first: str, second: str) -> bool:
    """Positions of `first` that can be reached while walking through `second`, both as patterns."""
    seen: set[tuple[int, int]] = set()
    ahead = [(0, 0)]
    while ahead:
        place = ahead.pop()
        if place in seen:
            continue
        seen.add(place)
        i, j = place
        if i == len(first) and j == len(second):
            return True
        a, b = first[i : i + 1], second[j : j + 1]
        if a == "*":
            ahead.append((i + 1, j))
        if b == "*":
            ahead.append((i, j + 1))
        if a and b and _can_be_same(a, b):
            ahead.append((i if a == "*" else i + 1, j if b == "*" else j + 1))
    return False


def _can_be_same(a: str, b: str) -> bool:
    if "*" in (a, b) or a == b:
        return True
    return (a == "?" and b.isdigit()) or (b == "?" and a.isdigit())


def parse_pattern(text: str, region: str | None) -> NumberPattern:
    """A pattern as written in a dialplan, with exact numbers normalised. Raises ValueError naming the mistake."""
    written = text.strip()
    if not written:
        raise ValueError("a number cannot be empty")
    if not re.search(r"[?*]", written):
        number = normalise(written, region)
        if re.search(r"\s", number):
            raise ValueError(f'"{text}" is neither a number nor a SIP user: it contains blanks')
        if number.startswith("+") and not 5 <= len(number) <= 16:
            raise ValueError(f'"{text}" is not an E.164 number, which has 4 to 15 digits after the +')
        return NumberPattern(number)
    bare = _SEPARATORS.sub("", written) if re.fullmatch(r"[\d\s.()\-/+?*]+", written) else written
    if not re.fullmatch(r"\+?[\w.\-#?*]+", bare, re.ASCII):
        raise ValueError(f'"{text}" may contain letters, digits, +, "?" for one digit and "*" for any run')
    if re.fullmatch(r"\d[\d?]*\*?", bare):
        least = len(bare.rstrip("*"))
        if least > EXTENSION_DIGITS:
            raise ValueError(f'"{text}" would never match: numbers are compared as +, country code and digits')
    return NumberPattern(bare)
