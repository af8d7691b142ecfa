from __future__ import annotations

import pytest

from agent import Agent
from gateway.calls import providers
from gateway.calls.who_serves import who_serves
from gateway.config import SpeechSettings

DEFAULT = SpeechSettings()


class Front(Agent):
    greeting = "Hello."


class Empfang(Agent):
    language = "de-DE"


class Own(Agent):
    language = "de"
    tts = "instant"


def test_english_is_heard_and_spoken_by_the_new_set_where_it_is_not_said_otherwise() -> None:
    assert (DEFAULT.vad, DEFAULT.stt[0], DEFAULT.llm, DEFAULT.tts[0]) == ("silero", "moonshine", ("rules",), "hibari")
    assert list(who_serves(DEFAULT, (), [Front])) == []


def test_a_provider_that_could_not_be_loaded_is_replaced_by_the_next_one_of_its_list() -> None:
    assert list(who_serves(DEFAULT, {"moonshine", "hibari"}, [Front])) == [
        "pocketsphinx serves in place of moonshine",
        "espeak serves in place of hibari",
    ]
    none = SpeechSettings(stt=("moonshine",))
    assert list(who_serves(none, {"moonshine"}, [])) == ["no stt provider can be used: moonshine"]


def test_other_languages_are_told_with_who_serves_them() -> None:
    assert list(who_serves(DEFAULT, (), [Empfang, Empfang])) == [
        "Empfang is in 'de-DE', which no stt provider of the settings hears",
        "Empfang is in 'de-DE': espeak speaks it, hibari does not",
    ]
    assert list(who_serves(DEFAULT, (), [Own])) == ["Own is in 'de', which no stt provider of the settings hears"]


def test_it_is_said_when_the_warm_parent_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(providers, "preload", lambda names, *, calls: {"hibari"})
    monkeypatch.setattr(providers.log, "warning", lambda event, message: said.append(message), raising=False)
    from call_world import settings

    providers.preload_providers(settings("speech: {stt: [instant], llm: [instant], tts: [hibari, espeak]}\n"), [])
    assert said == ["espeak serves in place of hibari"]
