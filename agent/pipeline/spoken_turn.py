"""The caller's turns: words arrive late and in pieces, and turns are delivered in order."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.turns.endpointing import Decided, TurnDecided
from telephony.media.frames import AudioFrame

__all__ = ["SpokenTurn", "SpokenTurns"]


@dataclass(slots=True, eq=False)
class SpokenTurn:
    """One turn of the caller, growing as words arrive."""

    started_at: float
    ended_at: float
    texts: list[str] = field(default_factory=list)
    confidences: list[float] = field(default_factory=list)
    interim: str = ""  # words without final text yet, from a recogniser that ends turns itself
    voiced_ms: float = 0.0
    awaited: int = 0  # pieces whose text has not arrived yet
    frames: list[AudioFrame] = field(default_factory=list)  # for recognisers that need the whole turn again
    over_agent: bool = False  # the agent talked on, since it could not be interrupted
    interrupted_agent: bool = False
    cut_answer: bool = False  # and that was more than canned words
    decided_at: float | None = None
    reason: Decided = "silence"
    why: str = ""
    transcript_at: float | None = None
    failed: bool = False
    dropped: bool = False
    told: bool = False  # its end has been reported
    kept: bool = False  # its words are not answered

    @property
    def text(self) -> str:
        return " ".join(text.strip() for text in self.texts if text.strip()) or self.interim.strip()

    @property
    def confidence(self) -> float:
        return min(self.confidences, default=1.0)

    def heard(self, text: str, confidence: float, at: float, *, whole: bool) -> None:
        """Final words; `whole`: of the entire turn so far."""
        self.transcript_at = at
        self.interim = ""
        if whole:
            self.texts.clear()
            self.confidences.clear()
        self.texts.append(text)
        if text:
            self.confidences.append(confidence)


class SpokenTurns:
    """`current` is the caller's turn until it is decided. Decided turns wait for their text."""

    def __init__(self) -> None:
        self.current: SpokenTurn | None = None
        self._unready: list[SpokenTurn] = []

    @property
    def unready(self) -> bool:
        """Decided turns wait for their text."""
        return bool(self._unready)

    def begin(self, at: float) -> SpokenTurn:
        """The turn that continues at `at`, or a new one."""
        if self.current is None:
            self.current = SpokenTurn(at, at)
        return self.current

    def decide(self, decided: TurnDecided) -> SpokenTurn | None:
        turn, self.current = self.current, None
        if turn is None:
            return None
        turn.decided_at, turn.reason, turn.why = decided.at, decided.reason, decided.why
        turn.ended_at = decided.speech_ended_at
        self._unready.append(turn)
        return turn

    def answer(self) -> bool:
        """Answer the turns that were only to be kept. Returns whether there are any."""
        turns = [turn for turn in (self.current, *self._unready) if turn is not None]
        for turn in turns:
            turn.kept = False
        return bool(turns)

    def ready(self) -> SpokenTurn | None:
        """The next decided turn whose text is complete, or will never come."""
        while self._unready and (self._unready[0].awaited == 0 or self._unready[0].failed):
            turn = self._unready.pop(0)
            if not turn.dropped:
                return turn
        return None

    def drop(self) -> bool:
        """Discard it. Returns whether something was being said."""
        for turn in self._unready:
            turn.dropped = True
        self._unready.clear()
        dropped, self.current = self.current, None
        if dropped is not None:
            dropped.dropped = True
        return dropped is not None
