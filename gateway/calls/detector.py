"""What finds out who has answered: on a call that we place, on a LiveKit participant, on a transfer's second leg."""

from __future__ import annotations

from agent.answering import Answering
from telephony.media.answering.machine import AnsweringMachine
from telephony.media.answering.model import AnsweringEvent, WhoAnswered
from telephony.media.answering.settings import AnsweringSettings
from telephony.media.answering.tones import ToneListener
from telephony.media.answering.wording import Wording, load_wording

__all__ = ["detector_for", "detector_of_target"]


class _WithoutWords:
    """Implements `WhoAnswered`, beside a recogniser that recognises nothing: its words are no evidence."""

    def __init__(self, who: WhoAnswered) -> None:
        self.hear, self.voice, self.opinion = who.hear, who.voice, who.opinion
        self.we_speak, self.due, self.tick = who.we_speak, who.due, who.tick

    def words(self, text: str, at: float, *, final: bool) -> tuple[AnsweringEvent, ...]:
        return ()


def detector_for(answering: Answering, answered_at: float, wording: Wording, *, words: bool = True) -> WhoAnswered:
    """`answered_at`: of the 200 OK, seconds, loop clock. `words`: the recogniser understands what is said."""
    settings = AnsweringSettings(decide_s=answering.limit_s, watch_s=answering.correct_for_s)
    who = AnsweringMachine(answered_at, settings, wording=wording, tones=ToneListener())
    return who if words else _WithoutWords(who)


def detector_of_target(answering: Answering, answered_at: float) -> WhoAnswered:
    """Of a warm transfer, with the package's wording, which is read once in a process."""
    return detector_for(answering, answered_at, load_wording())
