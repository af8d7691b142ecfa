"""Canned words by language, and the voices that go with them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from agent import Agent
from agent.providers.espeak import find_voice
from agent.queue_words import QUEUE_WORDS, QUEUE_WORDS_BY_LANGUAGE
from agent.words import CANNED, CANNED_BY_LANGUAGE, speaks


class Recepcion(Agent):
    language = "es-MX"
    canned = {"goodbye": "¡Hasta luego!"}  # noqa: RUF012 - as users write it


@pytest.mark.parametrize("table", [CANNED_BY_LANGUAGE, QUEUE_WORDS_BY_LANGUAGE])
@pytest.mark.parametrize("language", CANNED_BY_LANGUAGE)
def test_every_language_has_every_sentence_in_its_own_words(
    table: Mapping[str, Mapping[str, str]], language: str
) -> None:
    words, english = table[language], table["en"]
    assert set(words) == set(english)
    assert all(text.strip() for text in words.values())
    assert language == "en" or not set(words.values()) & set(english.values())


@pytest.mark.parametrize("language", QUEUE_WORDS_BY_LANGUAGE)
def test_every_language_has_the_same_gaps_in_what_callers_of_queues_hear(language: str) -> None:
    for key, text in QUEUE_WORDS_BY_LANGUAGE[language].items():
        gaps = {"{position}", "{minutes}", "{number}", "{queue}"}
        assert {gap for gap in gaps if gap in text} == {gap for gap in gaps if gap in QUEUE_WORDS[key]}, key


def test_a_persona_s_own_words_come_before_those_of_its_language() -> None:
    assert Recepcion().say_canned("goodbye") == "¡Hasta luego!"
    assert Recepcion().say_canned("one_moment") == "Un momento, por favor."
    with pytest.raises(KeyError):
        Recepcion().say_canned("goodbey")


def test_a_language_without_words_is_told_and_speaks_english() -> None:
    dutch = Agent()
    dutch.language = "nl"
    assert not speaks("nl")
    assert speaks("es_419")
    assert dutch.say_canned("one_moment") == CANNED["one_moment"]


@pytest.mark.parametrize(
    ("voice", "language", "default", "same_as"),
    [
        ("", "es", "en-us", "es"),
        ("", "es-MX", "en-us", "es"),
        ("", "en", "en-us", "en-us"),
        ("", "en", "en-gb+f3", "en-gb+f3"),
        ("", "en-gb", "en-us", "en-gb"),
        ("", "", "en-us", "en-us"),
        ("de", "es", "en-us", "de"),
    ],
)
def test_without_a_voice_it_is_the_language_s(voice: str, language: str, default: str, same_as: str) -> None:
    assert find_voice(voice, language, default) == find_voice(same_as, "", same_as)
