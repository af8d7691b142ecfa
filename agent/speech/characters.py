"""Classifies characters: valid, a letter of a script without spaces, inside a grapheme. Pure."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["DENSE", "dense", "is_break", "speakable", "valid_text"]

_SURROGATE = re.compile(r"[\ud800-\udfff]")
# C0 and C1 without tab and line ends, zero-width and bidirectional controls, interlinear and tag characters, private
# use, the replacement character and what is no character at all. Joiners (U+200C, U+200D) mean something in Persian
# and Hindi.
_UNWANTED = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\uffff"
    "\ufdd0-\ufdef\ue000-\uf8ff\U000e0000-\U000e0fff\U000f0000-\U0010ffff]"
)
_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")

DENSE = (  # the inside of a character class: scripts that put no spaces between words
    "\u0e01-\u0e4e\u0e81-\u0ece\u0f40-\u0fbc\u1000-\u103f\u1050-\u109f\u1780-\u17d3\u1950-\u19df\u1a20-\u1a7f"
    "\u2e80-\u2fdf\u3005-\u3007\u3041-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua980-\ua9c0"
    "\uaa60-\uaa7f\uf900-\ufaff\uff66-\uff9f\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
_DENSE = re.compile(f"[{DENSE}]")
_SPEAKABLE = re.compile(r"[^\W_]|[$£€¥%&@+=°#*×÷½¼¾]")


def valid_text(text: str) -> str:
    """`text` in a form that every server and database accepts: halves of surrogate pairs are joined, or dropped when
    alone; line ends become newlines; control characters and invisible ones are dropped."""
    if text.isascii() and text.isprintable():
        return text
    if _SURROGATE.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    return _UNWANTED.sub("", _LINE_ENDS.sub("\n", text))


def dense(character: str) -> bool:
    """Whether it is of a script without spaces between words."""
    return character > "\u0e00" and _DENSE.match(character) is not None


def speakable(text: str) -> bool:
    """Whether it contains anything that can be spoken."""
    return _SPEAKABLE.search(text) is not None


def is_break(before: str, after: str) -> bool:
    """Whether text may be cut between these two characters without splitting a grapheme: a letter and its
    marks, a syllable of an Indic script, a vowel that is written before its consonant, a joined emoji, a flag."""
    if after in "\u200d\u200c" or before == "\u200d":
        return False
    category = unicodedata.category(after)
    if category[0] == "M" or (category == "Sk" and after >= "\U0001f3fb"):
        return False
    if unicodedata.combining(before) == 9:  # a virama ties the next consonant to itself
        return False
    if (
        before in "\u0e40\u0e41\u0e42\u0e43\u0e44\u0ec0\u0ec1\u0ec2\u0ec3\u0ec4"
        or after in "\u0e30\u0e32\u0e33\u0eb0\u0eb2\u0eb3"
    ):
        return False
    if "\u1100" <= before <= "\u11ff" and "\u1100" <= after <= "\u11ff":
        return False  # parts of one Hangul syllable
    flag = "\U0001f1e6" <= before <= "\U0001f1ff" and "\U0001f1e6" <= after <= "\U0001f1ff"
    return not (flag or "\u1160" <= after <= "\u11ff")
