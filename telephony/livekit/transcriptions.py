"""Agents' transcriptions of what is said, from LiveKit's text streams. Used on the asyncio loop.

An agent of livekit-agents sends its own words as one stream per segment, which grows while it talks, and the caller's
words as one stream per guess, the last of which is final. The stream's sender is who said it: LiveKit lets agents, and
nobody else, send in the name of others.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol

from telephony.livekit.events import LiveKitEvent, TranscriptionReceived

__all__ = ["TOPIC", "TextStream", "TranscriptionStreams"]

TOPIC = "lk.transcription"
_SEGMENT = "lk.segment_id"
_TRACK = "lk.transcribed_track_id"
_FINAL = "lk.transcription_final"
_LONGEST = 20_000  # characters of one segment; the rest is discarded
_MOST_STREAMS = 32  # at a time
_log = logging.getLogger(__name__)


class _Header(Protocol):
    @property
    def stream_id(self) -> str: ...

    @property
    def attributes(self) -> Mapping[str, str] | None: ...


class TextStream(Protocol):
    """Like the SDK's reader: chunks, and a header to which the end may add attributes."""

    @property
    def info(self) -> _Header: ...

    def __aiter__(self) -> AsyncIterator[str]: ...

    def close(self) -> None: ...


class TranscriptionStreams:
    """Reads the streams of one connection."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tell: Callable[[LiveKitEvent], None]) -> None:
        self._loop = loop
        self._tell = tell
        self._reading: dict[asyncio.Task[None], TextStream] = {}

    def opened(self, stream: TextStream, identity: str) -> None:
        """A participant starts a text stream on `TOPIC`."""
        if len(self._reading) >= _MOST_STREAMS:
            _log.warning("ignoring a transcription from %s: %d others are in progress", identity, len(self._reading))
            stream.close()
            return
        task = self._loop.create_task(self._read(stream, identity), name="livekit transcription")
        self._reading[task] = stream
        task.add_done_callback(lambda done: self._reading.pop(done, None))

    def close(self) -> None:
        """Stop reading. Idempotent."""
        for task, stream in list(self._reading.items()):
            task.cancel()
            stream.close()

    async def _read(self, stream: TextStream, identity: str) -> None:
        text = ""
        try:
            async for chunk in stream:
                text = (text + chunk)[:_LONGEST]
                self._told(stream, identity, text, final=False)
        except ConnectionError as error:  # from the SDK: the sender has left mid-stream
            _log.info("a transcription from %s was cut off: %s", identity, error)
            return
        if _attribute(stream, _FINAL) == "true":
            self._told(stream, identity, text, final=True)

    def _told(self, stream: TextStream, identity: str, text: str, *, final: bool) -> None:
        segment = _attribute(stream, _SEGMENT) or stream.info.stream_id
        self._tell(TranscriptionReceived(self._loop.time(), identity, segment, text, final, _attribute(stream, _TRACK)))


def _attribute(stream: TextStream, name: str) -> str:
    attributes: Mapping[str, Any] = stream.info.attributes or {}
    return str(attributes.get(name, ""))
