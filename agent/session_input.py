"""Turns by hand: the application says when the caller is heard, and when a turn is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

__all__ = ["SessionInput", "TurnVerbs", "TurnsByHand"]


class TurnVerbs(Protocol):
    """Who takes turns. Implemented by `agent.pipeline.turn_taking.TurnTaking`."""

    def commit(self, *, skip_reply: bool) -> asyncio.Future[str]: ...
    def clear(self) -> None: ...
    def hear(self, enabled: bool) -> None: ...


class SessionInput:
    def __init__(self, listen: Callable[[bool], None]) -> None:
        self._listen = listen
        self._audio_enabled = True

    @property
    def audio_enabled(self) -> bool:
        return self._audio_enabled

    def set_audio_enabled(self, enabled: bool) -> None:
        """False: nothing of the caller is heard. What was said before still is. Raises SessionMisuse before the start
        of the session."""
        self._listen(enabled)
        self._audio_enabled = enabled


class TurnsByHand:
    """What a session can be told of its caller's turns, whatever its `turn_detection` is."""

    def __init__(self) -> None:
        self._input = SessionInput(lambda enabled: self._turn_taking().hear(enabled))

    @property
    def input(self) -> SessionInput:
        """What is heard: `session.input.set_audio_enabled(False)` stops listening."""
        return self._input

    def commit_user_turn(self, *, skip_reply: bool = False) -> asyncio.Future[str]:
        """The caller is done: what was said up to now is a turn, and is answered (`skip_reply`: only kept). Await it
        for the words; empty: nothing was said."""
        return self._turn_taking().commit(skip_reply=skip_reply)

    def clear_user_turn(self) -> None:
        """Throw away what the caller has said up to now."""
        self._turn_taking().clear()

    def _turn_taking(self) -> TurnVerbs:
        raise NotImplementedError
