"""A provider's stream with time limits and retries: retried only while it has yielded nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from agent.clock import is_our_end
from agent.providers.base import ProviderError, ProviderTimeout, ProviderUnavailable

__all__ = ["AttemptLimits", "FailureReport", "ProviderEmpty", "attempts"]

T = TypeVar("T")
FailureReport = Callable[[ProviderError, Literal["retry", "canned"]], None]


@dataclass(frozen=True, slots=True)
class AttemptLimits:
    first_ms: float  # to the first item that counts
    stall_ms: float  # between items after it
    retries: int  # after a transient error; a timeout or an empty stream is retried only once
    backoff_ms: float


async def attempts(
    provider: str,
    open_stream: Callable[[], AsyncIterator[T]],
    limits: AttemptLimits,
    report: FailureReport,
    counts: Callable[[T], bool] = lambda _: True,
    *,
    may_be_empty: bool = False,
) -> AsyncGenerator[T, None]:
    """The items of the first attempt that yields any. Each failure is reported with the reaction; the last
    one is raised as `ProviderError`. `counts`: whether an item is more than bookkeeping."""
    failed = slow = 0
    while True:
        begun = False
        try:
            async with aclosing(_timed(provider, open_stream, limits, counts)) as stream:
                async for item in stream:
                    begun = begun or counts(item)
                    yield item
            if not begun and not may_be_empty:
                raise ProviderEmpty(provider, "gave nothing")
            return
        except ProviderError as error:
            failed += 1
            slow += isinstance(error, ProviderTimeout | ProviderEmpty)
            if begun or not error.retryable or failed > limits.retries or slow > min(1, limits.retries):
                report(error, "canned")
                raise
            report(error, "retry")
        await asyncio.sleep(limits.backoff_ms * failed / 1000)


class ProviderEmpty(ProviderUnavailable):
    """The stream ended without content."""


async def _timed(
    provider: str, open_stream: Callable[[], AsyncIterator[T]], limits: AttemptLimits, counts: Callable[[T], bool]
) -> AsyncGenerator[T, None]:
    stream: Any = None
    loop = asyncio.get_running_loop()
    until = loop.time() + limits.first_ms / 1000
    what = f"nothing for {limits.first_ms:.0f} ms"
    try:
        try:
            stream = open_stream()
            while True:
                async with asyncio.timeout_at(until):
                    item = await anext(stream)
                if counts(item):
                    until = loop.time() + limits.stall_ms / 1000
                    what = f"stalled for {limits.stall_ms:.0f} ms"
                yield item
                if counts(item):
                    # The consumer's time does not count as the provider's.
                    until = max(until, loop.time() + limits.stall_ms / 1000)
        except StopAsyncIteration:
            return
        except ProviderError:
            raise
        except TimeoutError as error:
            raise ProviderTimeout(provider, what) from error
        except BaseException as error:
            if is_our_end(error):
                raise
            # Anything from a vendor's code, including its own cancellations.
            raise ProviderError(provider, f"{type(error).__name__}: {error}") from error
    finally:
        if stream is not None and hasattr(stream, "aclose"):
            with suppress(Exception):
                await stream.aclose()
