"""Providers named by a persona: `llm = "openai/gpt-4o"`."""

from __future__ import annotations

from typing import Any, Literal, Protocol

from agent.providers.base import Offload

__all__ = ["NamedProviders", "default_providers"]


class NamedProviders(Protocol):
    """Creates a provider by name, or returns the existing one. Raises ValueError for an unknown name."""

    def __call__(self, part: Literal["llm", "tts"], name: str) -> Any: ...


def default_providers(offload: Offload) -> NamedProviders:
    """For sessions without a gateway's settings: accounts come from the environment."""

    def make(part: Literal["llm", "tts"], name: str) -> Any:
        from agent.providers.registry import ProviderSettings, build_llm, build_tts

        return (build_llm if part == "llm" else build_tts)(name, ProviderSettings(), offload)

    return make
