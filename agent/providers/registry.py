"""Providers by name, as settings and dialplans write them: "pocketsphinx", "espeak", "rules", "openai/gpt-4o-mini".

Vendor modules are imported when a name needs them; `preload` imports them and loads the models in a parent that forks.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from agent.providers.base import LLM, STT, TTS, VAD, Offload, ProviderBadRequest, ProviderError

if TYPE_CHECKING:
    from agent.providers.openai_chat import OpenAISettings

__all__ = [
    "LLM_NAMES",
    "STT_NAMES",
    "TTS_NAMES",
    "VAD_NAMES",
    "ProviderSettings",
    "build_llm",
    "build_stt",
    "build_tts",
    "build_vad",
    "preload",
    "speaks_language",
    "voice_problem",
]

STT_NAMES = (
    "moonshine",
    "moonshine/whisper",
    "whisper",
    "whisper/auto",
    "pocketsphinx",
    "pocketsphinx/grammar",
    "pocketsphinx/dictation",
    "instant",
    "instant/turns",
)
LLM_NAMES = ("rules", "instant", "openai/MODEL")
TTS_NAMES = ("hibari", "hibari/VOICE", "espeak", "espeak/VOICE", "instant")
VAD_NAMES = ("silero",)
_ENGLISH_ONLY = ("moonshine", "pocketsphinx", "hibari")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """What one vendor needs. The key is in a file or, for development, in an environment variable; never in the
    settings themselves. `key_env`: the variable's name; empty: the vendor's usual one, if `key_file` is empty too.

    `base_url`: a server that speaks the vendor's protocol. `timeout_s`: the longest wait for the first piece of a
    reply. `temperature`, `max_tokens`: None and 0 leave them to the server.
    """

    base_url: str = ""
    key_file: Path | None = None
    key_env: str = ""
    timeout_s: float = 5.0
    temperature: float | None = None
    max_tokens: int = 0
    voice: str = ""
    extra: Mapping[str, str | int | float | bool] = field(default_factory=dict)

    def api_key(self, usual_env: str) -> str:
        """Raises ValueError if the named file or variable does not contain a key. Empty: none is set."""
        if self.key_file is not None:
            try:
                key = self.key_file.read_text().strip()
            except OSError as error:
                raise ValueError(f"the key file {self.key_file} cannot be read: {error.strerror}") from error
            if not key:
                raise ValueError(f"the key file {self.key_file} is empty")
            return key
        if self.key_env and not os.environ.get(self.key_env):
            raise ValueError(f"the environment variable {self.key_env} is not set")
        return os.environ.get(self.key_env or usual_env, "").strip()


def _unknown(part: str, spec: str, known: Iterable[str]) -> ValueError:
    return ValueError(f"there is no {part} provider {spec!r}; known are {', '.join(known)}")


def build_stt(spec: str, settings: ProviderSettings, offload: Offload) -> STT:
    """Raises ValueError for a name that is not known."""
    if spec == "instant":
        from agent.providers.instant import InstantSTT

        return InstantSTT()
    if spec == "instant/turns":
        from agent.providers.instant import InstantTurnsSTT

        return InstantTurnsSTT()
    vendor, _, mode = spec.partition("/")
    if vendor == "pocketsphinx":
        from agent.providers.pocketsphinx import Mode, PocketSphinxSTT

        for known in get_args(Mode):
            if known == (mode or "auto"):
                return PocketSphinxSTT(offload, mode=known)
    if vendor == "moonshine" and mode in ("", "whisper"):
        from agent.providers.moonshine import MoonshineSTT

        digits = "whisper" if mode else "pocketsphinx/grammar"
        return MoonshineSTT(offload, digits=build_stt(digits, settings, offload))
    if vendor == "whisper" and mode in ("", "auto"):
        from agent.providers.whisper import WhisperSTT

        return WhisperSTT(offload, identify=mode == "auto")
    raise _unknown("stt", spec, STT_NAMES)


def build_llm(spec: str, settings: ProviderSettings, offload: Offload) -> LLM:
    """Raises ValueError for a name that is not known, or a key that is missing."""
    if spec == "instant":
        from agent.providers.instant import InstantLLM

        return InstantLLM()
    if spec == "rules":
        from agent.providers.rules import RulesLLM

        return RulesLLM()
    vendor, _, model = spec.partition("/")
    if vendor == "openai" and model:
        from agent.providers.openai_chat import OpenAIChat

        return OpenAIChat(_openai_settings(model, settings))
    raise _unknown("llm", spec, LLM_NAMES)


def _openai_settings(model: str, settings: ProviderSettings) -> OpenAISettings:
    from agent.providers.openai_chat import OpenAISettings

    key = settings.api_key("OPENAI_API_KEY") if settings.key_file or settings.key_env or not settings.base_url else ""
    if not key and not settings.base_url:
        raise ValueError(f"openai/{model} needs a key: set key_file, or OPENAI_API_KEY in the environment")
    return OpenAISettings(
        model=model,
        api_key=key,
        base_url=settings.base_url,
        temperature=settings.temperature,
        max_tokens=settings.max_tokens,
        first_event_s=settings.timeout_s,
        next_event_s=settings.timeout_s,
        extra=dict(settings.extra),
    )


def build_tts(spec: str, settings: ProviderSettings, offload: Offload) -> TTS:
    """Raises ValueError for a name that is not known."""
    if spec == "instant":
        from agent.providers.instant import InstantTTS

        return InstantTTS()
    vendor, _, voice = spec.partition("/")
    if vendor == "espeak":
        from agent.providers.espeak import EspeakTTS

        return EspeakTTS(offload, default_voice=voice or settings.voice or "en-us")
    if vendor == "hibari":
        from agent.providers.hibari import HibariTTS

        return HibariTTS(offload, default_voice=voice or settings.voice or "heart")
    raise _unknown("tts", spec, TTS_NAMES)


def voice_problem(spec: str, voice: str, language: str) -> str:
    """Why the tts provider `spec` can't speak with this voice, or, without one, in this language; empty: it can, or
    only its server knows. A voice after the slash of `spec` must exist, too."""
    vendor, _, default = spec.partition("/")
    if vendor == "hibari":
        from agent.providers import hibari

        return hibari.voice_problem(default, "") or hibari.voice_problem(voice, language)
    if vendor != "espeak":
        return ""
    from agent.providers.espeak import find_voice

    try:
        if default:
            find_voice(default, "", default)
        find_voice(voice, language, default or "en-us")
    except ProviderBadRequest as error:
        return str(error)
    return ""


def speaks_language(spec: str, language: str) -> bool:
    """Whether the stt or tts provider `spec` understands or speaks a persona's language; True if only its server
    knows."""
    vendor = spec.partition("/")[0]
    if vendor in _ENGLISH_ONLY:
        return not language or language.partition("-")[0].lower() == "en"
    if vendor == "whisper":
        from agent.providers._whisper import LANGUAGES

        return spec == "whisper/auto" or not language or language.partition("-")[0].lower() in LANGUAGES
    return vendor != "espeak" or not voice_problem(spec, "", language)


def build_vad(spec: str) -> VAD:
    """Raises ValueError for a name that is not known."""
    if spec == "silero":
        from agent.providers.silero import SileroVAD

        return SileroVAD()
    raise _unknown("vad", spec, VAD_NAMES)


def preload(names: Iterable[str], *, calls: int = 4) -> set[str]:
    """Load what `names` need, for a parent that forks processes of `calls` calls each: anything loaded before the fork
    is shared memory. Starts no threads. Unknown names are left to `build_…`, which refuses them; what cannot be loaded
    is logged and returned: the next provider of its list serves."""
    failed: set[str] = set()
    specs = list(dict.fromkeys(names))
    for spec in sorted(specs, key=lambda spec: spec == "pocketsphinx"):  # after Moonshine it has little to do
        try:
            _preload(spec, 1 if "moonshine" in set(specs) - failed else calls)
        except ProviderError as error:
            _log.error("%s cannot be used: %s", spec, error)
            failed.add(spec)
    return failed


def _preload(spec: str, calls: int) -> None:
    vendor, _, rest = spec.partition("/")
    if vendor == "silero":
        from agent.providers.silero import SileroVAD

        SileroVAD.prepare()
    elif vendor == "pocketsphinx":
        from agent.providers import _sphinx

        _sphinx.prepare(min(calls, 2), dictation=rest == "dictation")
    elif vendor == "moonshine":
        from agent.providers import _moonshine, _sphinx

        _moonshine.load()
        if rest == "whisper":
            _preload("whisper", calls)
        else:
            _sphinx.prepare(1)
    elif vendor == "whisper":
        from agent.providers import _whisper

        _whisper.check()  # loading it starts threads, so each process does that for itself
    elif vendor == "hibari":
        from agent.providers import hibari

        hibari.load(rest or "heart")
    elif vendor == "espeak":
        from agent.providers import _espeak_engine, espeak  # noqa: F401 - for the import

        _espeak_engine.load()
    elif vendor == "openai":
        from agent.providers.openai_chat import warm_import

        warm_import()
    elif vendor == "rules":
        from agent.providers import rules  # noqa: F401 - for the import
    elif vendor == "instant":
        from agent.providers.instant import tone

        tone()
