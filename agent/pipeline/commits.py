"""Turns ended by the application: waiters for their words, and whether to answer them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from agent.pipeline.spoken_turn import SpokenTurn

__all__ = ["Commit", "Commits"]


@dataclass(frozen=True, slots=True)
class Commit:
    """`text` becomes the words of the turn."""

    text: asyncio.Future[str]
    answered: bool

    def done(self, text: str) -> None:
        if not self.text.done():
            self.text.set_result(text)


class Commits:
    def __init__(self) -> None:
        self._begun: Commit | None = None
        self._of_turns: dict[SpokenTurn, Commit] = {}

    def begin(self, *, answered: bool) -> Commit:
        """The next turn to be decided was ended by the application."""
        self._begun = Commit(asyncio.get_running_loop().create_future(), answered)
        return self._begun

    def decided(self, turn: SpokenTurn) -> None:
        if self._begun is not None and turn.reason == "committed":
            self._of_turns[turn] = self._begun
            self._begun = None

    def end(self) -> None:
        """If no turn has been decided since `begin`, nothing was said."""
        if self._begun is not None:
            self._begun.done("")
            self._begun = None

    def take(self, turn: SpokenTurn) -> Commit | None:
        """The commit of a turn whose words have arrived."""
        return self._of_turns.pop(turn, None)

    def forget(self) -> None:
        """No more words will arrive."""
        commits, self._of_turns = self._of_turns, {}
        for commit in commits.values():
            commit.done("")
