"""What a recogniser's texts say about who has answered: patterns found, turn by turn. No text is kept but the last
turn's, for a phrase that a pause has cut in two."""

from __future__ import annotations

from collections.abc import Mapping

from telephony.media.answering.model import AnsweredBy
from telephony.media.answering.weighing import word_weight
from telephony.media.answering.wording import Strength, Wording, WordingMatch

__all__ = ["HeardWords"]

_BEEP = "beep"
_STRONGEST = tuple(Strength)


class HeardWords:
    def __init__(self, wording: Wording) -> None:
        self._wording = wording
        self._of_finals: set[WordingMatch] = set()
        self._of_last: set[WordingMatch] = set()  # final
        self._of_turn: set[WordingMatch] = set()
        self._used: set[WordingMatch] = set()
        self._last_turn = ""
        self._heard = ""
        self.ever = False  # there is a recogniser, and it hears something
        self.final_at: float | None = None

    def hear(self, text: str, at: float, *, final: bool) -> bool:
        """True: it is not what was heard before."""
        if final:
            self.final_at = at
        if not text.strip() and not final:
            return False
        self.ever = self.ever or bool(text.strip())
        if text == self._heard and not final:
            return False
        self._heard = text
        found = set(self._wording.matches(text, over=final))
        if self._last_turn and text:
            found |= set(self._wording.matches(f"{self._last_turn} {text}", over=False))
        self._of_turn = found
        if final:
            self._of_finals |= found
            self._of_last, self._of_turn = found, set()
            self._heard = ""
            self._last_turn = text
        return True

    @property
    def beep_announced(self) -> bool:
        return any(match.of == _BEEP for match in self._of_finals | self._of_turn)

    @property
    def person(self) -> bool:
        """In the present turn, or the last one: what hardly anybody but a person says."""
        found = self._of_turn if self._heard else self._of_last
        return any(match.of == AnsweredBy.HUMAN and match.strength is Strength.SURE for match in found)

    def weights(self, *, this_turn: bool = False) -> Mapping[AnsweredBy, float]:
        """Of what was found since `start_anew`. `this_turn`: only in the present turn, or the last one."""
        found = (self._of_turn if self._heard else self._of_last) if this_turn else self._of_finals | self._of_turn
        concepts: dict[AnsweredBy, dict[str, str]] = {}
        for match in found - self._used:
            if match.of != _BEEP:
                strengths = concepts.setdefault(AnsweredBy(match.of), {})
                present = strengths.get(match.concept, match.strength)
                strengths[match.concept] = min(present, match.strength, key=_STRONGEST.index)
        weights = {of: word_weight(of, strengths.values()) for of, strengths in concepts.items()}
        if Strength.SURE in concepts.get(AnsweredBy.MAILBOX_FULL, {}).values():  # it speaks of voicemail, too
            weights[AnsweredBy.MAILBOX_FULL] += weights.get(AnsweredBy.VOICEMAIL, 0.0)
        return weights

    def start_anew(self) -> None:
        """What was found has led to a verdict, and no longer counts."""
        self._used = self._of_finals | self._of_turn
