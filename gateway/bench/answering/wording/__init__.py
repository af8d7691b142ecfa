"""What is said by whoever answers, by language and kind, and which half of it is for tuning."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from gateway.bench.answering.cases import Part

__all__ = ["LANGUAGES", "half", "wordings"]

LANGUAGES = ("en", "es", "fr", "de", "it", "pt")


def half(names: Sequence[str], part: Part) -> tuple[str, ...]:
    """Those that belong to a part: the half whose hashes are lowest is for tuning, the other is what has been seen
    since. So no wording and no voice is in both, and which one is where never depends on how many calls are made.
    What is reported has lists of its own; of anything else it has all."""
    if part == "reported":
        return tuple(sorted(set(names)))
    ranked = sorted(set(names), key=lambda name: hashlib.sha256(name.encode()).digest())
    middle = len(ranked) // 2
    return tuple(ranked[:middle] if part == "tuning" else ranked[middle:])


@cache
def _read(language: str, folder: str = "") -> dict[str, list[str]]:
    return tomllib.loads((Path(__file__).parent / folder / f"{language}.toml").read_text("utf-8"))


def wordings(kind: str, language: str, part: Part | None = None) -> tuple[str, ...]:
    """`kind`: a key of the files, as in "hello"; `part` None: all that is not reported. In the files' order."""
    if part == "reported":
        return tuple(_read(language, "reported")[kind])
    texts = _read(language)[kind]
    chosen = texts if part is None else half(texts, part)
    return tuple(text for text in texts if text in chosen)
