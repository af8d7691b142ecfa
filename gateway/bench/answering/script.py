"""A recogniser that knows the script, for languages whose voices none of ours understands: four words in five, when
Whisper would tell them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence

from agent.providers.base import Expectations, Transcript
from telephony.media.frames import FRAME_MS, AudioFrame

__all__ = ["ScriptSTT", "ScriptStream"]

_LATE_S = 0.9  # as Whisper, after the flush
_MISHEARD = 51  # of 256


class ScriptSTT:
    name = "script"
    whole_turns = True

    def __init__(self, spoken: Sequence[tuple[float, float, str]]) -> None:
        """`spoken`: start and end (seconds, the frames' clock) and words of each stretch of speech."""
        self._spoken = spoken

    def stream(self, *, language: str, expectations: Expectations) -> ScriptStream:
        return ScriptStream(self._spoken)

    async def warm(self) -> None:
        pass


class ScriptStream:
    def __init__(self, spoken: Sequence[tuple[float, float, str]]) -> None:
        self._spoken = spoken
        self._first: float | None = None
        self._last = 0.0
        self._asked: asyncio.Queue[tuple[str, float]] = asyncio.Queue()

    def push(self, frame: AudioFrame) -> None:
        if self._first is None:
            self._first = frame.at - FRAME_MS / 1000
        self._last = frame.at

    def flush(self) -> None:
        text = "" if self._first is None else self._said(self._first, self._last)
        self._first = None
        self._asked.put_nowait((text, asyncio.get_running_loop().time() + _LATE_S))

    def expect(self, expectations: Expectations) -> None:
        pass

    async def __aiter__(self) -> AsyncIterator[Transcript]:
        while True:
            text, at = await self._asked.get()
            await asyncio.sleep(max(0.0, at - asyncio.get_running_loop().time()))
            yield Transcript(text, final=True)

    async def aclose(self) -> None:
        pass

    def _said(self, since: float, until: float) -> str:
        """The words that end within this time, each as long as its letters are many."""
        said = []
        for began, ended, text in self._spoken:
            at, letters = began, len(text.replace(" ", "")) or 1
            for word in text.split():
                at += (ended - began) * len(word) / letters
                if since < at <= until + 0.05 and not _misheard(word, began):
                    said.append(word)
        return " ".join(said)


def _misheard(word: str, at: float) -> bool:
    """The same each time that a turn is heard again."""
    return hashlib.sha256(f"{word} {at:.3f}".encode()).digest()[0] < _MISHEARD
