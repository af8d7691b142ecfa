"""Whether a few words are a yes or a no, by language. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from agent.turns.backchannel import normalized_words
from agent.words import base_language

__all__ = ["YesNo", "yes_no_of", "yes_or_no"]

_SHORT = 5  # words; a longer answer says more than yes or no


@dataclass(frozen=True, slots=True)
class YesNo:
    """`doubt`: words that make an answer neither, regardless of its other words."""

    yes: tuple[str, ...]
    no: tuple[str, ...]
    doubt: tuple[str, ...]


_WORDS = {
    "en": YesNo(
        ("yes", "yeah", "yep", "yup", "sure", "correct", "right", "exactly", "absolutely", "okay", "ok"),
        ("no", "nope", "nah", "wrong", "incorrect", "never"),
        (
            "not",
            "t",
            "but",
            "wait",
            "actually",
            "maybe",
            "instead",
            "except",
            "know",
            "what",
            "which",
            "when",
            "why",
            "how",
        ),
    ),
    "de": YesNo(
        ("ja", "jawohl", "genau", "richtig", "stimmt", "gerne", "klar", "okay", "ok"),
        ("nein", "nee", "ne", "falsch"),
        ("nicht", "aber", "doch", "moment", "vielleicht", "sondern", "außer", "weiß", "was", "welche", "wann", "wie"),
    ),
    "es": YesNo(
        ("sí", "si", "claro", "correcto", "exacto", "vale", "okay", "ok"),
        ("no", "incorrecto", "nunca"),
        ("pero", "espere", "quizás", "tal", "sino", "excepto", "sé", "qué", "cuál", "cuándo", "cómo"),
    ),
    "fr": YesNo(
        ("oui", "ouais", "exact", "exactement", "correct", "accord", "okay", "ok"),
        ("non", "faux", "jamais"),
        ("pas", "mais", "attendez", "peut", "plutôt", "sauf", "sais", "quoi", "quel", "quelle", "quand", "comment"),
    ),
    "it": YesNo(
        ("sì", "si", "certo", "esatto", "giusto", "corretto", "okay", "ok"),
        ("no", "sbagliato", "mai"),
        ("non", "ma", "aspetti", "forse", "invece", "tranne", "so", "cosa", "quale", "quando", "come"),
    ),
    "pt": YesNo(
        ("sim", "claro", "certo", "exato", "correto", "isso", "okay", "ok"),
        ("não", "nao", "errado", "nunca"),
        ("mas", "espere", "talvez", "exceto", "sei", "quê", "qual", "quando", "como"),
    ),
}


def yes_no_of(language: str) -> YesNo | None:
    """None: the words of this language are unknown here."""
    return _WORDS.get(base_language(language))


def yes_or_no(text: str, language: str) -> bool | None:
    """None: neither is certain; leave it to someone who understands more."""
    known = yes_no_of(language)
    said = normalized_words(text)
    if known is None or not 0 < len(said) <= _SHORT or set(said) & set(known.doubt):
        return None
    yes, no = bool(set(said) & set(known.yes)), bool(set(said) & set(known.no))
    return None if yes == no else yes
