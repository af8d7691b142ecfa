"""What a phone menu offers, and whether it is heard again and again. Pure.

"For billing, press 2" and "Press 2 for billing", in English, Spanish, French, German, Italian and Portuguese.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from agent.turns.backchannel import normalized_words
from agent.turns.same_words import same_words

__all__ = ["MenuLoop", "MenuOption", "key_for", "options_of"]

_MOST_TIMES = 3
_FEWEST_WORDS = 4  # shorter announcements, such as "please hold", may come often
_KEYS: Mapping[str, str] = {
    word: key
    for key, words in {
        "0": "zero oh null cero zéro",
        "1": "one eins uno un une um",
        "2": "two zwei dos deux due dois",
        "3": "three drei tres trois tre três",
        "4": "four vier cuatro quatre quattro quatro",
        "5": "five fünf cinco cinq cinque",
        "6": "six sechs seis sei",
        "7": "seven sieben siete sept sette sete",
        "8": "eight acht ocho huit otto oito",
        "9": "nine neun nueve neuf nove",
        "*": "star stern asterisco étoile",
        "#": "pound hash raute numeral dièse cancelletto",
    }.items()
    for word in words.split()
}
_PRESS = re.compile(
    r"\b(?:press|dial|hit|drücken sie|wählen sie|pulse|oprima|marque|presione|tapez|appuyez sur|faites|prema|premere|"
    r"digiti|selezioni|pressione|digite|tecle)\s+(?:(?:the|key|number|bitte|die|taste|el|la|le|touche|tecla|número|il|"
    r"tasto|o)\s+)*([0-9*#]|" + "|".join(sorted(map(re.escape, _KEYS), key=len, reverse=True)) + r")(?!\w)",
    re.IGNORECASE,
)
_FOR = re.compile(r"\b(?:for|to|if|für|wenn|para|si|pour|per|se)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class MenuOption:
    key: str
    words: str


def options_of(text: str) -> tuple[MenuOption, ...]:
    """In the order in which they are offered. Empty: it is no menu of keys."""
    presses = list(_PRESS.finditer(text))
    if not presses:
        return ()
    named_before = bool(_FOR.search(text[: presses[0].start()]))
    options: list[MenuOption] = []
    for place, press in enumerate(presses):
        before = presses[place - 1].end() if place else 0
        after = presses[place + 1].start() if place + 1 < len(presses) else len(text)
        words = text[before : press.start()] if named_before else text[press.end() : after]
        key = press.group(1).lower()
        options.append(MenuOption(_KEYS.get(key, key), words.strip(" ,.;:")))
    return tuple(options)


def key_for(options: Iterable[MenuOption], wanted: Sequence[str]) -> str:
    """The key of the option that names one of these, the first of which matters most; empty: none does."""
    offered = [(option.key, f" {' '.join(normalized_words(option.words))} ") for option in options]
    for wish in wanted:
        words = f" {' '.join(normalized_words(wish))} "
        if words.strip() and (found := next((key for key, said in offered if words in said), "")):
            return found
    return ""


class MenuLoop:
    def __init__(self) -> None:
        self._heard: list[tuple[str, int]] = []  # each announcement, and how often

    def again(self, text: str) -> bool:
        """Whether this has been heard so often that nothing is reached this way."""
        if len(normalized_words(text)) < _FEWEST_WORDS:
            return False
        for place, (before, times) in enumerate(self._heard):
            if same_words(before, text):
                self._heard[place] = (before, times + 1)
                return times + 1 >= _MOST_TIMES
        self._heard.append((text, 1))
        return False
