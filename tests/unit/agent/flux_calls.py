"""Calls to a talkative persona, heard by a recogniser that detects turns."""

from __future__ import annotations

from typing import Any

from phone import Phone, call

from agent import Agent


class Talker(Agent):
    greeting = "One two three four five six seven eight nine ten."  # 200 ms a word


def heard_by(flux: Any, agent: Agent | None = None, *, ms: float = 6000, has_vad: bool = False, **more: Any) -> Phone:
    """A call in which only the recogniser's script hears anything."""

    async def script(phone: Phone) -> None:
        await phone.wait(ms)

    return call(script, agent, stt=flux, has_vad=has_vad, turn_detection="stt", **more)


def ms_into(phone: Phone, at: float | None) -> float:
    assert at is not None
    return round((at - phone.began_at) * 1000)
