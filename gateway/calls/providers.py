"""Providers of one process, made once for each way of speaking, shared by its calls."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any, Literal

import structlog

from agent.answering import Answering
from agent.clock import ThreadOffload
from agent.factory import Cast, PersonaMaker, SharedByCalls, cast_for, personas_beside
from agent.known_sentences import known_sentences
from agent.persona import Agent
from agent.pipeline.canned import CannedAudio
from agent.providers.base import LLM, STT, TTS, VAD, ProviderError
from agent.providers.fallback import FallbackLLM, FallbackSTT, FallbackTTS
from agent.providers.registry import build_llm, build_stt, build_tts, build_vad, preload, speaks_language
from agent.session import AgentSession
from gateway.calls.detector import detector_for
from gateway.calls.who_serves import who_serves
from gateway.config import Settings, SpeechSettings
from telephony.call import CallInfo
from telephony.media.answering.model import WhoAnswered
from telephony.media.answering.wording import Wording

__all__ = ["ProviderSet", "preload_providers"]

log = structlog.get_logger(__name__)

# Imported late, only where used: in a worker it would be unshared memory.
_LATE = ("numpy", "numpy.fft", "soxr", "concurrent.futures.thread", "telephony.media.recording_writer", "zoneinfo")


def preload_providers(
    settings: Settings, speeches: list[Mapping[str, Any]], makers: Iterable[PersonaMaker] = ()
) -> None:
    """Import modules and load models in the warm parent, before any fork. `speeches`: the routes' changes. `makers`:
    their personas may name providers of their own."""
    for name in _LATE:
        import_module(name)
    settings.answering.words()
    makers = list(makers)
    names: set[str] = set()
    for changes in [{}, *speeches]:
        speech = settings.speech.overridden(changes)
        names |= {speech.vad or "", *speech.stt, *speech.llm, *speech.tts}
    own = [name for maker in makers for cls in personas_beside(maker) for name in (cls.llm, cls.tts)]
    names |= {name for name in own if isinstance(name, str)}
    failed = preload(sorted(names - {""}), calls=settings.slots_per_worker)
    personas = [cls for maker in makers for cls in personas_beside(maker)]
    if "hibari" in names - failed:
        _speak_ahead(personas)
    for text in who_serves(settings.speech, failed, personas):
        log.warning("speech_provider", message=text)


def _speak_ahead(personas: Iterable[type[Agent]]) -> None:
    """Synthesise what the personas say in every call, if hibari is their voice."""
    from agent.providers import hibari

    for persona in personas:
        fixed = isinstance(persona.language, str) and isinstance(persona.voice, str)
        if fixed and persona.tts in (None, "hibari") and speaks_language("hibari", persona.language):
            try:
                hibari.prepare(known_sentences(persona), persona.voice)
            except ProviderError as error:
                log.warning("not_spoken_ahead", persona=persona.__name__, error=str(error))


class ProviderSet:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._offload = ThreadOffload()
        self._canned = CannedAudio()
        self._answering = settings.answering.given()
        self._words: Wording | None = None
        self._made: dict[SpeechSettings, tuple[VAD | None, STT, LLM, TTS]] = {}
        self._named: dict[tuple[str, str], LLM | TTS] = {}
        self._shared = SharedByCalls(self._offload)

    @property
    def answering(self) -> Mapping[str, Any]:
        """What the settings say about whoever answers calls that we place, as `AnsweringOptions.given`."""
        return self._answering

    def who_answered(
        self, answering: Answering, answered_at: float, speech: Mapping[str, Any] | None = None
    ) -> WhoAnswered:
        """Finds out who has answered a call. `answered_at`: seconds, loop clock. `speech`: a route's changes."""
        recognisers = self._settings.speech.overridden(speech or {}).stt
        understands = any(name.partition("/")[0] != "instant" for name in recognisers)
        return detector_for(answering, answered_at, self._wording, words=understands)

    async def prewarm(self, makers: Iterable[PersonaMaker]) -> None:
        """Run the persona files' `prewarm`, once per process. Failures are logged and retried by the first call."""
        for error in await self._shared.warm(makers):
            log.error("prewarm_failed", error=str(error), exc_info=error)

    async def cast(self, maker: PersonaMaker, call: CallInfo) -> Cast:
        """Persona and userdata for one call. Raises BadFactory, FactoryFailed, and exceptions of a persona's class."""
        return await cast_for(maker, call, self._shared, self._offload)

    @property
    def _wording(self) -> Wording:
        """Loaded before the fork, or with the first call that asks who answers."""
        self._words = self._words or self._settings.answering.words()
        return self._words

    def session(self, speech: Mapping[str, Any], session: Mapping[str, Any], userdata: Any = None) -> AgentSession:
        """A session with the settings as changed by a route. Raises ValueError for a missing key."""
        vad, stt, llm, tts = self._of(speech)
        return AgentSession(
            vad=vad,
            stt=stt,
            llm=llm,
            tts=tts,
            options=self._settings.session.overridden(session).options(),
            userdata=userdata,
            offload=self._offload,
            canned_audio=self._canned,
            providers=self.named,
        )

    def named(self, part: Literal["llm", "tts"], name: str) -> LLM | TTS:
        """A provider named by a persona. Raises ValueError for an unknown name or a missing key."""
        if (part, name) not in self._named:
            build = build_llm if part == "llm" else build_tts
            self._named[part, name] = build(*self._settings.provider(name), self._offload)
        return self._named[part, name]

    async def warm(self, speech: Mapping[str, Any]) -> None:
        """Load and connect all providers that are not ready, in parallel. Raises the first ProviderError."""
        _, stt, llm, tts = self._of(speech)
        results = await asyncio.gather(stt.warm(), llm.warm(), tts.warm(), return_exceptions=True)
        for failure in results:
            if failure is not None:
                raise failure

    def _of(self, changes: Mapping[str, Any]) -> tuple[VAD | None, STT, LLM, TTS]:
        speech = self._settings.speech.overridden(changes)
        if speech not in self._made:
            settings, offload = self._settings, self._offload
            stt = [build_stt(*settings.provider(name), offload) for name in speech.stt]
            llm = [build_llm(*settings.provider(name), offload) for name in speech.llm]
            tts = [build_tts(*settings.provider(name), offload) for name in speech.tts]
            self._made[speech] = (
                None if speech.vad is None else build_vad(speech.vad),
                stt[0] if len(stt) == 1 else FallbackSTT(stt),
                llm[0] if len(llm) == 1 else FallbackLLM(llm),
                tts[0] if len(tts) == 1 else FallbackTTS(tts),
            )
        return self._made[speech]
