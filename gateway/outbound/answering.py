"""What an order says about whoever answers, checked before anything rings."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from agent.answering import Answering, BadAnswering
from gateway.config.answering import RECORDING, AnsweringSettings, merged
from gateway.outbound.order import CallOrder, OrderRefused
from telephony.media.wav import BadWavFile, read_channels_at

__all__ = ["ordered_answering"]


async def ordered_answering(
    order: CallOrder, dialplan: Mapping[str, Any] | None, settings: AnsweringSettings
) -> dict[str, Any] | None:
    """Order and dialplan together, for the worker: the path of a recording is whole, texts are not filled yet. None:
    neither says anything. Raises OrderRefused."""
    given = merged(dialplan, None if order.answering is None else order.answering.given())
    if given is None or given.get("detect") is False:
        return given
    message = str(given.get("message", ""))
    try:
        Answering(message=message, screener=str(given.get("screener", ""))).filled(order.variables)
        if message.startswith(RECORDING):
            given["message"] = await asyncio.to_thread(_recording, message, settings)
    except BadAnswering as error:
        raise OrderRefused("invalid_variable", f"answering.{error}.") from None
    except ValueError as error:
        raise OrderRefused("invalid_message", f"answering.message: {error}.") from None
    return given


def _recording(message: str, settings: AnsweringSettings) -> str:
    """Blocks. Raises ValueError."""
    path = settings.recording(message)
    try:
        read_channels_at(path)
    except (OSError, BadWavFile) as error:
        raise ValueError(
            f"{message.removeprefix(RECORDING)!r} is not a recording that can be played: {error}"
        ) from None
    return f"{RECORDING}{path}"
