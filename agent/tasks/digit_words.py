"""Phrases of a digit-collecting task, by language. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from agent.words import base_language

__all__ = ["DigitWords", "digit_words", "read_out"]


@dataclass(frozen=True, slots=True)
class DigitWords:
    """`confirm`: with `{digits}` read out; `confirm_end`: with the last of them; `confirm_count`: with how many."""

    confirm: str
    confirm_end: str
    confirm_count: str


_WORDS = {
    "en": DigitWords(
        "I have {digits}. Is that right?",
        "I have a number that ends in {digits}. Is that right?",
        "I have {count} digits. Is that right?",
    ),
    "de": DigitWords(
        "Ich habe {digits}. Stimmt das?",
        "Ich habe eine Nummer, die auf {digits} endet. Stimmt das?",
        "Ich habe {count} Ziffern. Stimmt das?",
    ),
    "es": DigitWords(
        "Tengo {digits}. ¿Es correcto?",
        "Tengo un número que termina en {digits}. ¿Es correcto?",
        "Tengo {count} cifras. ¿Es correcto?",
    ),
    "fr": DigitWords(
        "J'ai {digits}. Est-ce exact ?",
        "J'ai un numéro qui se termine par {digits}. Est-ce exact ?",
        "J'ai {count} chiffres. Est-ce exact ?",
    ),
    "it": DigitWords(
        "Ho {digits}. È giusto?",
        "Ho un numero che finisce con {digits}. È giusto?",
        "Ho {count} cifre. È giusto?",
    ),
    "pt": DigitWords(
        "Tenho {digits}. Está certo?",
        "Tenho um número que termina em {digits}. Está certo?",
        "Tenho {count} algarismos. Está certo?",
    ),
}


def digit_words(language: str) -> DigitWords:
    """For an unknown language: English."""
    return _WORDS.get(base_language(language), _WORDS["en"])


def read_out(digits: str) -> str:
    """Digit by digit, with a pause after each group of three or four."""
    size = 4 if len(digits) % 4 == 0 else 3
    groups = [" ".join(digits[at : at + size]) for at in range(0, len(digits), size)]
    return ", ".join(groups)
