"""One thing that the agent says: text comes in while it is made, audio goes out in pieces, ahead of its turn."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

from agent.history import Entry
from agent.pipeline.script import Script
from agent.pipeline.segment import Segmenter
from agent.providers.base import ChatMessage, ProviderError, SpokenAudio
from agent.speech_handle import SpeechHandle

__all__ = ["Kind", "SpokenChunk", "Utterance"]

Kind = Literal["greeting", "reply", "say", "silence_prompt", "canned", "farewell"]
_PIECES_AHEAD = 8
_CHUNKS_AHEAD = 512  # of 20-200 ms: bounds what is kept when the output is full


@dataclass(frozen=True, slots=True)
class SpokenChunk:
    """Audio of one piece of the text; `last`: the piece is complete."""

    piece: int
    audio: SpokenAudio
    last: bool = False


class Utterance:
    """Written with `write` and `end`; `synthesize` runs beside it; the speaker takes `chunks`."""

    def __init__(self, kind: Kind, handle: SpeechHandle, *, allow_interruptions: bool, voiced: bool) -> None:
        self.kind: Kind = kind
        self.handle = handle
        self.allow_interruptions = allow_interruptions
        self.voiced = voiced
        self.sole = False  # the handle is over with it
        self.entry = Entry(ChatMessage("assistant"))
        self.script = Script()
        self.full_text = ""
        self.error: ProviderError | None = None  # the speech could not be made to its end
        self.written = asyncio.Event()  # all text is there, or no more is wanted
        self.over = asyncio.Event()  # played, interrupted or dropped
        self.interrupted = False
        self.began_at: float | None = None  # its first frame was taken
        self.base_ms = 0.0  # the output's position at its beginning
        self.begins_ms = 0.0  # where in its audio it begins: behind what was heard before a hold
        self.pushed = False
        self.cut_short = False  # not all of its text became audio
        self.on_first_audio: Callable[[], None] = lambda: None
        self.on_started: Callable[[float], None] = lambda _: None
        self.synthesis: asyncio.Task[None] | None = None
        self._segmenter = Segmenter()
        self._pieces: asyncio.Queue[str | None] = asyncio.Queue(_PIECES_AHEAD)
        self._chunks: asyncio.Queue[SpokenChunk | None] = asyncio.Queue()
        self._any_audio = False
        self._room = asyncio.Semaphore(_CHUNKS_AHEAD)
        self._taken: deque[SpokenChunk] = deque()  # from the sentence that is being heard on, for after a hold
        self._all_taken = False
        self.heard = ""  # of its words, before a hold
        self.before = ""  # the words before the sentence that a hold has cut: they are not said again

    async def write(self, text: str) -> None:
        """More text. Waits when synthesis is far behind."""
        if self.over.is_set() or self.written.is_set():
            return
        self.full_text += text
        self.entry.update(text=self.full_text.strip())
        if self.voiced:
            await self._hand_on(self._segmenter.push(text))

    async def end(self) -> None:
        """The text is complete."""
        if self.written.is_set():
            return
        self.written.set()
        self.full_text = self.full_text.strip()
        if self.voiced:
            await self._hand_on((*self._segmenter.flush(), None))

    async def _hand_on(self, pieces: Iterable[str | None]) -> None:
        for piece in pieces:
            if self.over.is_set():
                return  # nobody takes them any more
            await self._pieces.put(piece)

    def set_text(self, text: str, *, whole: bool) -> None:
        """All of the text at once. `whole`: spoken in one piece, as canned sentences are."""
        self.full_text = text.strip()
        self.entry.update(text=self.full_text)
        self.written.set()
        if self.voiced:
            pieces = (self.full_text,) if whole else (*self._segmenter.push(self.full_text), *self._segmenter.flush())
            self._pieces = asyncio.Queue()
            for piece in (*pieces, None):
                self._pieces.put_nowait(piece or None)

    async def synthesize(self, speak: Callable[[str], AsyncGenerator[SpokenAudio, None]]) -> None:
        """Make audio of the text until it ends; after a failure the rest of the text is taken in unspoken."""
        try:
            while (text := await self._pieces.get()) is not None:
                if self.error is None:
                    await self._speak_piece(speak, text)
        finally:
            self._chunks.put_nowait(None)

    async def _speak_piece(self, speak: Callable[[str], AsyncGenerator[SpokenAudio, None]], text: str) -> None:
        number = self.script.begin(text)
        try:
            async with aclosing(speak(text)) as stream:
                async for audio in stream:
                    if not self._any_audio:
                        self._any_audio = True
                        self.on_first_audio()
                    await self._put(SpokenChunk(number, audio))
            await self._put(SpokenChunk(number, SpokenAudio(b""), last=True))
        except ProviderError as error:
            self.error = error
            self._chunks.put_nowait(None)

    async def _put(self, chunk: SpokenChunk) -> None:
        await self._room.acquire()
        self._chunks.put_nowait(chunk)

    async def chunks(self) -> AsyncIterator[SpokenChunk]:
        """After `rewind`, those that were taken and are to be heard again come first."""
        for chunk in tuple(self._taken):
            yield chunk
        while not self._all_taken:
            fresh = await self._chunks.get()
            if fresh is None:
                self._all_taken = True
                return
            self._taken.append(fresh)
            self._room.release()
            yield fresh

    def forget(self, played_ms: float) -> None:
        """What was heard up to this place of its audio will not be needed again."""
        piece = self.script.piece_at(played_ms)
        while self._taken and self._taken[0].piece < piece:
            self._taken.popleft()

    def rewind(self, played_ms: float) -> None:
        """It was cut off at this place of its audio, and will be said again from the beginning of that sentence."""
        self.forget(played_ms)
        piece = self.script.piece_at(played_ms)
        self.before = self.script.text_before(piece)
        self.script.rewind(piece)
        self.begins_ms = self.script.end_ms
        self.pushed = False
        self.began_at = None

    def abort(self) -> None:
        """No more text and no more audio than there is."""
        if self.synthesis is None or not self.synthesis.done():
            self.cut_short = True
        self.written.set()
        if self.synthesis is not None:
            self.synthesis.cancel()
        self._chunks.put_nowait(None)

    def finish(self, *, heard: str, interrupted: bool) -> None:
        """It is over; `heard`: the words that reached the caller."""
        if self.over.is_set():
            return
        if len(heard) < len(self.heard):
            heard = self.heard
        self.interrupted = interrupted
        self._taken.clear()
        self.over.set()
        self.written.set()
        if self.synthesis is not None:
            self.synthesis.cancel()
        while not self._pieces.empty():
            self._pieces.get_nowait()  # lets go of a writer that waits for room
        self.entry.update(text=heard, interrupted=interrupted)
        self.handle.text = f"{self.handle.text} {heard}".strip()
        if self.sole:
            self.handle.finish(interrupted=interrupted)
