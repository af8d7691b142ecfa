"""Tests of rooms on a clock that jumps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from agent.testing.virtual_clock import run_virtual

__all__ = ["virtual"]


def virtual(test: Callable[..., Awaitable[None]]) -> Callable[[], None]:
    def run() -> None:
        run_virtual(test())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run
