"""Asks the session's model who has answered, from the words so far, within its time."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from typing import Any

from agent.pipeline.model_text import without_reasoning
from agent.providers.base import LLM, ChatMessage, ProviderError, TextDelta
from telephony.media.answering.model import AnsweredBy

__all__ = ["second_opinion"]

_LIMIT_S = 0.8
_LONGEST = 1500  # characters of what was heard
_ASKED = """You hear how a phone call that we placed is answered. Who has answered? Answer with one word:
human - a person, also one who names a company;
voicemail - a greeting that asks for a message, or says that nobody is available;
mailbox_full - a voicemail that takes no message;
screener - a program that asks who is calling and why before it connects;
ivr - a menu of options, or an announcement of a queue;
unknown - it cannot be said yet."""
_log = logging.getLogger(__name__)


async def second_opinion(llm: LLM, heard: str) -> AnsweredBy | None:
    """None: it has none, does not answer in time, or fails. Never raises."""
    asked = (ChatMessage("system", _ASKED), ChatMessage("user", heard[-_LONGEST:]))
    try:
        async with asyncio.timeout(_LIMIT_S):
            stream: Any = without_reasoning(llm.chat(asked, ()))
            async with aclosing(stream):
                said = "".join([event.text async for event in stream if isinstance(event, TextDelta)])
    except (ProviderError, TimeoutError):
        return None
    except Exception:  # noqa: BLE001  the persona may bring a model of its own
        _log.exception("the model was not asked who has answered")
        return None
    word = said.strip().strip(".").lower()
    return AnsweredBy(word) if word in set(AnsweredBy) - {AnsweredBy.UNKNOWN} else None
