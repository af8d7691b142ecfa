"""What a human says who takes a caller over, or does not: words that need no model. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from agent.words import base_language

__all__ = ["DECISIONS", "decision_of"]

# By language: (takes the caller, does not). `*`: one to four words; `=`: this is all that is said.
# What is refused goes first.
DECISIONS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "en": (
        (
            "put them|him|her|it|me through", "put the caller|customer through", "connect us|me|them|him|her",
            "connect the caller|customer", "send them|him|her over|through", "transfer them|him|her",
            "ill take it|them|him|her", "ill take the call|caller", "i will take it|them|him|her",
            "i will take the call|caller", "=no questions", "no more questions", "no further questions",
            "go ahead and connect", "let me talk|speak to them|him|her",
        ),
        (
            "no i cant|cannot", "i cant|cannot take", "dont put|connect|transfer|send",
            "do not put|connect|transfer|send", "cant put|connect|transfer", "not now", "im busy", "i am busy",
            "take a message", "=i cant", "=i cannot", "=no i cant", "not available", "call back later",
        ),
    ),
    "es": (
        (
            "pasamela|pasamelo|pasemela|pasemelo|paselo|pasela|pasalo|pasala", "pasame|paseme la llamada",
            "paseme|pasame con el|ella", "conectame|conecteme", "ponme|pongame con", "la|lo atiendo",
            "atiendo la llamada", "=sin preguntas", "no tengo preguntas", "no tengo mas preguntas",
        ),
        (
            "no puedo", "no me la|lo pases|pase", "no la|lo pases|pase", "ahora no", "estoy ocupado|ocupada",
            "toma|tome un mensaje", "no me pases|pase",
        ),
    ),
    "fr": (
        (
            "passez le|la moi", "passe le|la moi", "passez|passe moi l appel", "mettez|mets nous en relation",
            "connectez|connecte nous", "je le|la prends", "je prends l appel", "pas de question|questions",
            "transferez|transfere l appel",
        ),
        (
            "je ne peux pas", "je peux pas", "ne me le|la passez|passe pas", "ne passez|passe pas", "pas maintenant",
            "je suis occupe|occupee", "prenez|prends un message",
        ),
    ),
    "de": (
        (
            "stellen sie durch", "stell durch", "stellen sie ihn|sie|es durch", "stell ihn|sie durch",
            "stellen sie den anrufer durch", "verbinden sie uns|mich|ihn", "verbinde uns|mich",
            "ich nehme ihn|sie|an|das", "ich uebernehme", "ich nehme das gespraech", "=keine fragen",
            "keine fragen mehr", "keine weiteren fragen",
        ),
        (
            "ich kann nicht", "ich kann gerade nicht", "ich kann jetzt nicht", "kann ich nicht", "nicht durchstellen",
            "nicht verbinden", "stellen sie * nicht durch", "stell * nicht durch", "jetzt nicht", "gerade nicht",
            "keine zeit", "=geht nicht", "nehmen sie eine nachricht",
        ),
    ),
    "it": (
        (
            "passamelo|passamela|passatemelo|passatemela", "me lo|la passi", "mi passi|passa la chiamata",
            "mettimi|mettetemi in contatto", "ci colleghi|collega", "lo|la prendo io", "prendo la chiamata",
            "nessuna domanda", "non ho domande", "non ho altre domande",
        ),
        (
            "non posso", "non me lo|la passi|passare", "non passarmelo|passarmela", "non ora", "non adesso",
            "sono occupato|occupata", "prenda|prendi un messaggio",
        ),
    ),
    "pt": (
        (
            "pode passar", "passe a chamada|ligacao", "passa a chamada|ligacao", "passe o|a cliente",
            "pode ligar nos", "ligue nos", "conecte nos", "eu atendo", "atendo a chamada|ligacao", "sem perguntas",
            "nao tenho perguntas", "nao tenho mais perguntas",
        ),
        (
            "nao posso", "nao consigo atender", "nao passe|passa", "nao pode passar", "agora nao",
            "estou ocupado|ocupada", "anote|anota um recado",
        ),
    ),
}  # fmt: skip
_LETTERS = str.maketrans("áàâãçéèêëíìîïñóòôõúùûüý", "aaaaceeeeiiiinoooouuuuy") | {
    ord("ä"): "ae",
    ord("ö"): "oe",
    ord("ß"): "ss",
}


def decision_of(text: str, language: str) -> bool | None:
    """Whether whoever says this takes the caller; None: that is not what it is about."""
    takes, refuses = DECISIONS.get(base_language(language), DECISIONS["en"])
    words = _words(text, language)
    if _says(words, refuses):
        return False
    return True if _says(words, takes) else None


def _says(words: str, phrases: tuple[str, ...]) -> bool:
    return any(_expression(phrase).search(words) for phrase in phrases)


def _expression(phrase: str) -> re.Pattern[str]:
    words = [r"\S+(?: \S+){0,3}" if word == "*" else f"(?:{word})" for word in phrase.removeprefix("=").split()]
    expression = " ".join(words)
    return re.compile(f"^{expression}$" if phrase.startswith("=") else rf"(?:^| ){expression}(?: |$)")


def _words(text: str, language: str) -> str:
    """Lower case, without accents; an apostrophe joins ("I'll" is "ill") but in French, where it parts."""
    lowered = text.lower().replace("’", "'")
    if base_language(language) == "de":
        lowered = lowered.replace("ü", "ue")
    lowered = lowered.translate(_LETTERS).replace("'", " " if base_language(language) in ("fr", "it") else "")
    return " ".join(re.sub(r"[^\w]+", " ", lowered).split())
