"""One call's speech recognition: pieces of speech go in, exactly one final text comes out for each, or a failure.

A piece's audio is kept until its text has come, so that a stream that breaks can be opened anew and be given it again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from agent.clock import is_our_end
from agent.pipeline.conversation import Conversation
from agent.providers.base import (
    STT,
    Expectations,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    SpeechStream,
    Transcript,
)
from agent.turns.backchannel import COMMON
from telephony.media.frames import AudioFrame

__all__ = ["Piece", "Recognizer"]


@dataclass(slots=True, eq=False)
class Piece:
    """Speech up to one flush. `done` gets its final text, or None if recognition failed for good."""

    done: Callable[[Piece, Transcript | None], None]
    frames: list[AudioFrame] = field(default_factory=list)
    whole: bool = False  # it holds the turn from its beginning: its text replaces what came before


class Recognizer:
    def __init__(self, conversation: Conversation, stt: STT, interim: Callable[[str], None]) -> None:
        self._conversation = conversation
        self._stt = stt
        self._interim = interim
        self._stream: SpeechStream | None = None
        self._reader: asyncio.Task[None] | None = None
        self._open: Piece | None = None
        self._awaiting: deque[Piece] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._reopening: asyncio.TimerHandle | None = None
        self._failed = 0  # in a row
        self._slow = 0
        self._language = ""
        self._closed = False

    def begin(self, piece: Piece) -> None:
        """Speech begins; `piece.frames` is what was heard just before."""
        if self._stream is not None and not self._awaiting and self._language != self._conversation.agent.language:
            self._disconnect()  # a handoff while the caller spoke: now is the time
        if self._stream is None and self._reopening is None:
            self._connect()
        self._open = piece
        for frame in piece.frames:
            self._to_stream(frame)

    def push(self, frame: AudioFrame) -> None:
        if self._open is not None:
            self._open.frames.append(frame)
            self._to_stream(frame)

    def flush(self) -> None:
        """The piece is over: its text is wanted."""
        piece, self._open = self._open, None
        if piece is None:
            return
        self._awaiting.append(piece)
        if self._stream is None and self._reopening is None:
            self._fail(ProviderUnavailable(self._stt.name, "no stream"))
            return
        self._flush_stream()

    def agent_changed(self) -> None:
        """Another persona expects other words, or speaks another language."""
        if self._stream is None:
            return
        idle = self._open is None and not self._awaiting
        if idle and self._conversation.agent.language != self._language:
            self._disconnect()
            self._connect()
            return
        with self._guard():
            self._stream.expect(self._expectations())

    def start(self) -> None:
        """Open the stream ahead of the first speech."""
        self._connect()

    def close(self) -> None:
        self._closed = True
        for timer in (self._timer, self._reopening):
            if timer is not None:
                timer.cancel()
        self._awaiting.clear()
        self._open = None
        self._disconnect()

    # --- the stream -----------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        self._reopening = None
        self._language = self._conversation.agent.language
        with self._guard():
            self._stream = self._stt.stream(language=self._language, expectations=self._expectations())
            self._reader = self._conversation.tasks.spawn(self._read(self._stream), "recognizer")

    def _expectations(self) -> Expectations:
        rules = self._conversation.agent.rules
        if rules is None:
            return Expectations()
        expected = rules.expectations()
        return replace(expected, phrases=(*expected.phrases, *COMMON.get(self._language.partition("-")[0], ())))

    def _reconnect(self) -> None:
        self._connect()
        for piece in list(self._awaiting):
            for frame in piece.frames:
                self._to_stream(frame)
            self._flush_stream()
        if self._open is not None:
            for frame in self._open.frames:
                self._to_stream(frame)

    def _disconnect(self) -> None:
        stream, self._stream = self._stream, None
        reader, self._reader = self._reader, None
        if reader is not None and reader is not asyncio.current_task():
            reader.cancel()
        if stream is not None:
            self._conversation.tasks.let_go(_close(stream))

    def _to_stream(self, frame: AudioFrame) -> None:
        if self._stream is not None:
            with self._guard():
                self._stream.push(frame)

    def _flush_stream(self) -> None:
        if self._stream is None:
            return
        self._arm()
        with self._guard():
            self._stream.flush()

    async def _read(self, stream: SpeechStream) -> None:
        try:
            async for transcript in stream:
                if stream is not self._stream:
                    return
                if transcript.final:
                    self._final(transcript)
                else:
                    self._interim(transcript.text)
            error: ProviderError = ProviderUnavailable(self._stt.name, "the stream ended")
        except ProviderError as provider_error:
            error = provider_error
        except BaseException as other:
            if is_our_end(other):
                raise
            error = ProviderError(self._stt.name, f"{type(other).__name__}: {other}")
        if stream is self._stream and not self._closed:
            self._fail(error)

    def _final(self, transcript: Transcript) -> None:
        if not self._awaiting:
            return
        piece = self._awaiting.popleft()
        self._failed = self._slow = 0
        self._arm()
        piece.done(piece, transcript)

    # --- faults ---------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._awaiting:
            wait_s = self._conversation.options.stt_final_ms / 1000
            self._timer = self._conversation.loop.call_later(wait_s, self._too_late)

    def _too_late(self) -> None:
        self._timer = None
        wait_ms = self._conversation.options.stt_final_ms
        self._fail(ProviderTimeout(self._stt.name, f"no final text within {wait_ms:.0f} ms"))

    def _fail(self, error: ProviderError) -> None:
        if self._closed:
            return
        self._disconnect()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        options = self._conversation.options
        self._failed += 1
        self._slow += isinstance(error, ProviderTimeout)
        if error.retryable and self._failed <= options.retries and self._slow <= min(1, options.retries):
            self._conversation.provider_failed("stt", error, "retry")
            wait_s = options.retry_backoff_ms * self._failed / 1000
            self._reopening = self._conversation.loop.call_later(wait_s, self._reconnect)
            return
        # The next piece of speech tries again.
        self._failed = self._slow = 0
        lost, self._awaiting = list(self._awaiting), deque()
        self._conversation.provider_failed("stt", error, "canned" if lost else "ignored")
        for piece in lost:
            piece.done(piece, None)

    def _guard(self) -> _Guard:
        return _Guard(self)

    def broke(self, error: Exception) -> None:
        """A call into the stream raised."""
        failure = error if isinstance(error, ProviderError) else ProviderError(self._stt.name, repr(error))
        self._fail(failure)


class _Guard:
    """Whatever the stream raises while it is called becomes a failure of the recognizer."""

    def __init__(self, recognizer: Recognizer) -> None:
        self._recognizer = recognizer

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, Exception):
            self._recognizer.broke(error)
            return True
        return False


async def _close(stream: SpeechStream) -> None:
    with suppress(Exception):
        await stream.aclose()
