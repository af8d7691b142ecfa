"""What a free recogniser wrote, brought closer to what the persona expects: names and products that no model knows.

Only words of which the recogniser was not sure are replaced, and only by an expected value that sounds alike. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Protocol

from agent.providers.base import Expectations

__all__ = ["SureWord", "corrected"]

_UNSURE = 0.8
_LIKE = 0.72  # of letters in common (difflib)
_LIKE_FIRST = 0.6  # for those with the same first letter
_BARE = re.compile(r"[^\w']+")
_SOUNDS = (("ph", "f"), ("ck", "k"), ("c", "k"), ("qu", "kw"), ("x", "ks"), ("z", "s"), ("y", "i"), ("ee", "i"))


class SureWord(Protocol):
    @property
    def text(self) -> str: ...

    @property
    def confidence(self) -> float: ...


def corrected(words: Sequence[SureWord], expectations: Expectations) -> str:
    """The words' text, with unsure runs of words replaced by slot values that sound like them."""
    texts = [word.text for word in words]
    values = list(_values(expectations))
    expected = _words_of(expectations)
    at = 0
    while at < len(words):
        for value in values:
            length = len(value.split())
            run = words[at : at + length]
            if len(run) < length or all(_bare(word.text) in expected for word in run):
                continue  # "morning" is expected too: it is not taken for "Monday"
            if min(word.confidence for word in run) < _UNSURE and _alike(run, value):
                tail = re.search(r"[.,!?;:]*$", run[-1].text)
                texts[at : at + length] = [value + (tail[0] if tail else ""), *[""] * (length - 1)]
                at += length - 1
                break
        at += 1
    return " ".join(text for text in texts if text)


def _words_of(expectations: Expectations) -> set[str]:
    texts = [*expectations.phrases, *(value for values in expectations.slots.values() for value in values)]
    return {_bare(word) for text in texts for word in re.findall(r"[\w']+", text)}


def _values(expectations: Expectations) -> Iterator[str]:
    """Longest first."""
    found = {value for values in expectations.slots.values() for value in values}
    yield from sorted(found, key=lambda value: (-len(value.split()), value))


def _alike(run: Sequence[SureWord], value: str) -> bool:
    heard, wanted = _bare(" ".join(word.text for word in run)), _bare(value)
    if heard == wanted or not heard or len(wanted) < 3:
        return False  # as it should be, or too short to tell
    ratio = SequenceMatcher(None, _sound(heard), _sound(wanted), autojunk=False).ratio()
    return ratio >= (_LIKE_FIRST if heard[0] == wanted[0] else _LIKE)


def _bare(text: str) -> str:
    return _BARE.sub("", text.lower())


def _sound(text: str) -> str:
    for letters, sound in _SOUNDS:
        text = text.replace(letters, sound)
    return re.sub(r"(.)\1", r"\1", text)
