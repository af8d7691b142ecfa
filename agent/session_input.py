"""Manual turns: the application says when to listen to the caller, and when a turn is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

__all__ = ["SessionInput", "TurnVerbs", "TurnsByHand"]


class TurnVerbs(Protocol):
    """The part that takes turns. Implemented by `agent.pipeline.turn_taking.TurnTaking`."""

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
        """False: stop listening. Earlier speech still counts. Raises SessionMisuse before the session starts."""
        self._listen(enabled)
        self._audio_enabled = enabled


class TurnsByHand:
    """Commands about the caller's turns, for any `turn_detection`."""

    def __init__(self) -> None:
        self._input = SessionInput(lambda enabled: self._turn_taking().hear(enabled))

    @property
    def input(self) -> SessionInput:
        """The caller's audio: `session.input.set_audio_enabled(False)` stops listening."""
        return self._input

    def commit_user_turn(self, *, skip_reply: bool = False) -> asyncio.Future[str]:
        """The caller is done: commit the pending turn and answer it (`skip_reply`: only keep it). Await the result for
        its words; empty: nothing was said."""
        return self._turn_taking().commit(skip_reply=skip_reply)

    def clear_user_turn(self) -> None:
        """Discard the pending user turn."""
        self._turn_taking().clear()

    def _turn_taking(self) -> TurnVerbs:
        raise NotImplementedError
