"""Calls that a session places: what is said to whoever answers is synthesised while the phone rings."""

from __future__ import annotations

from typing import Any

from agent.answering import Answering
from agent.options import SessionOptions
from agent.persona import Agent, overrides
from agent.pipeline.ahead import SpeechAhead
from agent.pipeline.sound_file import load_sound
from agent.providers.base import TTS, Offload
from agent.providers.named import NamedProviders, default_providers

__all__ = ["AnswersCalls", "plan_of"]


def plan_of(agent: Agent, answering: Answering | None) -> Answering:
    """Without an order, the persona's, which then has no variables. Raises BadAnswering."""
    return answering if answering is not None else (agent.answering or Answering()).filled({})


class AnswersCalls:
    """Commands for calls that we place."""

    _tts: TTS | None
    _providers: NamedProviders | None
    _offload: Offload
    _options: SessionOptions

    def __init__(self) -> None:
        self.ahead = SpeechAhead()

    async def prepare(self, *, agent: Agent, answering: Answering) -> None:
        """While the phone rings, before `start`: synthesise the greeting and the texts of `answering`, which are
        filled, or load its recording. What is not ready at the answer is synthesised then; it may be cancelled. Raises
        OSError or BadWavFile for a recording."""
        if (path := answering.recording) is not None:
            self.ahead.recording = await self._offload(lambda: load_sound(path), modelled_ms=0.0)
        tts: Any = self._tts if agent.tts is None else agent.tts
        if isinstance(tts, str):
            tts = (self._providers or default_providers(self._offload))("tts", tts)
        if tts is not None and not overrides(agent, "tts_node"):  # the node needs a session that runs
            await self.ahead.make_all(agent, tts, self._options, answering)
