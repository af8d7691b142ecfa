"""Whole calls on virtual time with the offline set: Moonshine and hibari, and their fallbacks."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.providers import _moonshine
from agent.providers.base import Offload
from agent.providers.espeak import EspeakTTS
from agent.providers.fallback import FallbackSTT, FallbackTTS
from agent.providers.hibari import HibariTTS
from agent.providers.moonshine import MoonshineSTT
from agent.providers.pocketsphinx import PocketSphinxSTT
from agent.providers.registry import preload
from agent.providers.rules import RulesLLM
from agent.providers.silero import SileroVAD
from agent.testing.fixture_format import load_fixture
from agent.testing.replay import Speech, replay_fixture

AUDIO = Path(__file__).parents[2] / "fixtures" / "audio"


def offline_set(offload: Offload) -> Speech:
    sphinx = PocketSphinxSTT(offload)
    moonshine = MoonshineSTT(offload, digits=PocketSphinxSTT(offload, mode="grammar"))
    voices = FallbackTTS([HibariTTS(offload), EspeakTTS(offload)])
    return Speech(SileroVAD(), FallbackSTT([moonshine, sphinx]), RulesLLM(), voices)


@pytest.fixture
def damaged(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(_moonshine._HASHES, "tokenizer.bin", "00")
    _moonshine._loaded.cache_clear()
    yield
    _moonshine._loaded.cache_clear()


@pytest.mark.parametrize("name", ["pleasant_booking", "spoken_order_number", "silence"])
def test_recorded_callers_are_served_by_the_offline_set_as_by_the_one_they_were_recorded_with(name: str) -> None:
    replay_fixture(load_fixture(AUDIO / name), speech=offline_set).assert_as_recorded()


@pytest.mark.usefixtures("damaged")
def test_a_damaged_model_costs_no_turn_the_next_recognizer_hears_the_same_words() -> None:
    result = replay_fixture(load_fixture(AUDIO / "pleasant_booking"), speech=offline_set)
    failures = [event for event in result.events if event.type == "provider_failed"]
    assert len(failures) == 1 and "tokenizer.bin of moonshine_voice is damaged" in failures[0].fields["error"]
    assert (
        "appointment tomorrow morning" in result.transcript
        and "You are booked for tomorrow at 9:30" in result.transcript
    )
    assert result.ended_by == "agent"


@pytest.mark.usefixtures("damaged")
def test_a_damaged_model_is_said_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        preload(["moonshine"])
    assert "moonshine cannot be used: moonshine: tokenizer.bin of moonshine_voice is damaged" in caplog.text
