"""A model's stream without parts not meant for the caller, applied before the time limits: reasoning does not count as
a first word."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

from agent.providers.base import LLMEvent, TextDelta
from agent.speech.intake import Intake

__all__ = ["without_reasoning"]


async def without_reasoning(stream: AsyncIterator[LLMEvent]) -> AsyncGenerator[LLMEvent, None]:
    """Text deltas as valid Unicode and without blocks of reasoning; the other events as they are."""
    intake = Intake()
    closing = stream if isinstance(stream, AsyncGenerator) else None
    try:
        async for event in stream:
            if not isinstance(event, TextDelta):
                yield event
            elif text := intake.push(event.text):
                yield TextDelta(text)
        if text := intake.flush():
            yield TextDelta(text)
    finally:
        if closing is not None:
            await closing.aclose()
