"""A pronunciation for a word missing in the dictionary, by English spelling rules. Pure. Rough, but it makes names and
brands recognisable that would otherwise be left out.
"""

from __future__ import annotations

__all__ = ["pronounce"]

_VOWELS = "aeiou"
# The longest matching spelling wins; "^" is the word's start, "$" its end. Phones are those of CMUdict.
_RULES: dict[str, str] = {
    "^kn": "N", "^wr": "R", "^ps": "S", "^x": "Z", "^y": "Y", "^rh": "R", "^gn": "N",
    "tion": "SH AH N", "sion": "ZH AH N", "ture": "CH ER", "ough": "AO", "augh": "AO", "eigh": "EY", "igh": "AY",
    "tch": "CH", "dge": "JH", "sch": "SH", "que$": "K", "gue$": "G", "mb$": "M", "sh": "SH", "ch": "CH", "th": "TH",
    "ph": "F", "wh": "W", "ck": "K", "qu": "K W", "gh": "G", "ng$": "NG", "nk": "NG K", "x": "K S",
    "ee": "IY", "ea": "IY", "oo": "UW", "ou": "AW", "ow$": "OW", "ow": "AW", "oi": "OY", "oy": "OY", "ai": "EY",
    "ay": "EY", "au": "AO", "aw": "AO", "ei": "EY", "ey$": "IY", "ie": "IY", "oa": "OW", "ue$": "UW", "ew": "UW",
    "ar": "AA R", "er": "ER", "ir": "ER", "ur": "ER", "or": "AO R", "ore$": "AO R", "are$": "EH R", "ire$": "AY ER",
    "y$": "IY", "y": "IH", "a$": "AH", "o$": "OW", "i$": "IY", "e$": "", "es$": "IH Z", "ed$": "D", "le$": "AH L",
    "ce": "S EH", "ci": "S IH", "cy": "S IY", "ce$": "S", "ge$": "JH", "gi": "JH IH",
    "a": "AE", "b": "B", "c": "K", "d": "D", "e": "EH", "f": "F", "g": "G", "h": "HH", "i": "IH", "j": "JH", "k": "K",
    "l": "L", "m": "M", "n": "N", "o": "AA", "p": "P", "q": "K", "r": "R", "s": "S", "t": "T", "u": "AH", "v": "V",
    "w": "W", "z": "Z",
}  # fmt: skip
_LONG = {"a": "EY", "e": "IY", "i": "AY", "o": "OW", "u": "UW"}
_LONGEST = max(map(len, _RULES))


def pronounce(word: str) -> str:
    """CMUdict phones, separated by spaces; empty for a word without letters of the English alphabet."""
    letters = "".join(letter for letter in word.lower() if "a" <= letter <= "z")
    if not letters:
        return ""
    marked = f"^{letters}$"
    phones: list[str] = []
    at = 1
    while at < len(marked) - 1:
        spelling, used = _longest(marked, at)
        letter = marked[at]
        if used == 1 and letter in _VOWELS and _magic_e(marked, at):
            phones.append(_LONG[letter])
        elif used == 1 and letter == marked[at - 1] and letter not in _VOWELS:
            pass  # a doubled consonant is one sound
        else:
            phones.extend(_RULES[spelling].split())
        at += used
    return " ".join(phones) or _RULES[letters[0]]


def _longest(marked: str, at: int) -> tuple[str, int]:
    """The rule's key and how many letters it uses."""
    for length in range(_LONGEST, 0, -1):
        piece = marked[at : at + length]
        if at == 1 and (f"^{piece}") in _RULES:
            return f"^{piece}", len(piece)
        if piece in _RULES:
            return piece, len(piece.rstrip("$"))
    raise AssertionError("every letter has a rule")


def _magic_e(marked: str, at: int) -> bool:
    """ "cake": a vowel, one consonant, an e at the end."""
    rest = marked[at + 1 :]
    return len(rest) == 3 and rest[0] not in _VOWELS + "x" and rest[1:] == "e$"
