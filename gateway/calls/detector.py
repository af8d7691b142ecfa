"""What finds out who has answered: on a call that we place, on a LiveKit participant, on a transfer's second leg."""

from __future__ import annotations

from agent.answering import Answering
from telephony.media.answering.machine import AnsweringMachine
from telephony.media.answering.model import WhoAnswered
from telephony.media.answering.settings import AnsweringSettings
from telephony.media.answering.tones import ToneListener
from telephony.media.answering.wording import Wording, load_wording

__all__ = ["detector_for", "detector_of_target"]


def detector_for(answering: Answering, answered_at: float, wording: Wording) -> WhoAnswered:
    """`answered_at`: of the 200 OK, seconds, loop clock."""
    settings = AnsweringSettings(decide_s=answering.limit_s, watch_s=answering.correct_for_s)
    return AnsweringMachine(answered_at, settings, wording=wording, tones=ToneListener())


def detector_of_target(answered_at: float) -> WhoAnswered:
    """Of a warm transfer, with the defaults and the package's wording, which is read once in a process."""
    return detector_for(Answering(), answered_at, load_wording())
