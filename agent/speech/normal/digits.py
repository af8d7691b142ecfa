"""Telephone, card and order numbers: digit by digit, with a pause between the groups. For every language. Pure."""

from __future__ import annotations

import re

from agent.speech.characters import DENSE
from agent.speech.normal.rewriting import Rule, Said

__all__ = ["RULES", "rules"]

_LETTER = rf"[^\W{DENSE}\uac00-\ud7a3]"  # text without spaces continues after a number
_RUN = re.compile(
    rf"(?<!{_LETTER})(?<![.,:/$£€¥₹₩₽￥+])"
    r"(?:\+ ?)?\(?\d(?:[\d]|[ .\u00a0-](?=[\d(])|\)[ -]?(?=\d)|(?<=[ -])\(){3,24}\d"
    rf"(?!{_LETTER}|%|[.,:/]\d|-\w| ?[원円元块塊圆圓年月日人名個个])"
)
_GROUPS = {  # group lengths of numbers that are not amounts
    (3, 4),
    (3, 3, 4),
    (1, 3, 3, 4),
    (4, 4, 4, 4),
    (4, 6, 5),
    (3, 2, 4),
    (5, 4),
    (3, 3, 3),
    (2, 3, 4),
    (2, 4, 4),
}
_LONG = 6  # digits: longer than any amount written without separators


def rules(plus: str = "+") -> tuple[Rule, ...]:
    """`plus`: the word for the sign before a country code."""
    return (Rule(_RUN, lambda match: _spelled(match, plus), "0123456789"),)


def _spelled(match: re.Match[str], plus: str) -> Said:
    run = match[0]
    groups = re.findall(r"\d+", run)
    if not _is_number_of_digits(run, tuple(map(len, groups)), groups[0]):
        return None
    said: list[tuple[str, int]] = []
    if run[0] == "+":
        said.append((f"{plus} " if plus != "+" else "+", 0))
    for number, group in enumerate(re.finditer(r"\d+", run)):
        if number:
            said.append((", ", group.start() - 1))
        whole = group[0]
        first = 1 if len(whole) == 11 and run.startswith("+1") else 0  # the country code is separate
        # An ungrouped run of digits is said in threes, as people do.
        for place, digit in enumerate(whole):
            between = (
                ""
                if place == 0
                else ", "
                if len(groups) == 1 and (place - first) % 3 == 0 and len(whole) - place >= 2
                else " "
            )
            said.append((between + digit, group.start() + place))
    return said


def _is_number_of_digits(run: str, lengths: tuple[int, ...], first: str) -> bool:
    count = sum(lengths)
    if run[0] == "+":
        return count >= 6
    if len(lengths) == 1:
        return count >= _LONG
    if re.fullmatch(
        r"\d{4}-\d{2}-\d{2}|\d{1,2}[.-]\d{1,2}[.-]\d{2,4}|\d{1,3}(?:[. \u00a0]\d{3})+", run
    ) and lengths not in ((3, 3, 3),):
        return False
    if "." in run and not re.fullmatch(r"\d{3}\.\d{3}\.\d{4}", run):
        return False
    return lengths in _GROUPS or run[0] == "(" or (first.startswith("0") and count >= 7)


RULES = rules()
