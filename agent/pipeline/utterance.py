"""One thing that the agent says: text comes in as it is generated, audio goes out in pieces, ahead of playback."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

from agent.history import Entry
from agent.pipeline.script import Script
from agent.providers.base import ChatMessage, ProviderError, SpokenAudio
from agent.speech.intake import Intake
from agent.speech.stage import SpeechText, SpokenPiece, spoken_piece
from agent.speech_handle import SpeechHandle

__all__ = ["Kind", "SpokenChunk", "Utterance"]

Kind = Literal["greeting", "reply", "say", "silence_prompt", "canned", "farewell", "message"]
_PIECES_AHEAD = 8
_AT_A_TIME = 512  # characters processed before yielding to the loop: about a millisecond
_WHOLE = 600  # most characters of a canned sentence spoken in one piece
_CHUNKS_AHEAD = 512  # of 20-200 ms: limits buffering when the output is full


@dataclass(frozen=True, slots=True)
class SpokenChunk:
    """Audio of one piece of the text; `last`: the piece is complete."""

    piece: int
    audio: SpokenAudio
    last: bool = False


class Utterance:
    """Written with `write` and `end`; `synthesize` runs in parallel; the speaker takes `chunks`."""

    def __init__(
        self,
        kind: Kind,
        handle: SpeechHandle,
        *,
        allow_interruptions: bool,
        voiced: bool,
        language: str = "en",
        max_characters: int = 8000,
    ) -> None:
        """Text beyond `max_characters` is neither spoken nor kept; see `full`."""
        self.kind: Kind = kind
        self.handle = handle
        self.allow_interruptions = allow_interruptions
        self.voiced = voiced
        self.sole = False  # the handle is over with it
        self.entry = Entry(ChatMessage("assistant"))
        self.script = Script()
        self.full_text = ""
        self.error: ProviderError | None = None  # the speech could not be completed
        self.written = asyncio.Event()  # all text has arrived, or no more is needed
        self.over = asyncio.Event()  # played, interrupted or dropped
        self.interrupted = False
        self.began_at: float | None = None  # its first frame was taken
        self.base_ms = 0.0  # the output's position at its beginning
        self.begins_ms = 0.0  # where playback starts in its audio: after the part heard before a hold
        self.pushed = False
        self.cut_short = False  # not all of its text became audio
        self.broken = False  # its text ended early
        self._fixed = False  # all of its text was given at once
        self.on_first_audio: Callable[[], None] = lambda: None
        self.on_started: Callable[[float], None] = lambda _: None
        self.synthesis: asyncio.Task[None] | None = None
        self.full = False  # more text arrived than allowed
        self._language = language
        self._room_left = max_characters
        self._speech = SpeechText(language)
        self._unsplit = ""  # text given at once, not yet split into pieces
        self._pieces: asyncio.Queue[SpokenPiece | None] = asyncio.Queue(_PIECES_AHEAD)
        self._chunks: asyncio.Queue[SpokenChunk | None] = asyncio.Queue()
        self._any_audio = False
        self._room = asyncio.Semaphore(_CHUNKS_AHEAD)
        self._taken: deque[SpokenChunk] = deque()  # from the current sentence on, for after a hold
        self._all_taken = False
        self.heard = ""  # of its words, before a hold
        self.before = ""  # the words before the sentence cut by a hold: they are not repeated

    async def write(self, text: str) -> None:
        """More text. Waits when synthesis is far behind."""
        if self.over.is_set() or self.written.is_set():
            return
        for part in self._parts(self._within_limit(text)):
            pieces = self._speech.push(part)
            self.full_text = self._speech.text
            self.entry.update(text=self.full_text.strip())
            await self._hand_on(pieces)
            if len(part) == _AT_A_TIME:
                await asyncio.sleep(0)

    async def end(self) -> None:
        """The text is complete."""
        if self.written.is_set():
            return
        self.written.set()
        pieces = self._speech.flush()
        self.full_text = self._speech.text.strip()
        self.entry.update(text=self.full_text)
        self.cut_short = self.cut_short or self.full or self.broken
        await self._hand_on((*pieces, None))

    def _within_limit(self, text: str) -> str:
        self.full = self.full or len(text) > self._room_left
        text = text[: self._room_left]
        self._room_left -= len(text)
        return text

    @staticmethod
    def _parts(text: str) -> Iterator[str]:
        return (text[at : at + _AT_A_TIME] for at in range(0, len(text), _AT_A_TIME))

    @property
    def worded(self) -> bool:
        """Whether it contains anything that can be spoken. Known once it has ended."""
        return self._speech.says_something if self.voiced and not self._fixed else bool(self.full_text.strip())

    async def _hand_on(self, pieces: Iterable[SpokenPiece | None]) -> None:
        if not self.voiced:
            return
        for piece in pieces:
            if self.over.is_set():
                return  # nobody reads them any more
            await self._pieces.put(piece)

    def set_text(self, text: str, *, whole: bool) -> None:
        """All of the text at once. `whole`: spoken in one piece, as canned sentences are."""
        intake = Intake()
        text = self._within_limit(text)
        self.full_text = (intake.push(text) + intake.flush()).strip()
        self.entry.update(text=self.full_text)
        self.written.set()
        self._fixed = True
        self.cut_short = self.full
        if self.voiced and whole and len(self.full_text) <= _WHOLE:
            self._pieces.put_nowait(spoken_piece(self.full_text, self._language))
            self._pieces.put_nowait(None)
        else:
            self._unsplit = self.full_text

    async def _next_pieces(self) -> AsyncIterator[SpokenPiece]:
        if self._fixed and not self.full_text:
            return
        if not self._unsplit:
            while (piece := await self._pieces.get()) is not None:
                yield piece
            return
        for part in self._parts(self._unsplit):
            for piece in self._speech.push(part):
                yield piece
            await asyncio.sleep(0)
        for piece in self._speech.flush():
            yield piece

    async def synthesize(self, speak: Callable[[str], AsyncGenerator[SpokenAudio, None]]) -> None:
        """Synthesise the text until it ends; after a failure the rest is accepted but not spoken."""
        try:
            async for piece in self._next_pieces():
                if self.error is None:
                    await self._speak_piece(speak, piece)
        finally:
            self._chunks.put_nowait(None)

    async def _speak_piece(self, speak: Callable[[str], AsyncGenerator[SpokenAudio, None]], piece: SpokenPiece) -> None:
        number = self.script.begin(piece)
        try:
            async with aclosing(speak(piece.spoken)) as stream:
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
        """After `rewind`, the chunks to repeat come first."""
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
        """Audio up to this position will not be needed again."""
        piece = self.script.piece_at(played_ms)
        while self._taken and self._taken[0].piece < piece:
            self._taken.popleft()

    def rewind(self, played_ms: float) -> None:
        """It was cut off at this position in its audio, and will be repeated from the start of that sentence."""
        self.forget(played_ms)
        piece = self.script.piece_at(played_ms)
        self.before = self.script.text_before(piece)
        self.script.rewind(piece)
        self.begins_ms = self.script.end_ms
        self.pushed = False
        self.began_at = None

    def abort(self) -> None:
        """Accept no more text or audio."""
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
            self._pieces.get_nowait()  # releases a writer waiting for room
        self.entry.update(text=heard, interrupted=interrupted)
        self.handle.text = f"{self.handle.text} {heard}".strip()
        if self.sole:
            self.handle.finish(interrupted=interrupted)
