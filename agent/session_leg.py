"""What the leg tells a session: keys, hold and mute. Before the start, and once the session closes, it changes nothing
(except that a hold before the start counts from the start on)."""

from __future__ import annotations

from agent.persona import Agent
from agent.pipeline.running import RunningSession

__all__ = ["LegSignals"]


class LegSignals:
    """Events from the caller's leg."""

    def __init__(self) -> None:
        self.held_before_start: float | None = None

    def on_digit(self, digit: str, at: float) -> None:
        """The caller pressed a key at loop-clock time `at`."""
        if running := self._live():
            running.turns.digit(digit, at)

    def on_hold(self, at: float) -> None:
        """The caller has put us on hold at loop-clock time `at`, or before the start: nothing is said or heard, and
        only `max_hold_ms` and `max_call_ms` keep running. Repeats change nothing."""
        self.held_before_start = at
        if running := self._live():
            running.holding.held(at)

    def on_resume(self, at: float) -> None:
        """The caller hears us again: a word of welcome (canned "welcome_back"), then the conversation continues."""
        self.held_before_start = None
        if running := self._live():
            running.holding.resumed(at)

    def set_aside(self, at: float) -> None:
        """We have put the caller on hold, or they talk with somebody else: as `on_hold`, without `max_hold_ms`."""
        if running := self._live():
            running.holding.set_aside(at)

    def take_back(self, at: float, *, words: str = "") -> None:
        """The caller is ours again. `words`: the key of a canned phrase to say instead of "welcome_back"."""
        if running := self._live():
            running.holding.taken_back(at, words)

    async def hand_over(self, agent: Agent) -> None:
        """Another persona has the caller from now on, whatever the present one was doing, and greets them."""
        if running := self._live():
            await running.talker.replace(agent)

    def mute_caller(self, muted: bool) -> None:
        """Somebody keeps the caller from being heard, which does not count as their silence."""
        if running := self._live():
            running.turns.mute(muted)

    def _live(self) -> RunningSession | None:
        """The session once started, until it closes."""
        raise NotImplementedError
