from __future__ import annotations

import asyncio

import pytest
from call_world import settings

from agent import Agent
from agent.providers.base import ProviderUnavailable
from agent.providers.fallback import FallbackLLM, FallbackTTS
from agent.providers.instant import InstantLLM, InstantSTT
from agent.testing.virtual_clock import run_virtual
from gateway.calls import providers
from gateway.calls.providers import ProviderSet


class NoVAD:
    """Silero's model would have to be loaded."""


@pytest.fixture(autouse=True)
def no_vad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "build_vad", lambda name: NoVAD())


SPEECH = "speech: {stt: [instant], llm: [instant, rules], tts: [instant, espeak]}\n"


def test_lists_become_fallbacks_and_single_names_stay_what_they_are():
    made = ProviderSet(settings(SPEECH))
    session = made.session({}, {})
    assert isinstance(session._stt, InstantSTT)
    assert isinstance(session._llm, FallbackLLM)
    assert isinstance(session._tts, FallbackTTS)
    assert session._llm.name == "instant | rules"
    assert isinstance(made.session({"llm": ["instant"]}, {})._llm, InstantLLM)


def test_calls_of_one_way_of_speaking_share_what_is_known_of_its_providers():
    made = ProviderSet(settings(SPEECH))
    assert made.session({}, {})._llm is made.session({}, {"away_ms": 9000})._llm


def test_one_provider_that_stays_cold_does_not_keep_the_others_cold(monkeypatch: pytest.MonkeyPatch):
    warmed: list[str] = []

    async def cold(self: object) -> None:
        raise ProviderUnavailable("instant", "no")

    async def warm(self: object) -> None:
        await asyncio.sleep(1)
        warmed.append("llm")

    monkeypatch.setattr(InstantSTT, "warm", cold)
    monkeypatch.setattr(InstantLLM, "warm", warm)
    made = ProviderSet(settings("speech: {stt: [instant], llm: [instant], tts: [instant]}\n"))
    with pytest.raises(ProviderUnavailable):
        run_virtual(made.warm({}))
    assert warmed == ["llm"]


def test_a_provider_that_a_persona_names_is_made_once_with_the_settings_account():
    made = ProviderSet(settings(SPEECH + "providers: {openai: {base_url: 'http://127.0.0.1:9/v1', model: local}}\n"))
    llm = made.named("llm", "openai")
    assert llm is made.named("llm", "openai")
    assert "local" in str(vars(llm))
    with pytest.raises(ValueError, match="nobody"):
        made.named("tts", "nobody")


def test_what_a_persona_names_is_loaded_before_the_fork(monkeypatch: pytest.MonkeyPatch):
    loaded: list[str] = []
    monkeypatch.setattr(providers, "preload", lambda names, *, calls: set(loaded.extend(names) or ()))
    monkeypatch.setattr(providers, "_LATE", ())
    providers.preload_providers(settings(SPEECH), [], [Own.for_call])
    assert "openai/gpt-4o" in loaded


class Own(Agent):
    llm = "openai/gpt-4o"

    @classmethod
    def for_call(cls) -> Agent:
        return cls()
