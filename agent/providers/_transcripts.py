"""How an offline recogniser passes on its texts: in order, until its error or its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from agent.providers.base import ProviderError, ProviderUnavailable, Transcript

__all__ = ["Transcripts"]


class Transcripts:
    """One stream's texts. Iterating raises the error that the recogniser failed with."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._items: asyncio.Queue[Transcript | ProviderError | None] = asyncio.Queue()

    def put(self, transcript: Transcript) -> None:
        self._items.put_nowait(transcript)

    def end(self) -> None:
        self._items.put_nowait(None)

    @contextmanager
    def telling_failures(self) -> Iterator[None]:
        """Wraps the recogniser's work: the session is told of any failure."""
        try:
            yield
        except ProviderError as error:
            self._items.put_nowait(error)
        except Exception as error:  # noqa: BLE001 - native code raises RuntimeError and ValueError at will
            failure = ProviderUnavailable(self._provider, f"{type(error).__name__}: {error}")
            failure.__cause__ = error
            self._items.put_nowait(failure)

    async def __aiter__(self) -> AsyncIterator[Transcript]:
        while (item := await self._items.get()) is not None:
            if isinstance(item, ProviderError):
                raise item
            yield item
