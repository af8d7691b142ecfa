"""Text that is rewritten step by step, mapping each character to its position in the original. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Rewriting", "Rule", "Said"]

Said = str | list[tuple[str, int]] | None
"""The spoken form of a match: words for all of it, or pieces with the ranges of the match that they replace;
None leaves it as it is."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`needs`: at least one of these characters must occur for the pattern to be tried; "" for any."""

    pattern: re.Pattern[str]
    say: Callable[[re.Match[str]], Said]
    needs: str = ""


class Rewriting:
    def __init__(self, text: str) -> None:
        self.text = text
        self.places = list(range(len(text)))  # of each character, in the original

    def apply(self, rule: Rule) -> None:
        if rule.needs and not any(sign in self.text for sign in rule.needs):
            return
        out: list[str] = []
        places: list[int] = []
        at = 0
        for match in rule.pattern.finditer(self.text):
            said = rule.say(match)
            if said is None or match.start() < at or match.end() == match.start():
                continue
            out.append(self.text[at : match.start()])
            places += self.places[at : match.start()]
            for words, place in [(said, 0)] if isinstance(said, str) else said:
                out.append(words)
                places += [self.places[match.start() + place]] * len(words)
            at = match.end()
        if at:
            self.text, self.places = "".join(out) + self.text[at:], places + self.places[at:]
