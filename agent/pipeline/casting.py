"""Which model and which synthesis serve a persona: its own or the session's, through its nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

from agent.activity import Cast
from agent.context import RunContext
from agent.persona import Agent, PersonaAware
from agent.pipeline.nodes import llm_through, tts_through
from agent.providers.base import LLM, STT, TTS, ProviderError
from agent.providers.fallback import reporting
from agent.providers.named import NamedProviders

__all__ = ["Casting", "FailureTold", "Part"]

Part = Literal["vad", "stt", "llm", "tts"]
P = TypeVar("P", LLM, STT, TTS)
FailureTold = Callable[[Part, ProviderError, Literal["retry", "canned", "ignored", "fallback"]], None]


class Casting:
    def __init__(
        self, llm: LLM | None, tts: TTS | None, named: NamedProviders, failed: FailureTold, *, voiced: bool
    ) -> None:
        """`llm`, `tts`: the session's. `named`: creates the ones that personas name. `voiced`: the session has
        audio."""
        self._failed = failed
        self._named = named
        self._voiced = voiced
        self._llm = self.reporting("llm", llm) if llm is not None else None
        self._tts = self.reporting("tts", tts) if tts is not None and voiced else None

    def of(self, agent: Agent, context: Callable[[], RunContext]) -> Cast:
        """Raises ValueError for an unknown provider name."""
        llm, tts = self._llm, self._tts
        if agent.llm is not None:
            own = self._named("llm", agent.llm) if isinstance(agent.llm, str) else agent.llm
            llm = self.reporting("llm", own)
        if agent.tts is not None and self._voiced:
            spoken = self._named("tts", agent.tts) if isinstance(agent.tts, str) else agent.tts
            tts = self.reporting("tts", spoken)
        bare = llm.for_persona(agent) if isinstance(llm, PersonaAware) else llm
        return Cast(bare, tts, llm_through(agent, bare, context), tts_through(agent, tts, context))

    def reporting(self, part: Part, provider: P) -> P:
        """`provider`, reporting to the session when it falls back to another one."""
        return reporting(provider, lambda error: self._failed(part, error, "fallback"))
