"""What a persona says word for word in many calls: synthesised once, before the first call."""

from __future__ import annotations

from collections.abc import Iterator

from agent.persona import Agent
from agent.speech.stage import SpeechText, spoken_piece
from agent.words import CANNED, canned_words

__all__ = ["known_sentences"]


def known_sentences(persona: type[Agent]) -> list[str]:
    """In the pieces that its synthesis gets: the greeting, its rules' answers without values, and its canned phrases;
    nothing that is decided only during a call. For a persona with a fixed language."""
    language = persona.language
    found: dict[str, None] = {}
    for text in _said(persona):
        speech = SpeechText(language)
        found |= dict.fromkeys(piece.spoken for piece in (*speech.push(text), *speech.flush()))
    for key in CANNED:
        found[spoken_piece(canned_words(key, persona.canned, language), language).spoken] = None
    return [text for text in found if text.strip()]


def _said(persona: type[Agent]) -> Iterator[str]:
    if isinstance(persona.greeting, str):
        yield persona.greeting
    rules = persona.rules
    if rules is None:
        return
    texts = [rules.fallback, rules.hello, rules.dropped]
    for intent in rules.intents:
        texts += [intent.reply, intent.confirm, intent.on_error]
    for slot in rules.slots.values():
        texts += [slot.prompt, slot.retry]
    yield from (text for text in texts if "{" not in text)
