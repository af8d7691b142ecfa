"""Which signals end a program politely."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

__all__ = ["leave_ending_to_the_owner", "on_stop_signals"]


def on_stop_signals(
    loop: asyncio.AbstractEventLoop, stop: Callable[[], object], once: Callable[[], object]
) -> list[int]:
    """Call `stop` on SIGTERM and SIGINT, each time, and `once` on SIGHUP, which is sent when the terminal is closed,
    often twice, or by users who expect a reload. An ignored SIGHUP stays ignored, as nohup intends. Returns the handled
    signals, for `loop.remove_signal_handler`.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return [signal.SIGTERM, signal.SIGINT]
    loop.add_signal_handler(signal.SIGHUP, once)
    return [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


def leave_ending_to_the_owner() -> None:
    """In a process whose owner ends it over its channel, so that calls end first: Ctrl-C and a closed terminal reach
    the whole process group, and some service managers send SIGTERM to all processes."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
