"""Which providers take over if the first one in the settings cannot serve, reported at the start. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from agent.providers.registry import speaks_language
from gateway.config import SpeechSettings

if TYPE_CHECKING:
    from agent.persona import Agent

__all__ = ["who_serves"]

_DOES = {"stt": "hears", "tts": "speaks"}


def who_serves(speech: SpeechSettings, failed: Collection[str], personas: Iterable[type[Agent]]) -> Iterator[str]:
    """A line for each provider that could not be loaded (`failed`), and for each persona's language that the first one
    does not support."""
    for part, names in (("stt", speech.stt), ("llm", speech.llm), ("tts", speech.tts)):
        there = [name for name in names if name not in failed]
        if not there:
            yield f"no {part} provider can be used: {', '.join(names)}"
        elif there[0] != names[0]:
            yield f"{there[0]} serves in place of {names[0]}"
    seen: set[tuple[str, str]] = set()
    for persona in personas:
        language = persona.language
        if not isinstance(language, str) or (persona.__name__, language) in seen:
            continue
        seen.add((persona.__name__, language))
        for part, names in (("stt", speech.stt), ("tts", speech.tts)):
            if part == "tts" and persona.tts is not None:
                continue
            there = [name for name in names if name not in failed]
            able = [name for name in there if speaks_language(name, language)]
            if there and not able:
                yield f"{persona.__name__} is in {language!r}, which no {part} provider of the settings {_DOES[part]}"
            elif there and able[0] != there[0]:
                yield f"{persona.__name__} is in {language!r}: {able[0]} {_DOES[part]} it, {there[0]} does not"
