"""Removes from a farewell what has already been said, so that there is only one goodbye. Pure."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from agent.turns.backchannel import normalized_words

__all__ = ["left_to_say", "says_goodbye"]

_GOODBYES = (
    *("good bye", "goodbye", "bye", "bye bye", "farewell", "see you", "talk to you soon", "have a nice", "have a good"),
    *("have a great", "have a lovely", "have a wonderful", "take care"),
    *("auf wiedersehen", "auf wiederhören", "tschüss", "tschüs", "ciao", "schönen tag"),
    *("adiós", "adios", "hasta luego", "hasta pronto", "chao", "buen día"),
    *("au revoir", "à bientôt", "bonne journée", "arrivederci", "tchau", "até logo", "tot ziens"),
)
_ALIKE = 0.8  # of SequenceMatcher, over words
_SENTENCE = re.compile(r"[^.!?…。！？]+[.!?…。！？]*[\"'”’)]*")


def says_goodbye(text: str) -> bool:
    words = f" {' '.join(normalized_words(text))} "
    return any(f" {phrase} " in words for phrase in _GOODBYES)


def left_to_say(farewell: str, said: str) -> str:
    """The sentences of `farewell` that are new after `said`. A goodbye is dropped if `said` ended with one,
    in any words."""
    before = _sentences(said)
    if not before:
        return farewell.strip()
    if _alike(farewell, said) or _alike(farewell, " ".join(before[-len(_sentences(farewell)) :])):
        return ""
    parted = says_goodbye(" ".join(before[-2:]))
    left = [
        sentence
        for sentence in _sentences(farewell)
        if not any(_alike(sentence, one) for one in before) and not (parted and says_goodbye(sentence))
    ]
    return " ".join(left)


def _sentences(text: str) -> list[str]:
    return [sentence for found in _SENTENCE.findall(text) if normalized_words(sentence := found.strip())]


def _alike(first: str, second: str) -> bool:
    one, other = normalized_words(first), normalized_words(second)
    if not one or not other:
        return one == other
    return SequenceMatcher(None, one, other, autojunk=False).ratio() >= _ALIKE
