"""Words with which a listener signals attention, by language. Pure."""

from __future__ import annotations

import re

__all__ = ["COMMON", "is_backchannel", "normalized_words"]

_PHRASES: dict[str, frozenset[str]] = {
    "en": frozenset(
        {
            "ah", "aha", "alright", "all right", "got it", "good", "great", "hm", "hmm", "i see", "mhm", "mm", "mm hmm",
            "mmhmm", "mm hm", "oh", "ok", "okay", "right", "sure", "uh", "uh huh", "uhhuh", "um", "yeah", "yep", "yes",
        }
    ),
    "de": frozenset({"ach so", "aha", "alles klar", "genau", "gut", "hm", "hmm", "ja", "mhm", "ok", "okay", "stimmt"}),
    "es": frozenset({"aja", "ajá", "bien", "bueno", "claro", "mhm", "ok", "okay", "sí", "si", "vale", "ya"}),
    "fr": frozenset({"ah", "bien", "d accord", "hm", "hmm", "mhm", "ok", "okay", "oui", "ouais", "très bien"}),
}  # fmt: skip
# Also expected by recognisers with a grammar, which would otherwise map "okay" to the nearest expected phrase.
COMMON: dict[str, tuple[str, ...]] = {"en": ("uh huh", "mm hmm", "okay", "i see")}
_LONGEST = 2  # words in the longest phrase


def normalized_words(text: str) -> list[str]:
    """Lower case, no punctuation: "Uh-huh, okay." -> ["uh", "huh", "okay"]."""
    return re.findall(r"\w+", text.lower())


def is_backchannel(text: str, language: str) -> bool:
    """Whether `text` consists only of the language's backchannels ("en-us" is "en"). False for empty text."""
    phrases = _PHRASES.get(re.split(r"[-_]", language.lower())[0], _PHRASES["en"])
    words = normalized_words(text)
    if not words:
        return False
    position = 0
    while position < len(words):
        for length in range(min(_LONGEST, len(words) - position), 0, -1):
            if " ".join(words[position : position + length]) in phrases:
                position += length
                break
        else:
            return False
    return True
