"""What the callee says while it is not known who has answered, or while the agent waits: kept, but not answered."""

from __future__ import annotations

from collections.abc import Callable

from agent.history import Entry
from agent.pipeline.listener import Heard
from agent.pipeline.messages import Messages
from agent.pipeline.spoken_turn import SpokenTurn
from agent.turns.digits import DigitEntry

__all__ = ["Unanswered"]


class Unanswered:
    """`quiet`: nothing is answered now, and nothing is asked of a silent caller. `overheard` gets all that is heard."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self.quiet = False
        self.curious = False  # words are useful before a turn is over
        self.deaf = False  # hearing was lost meanwhile
        self.overheard: Callable[[Heard], None] | None = None
        self.last: Entry | None = None  # of the messages that were kept
        self._answer: Entry | None = None  # what we said last
        self._answered_at = 0.0

    def begins(self, turn: SpokenTurn | None) -> None:
        if turn is not None and self.quiet:
            turn.kept = True

    def answers(self, entry: Entry | None, at: float) -> None:
        """We said this instead of an answer. Words of turns from before may still come: they belong before it."""
        self._answer, self._answered_at = entry, at

    def takes(self, turn: SpokenTurn) -> bool:
        return turn.kept or self.quiet

    def keep(self, text: str, turn: SpokenTurn, entry: DigitEntry | None) -> None:
        """`entry`: the open digit entry."""
        self._messages.spoken(text, turn, entry)
        before = self._answer if turn.started_at < self._answered_at else None
        self.last = self._messages.keep(text, before)

    def keyed(self, text: str) -> None:
        self._messages.keep(text)
