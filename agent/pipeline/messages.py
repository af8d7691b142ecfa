"""The caller's speech or keys as a message: recorded, and answered by whoever waits for it or by the model."""

from __future__ import annotations

from typing import Literal

from agent.events import UserMessage
from agent.history import Entry, History
from agent.pipeline.activities import Activities
from agent.pipeline.runtime import Runtime
from agent.pipeline.spoken_turn import SpokenTurn
from agent.pipeline.talker import Talker
from agent.pipeline.waterfall import Waterfall
from agent.privacy import Privacy
from agent.providers.base import ChatMessage
from agent.turns.digits import DigitEntry, DigitsEntered

__all__ = ["Messages", "waterfall_of"]


class Messages:
    def __init__(
        self, runtime: Runtime, activities: Activities, history: History, talker: Talker, privacy: Privacy
    ) -> None:
        self._runtime = runtime
        self._activities = activities
        self._history = history
        self._talker = talker
        self._privacy = privacy

    def spoken(self, text: str, turn: SpokenTurn, entry: DigitEntry | None) -> None:
        """`text`: the effective words of `turn`. `entry`: the open digit entry, which may be secret."""
        self._privacy.said(text, entry)
        self._tell(text, turn.started_at, turn.ended_at, "speech", turn.confidence)

    def keyed(self, entered: DigitsEntered) -> None:
        self._tell(entered.text, entered.started_at, entered.ended_at, "dtmf", 1.0)

    def keep(self, text: str, before: Entry | None = None) -> Entry:
        """Keep it without an answer. `before`: what was said since, before the words had arrived."""
        self._talker.next_turn()
        return self._history.add_before(before, ChatMessage("user", text))

    def answer(self, text: str, turn: SpokenTurn | None) -> None:
        """Let the function that asked answer, or else the model."""
        if self.answered(text):
            return
        number, now = self._talker.turn, self._runtime.now()
        waterfall = Waterfall(number, decided_at=now) if turn is None else waterfall_of(turn, number)
        # A caller who never stops talking is answered in between.
        forced = turn is not None and turn.reason == "forced"
        self._talker.reply(ChatMessage("user", text), waterfall, allow_interruptions=not forced)

    def answered(self, text: str) -> bool:
        """Whether a function was waiting for this message, so that it needs no answer."""
        top = self._activities.top
        if not top.asking:
            return False
        self._history.add(ChatMessage("user", text))
        return top.answer(text)

    def _tell(
        self,
        text: str,
        started_at: float,
        ended_at: float,
        source: Literal["speech", "dtmf"],
        confidence: float,
    ) -> None:
        self._runtime.emit(UserMessage(self._runtime.now(), text, started_at, ended_at, source, confidence))


def waterfall_of(turn: SpokenTurn, number: int) -> Waterfall:
    """`number`: of the caller's turns, counted from 1."""
    return Waterfall(
        number, speech_ended_at=turn.ended_at, decided_at=turn.decided_at, transcript_at=turn.transcript_at
    )
