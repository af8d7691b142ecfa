"""What finds out who has answered: on a call that we place, on a LiveKit participant, on a transfer's second leg."""

from __future__ import annotations

from agent.answering import Answering
from telephony.media.answering.machine import AnsweringMachine
from telephony.media.answering.model import WhoAnswered
from telephony.media.answering.settings import AnsweringSettings
from telephony.media.answering.tones import ToneListener
from telephony.media.answering.wording import Wording

__all__ = ["detector_for"]


def detector_for(answering: Answering, answered_at: float, wording: Wording) -> WhoAnswered:
    """`answered_at`: of the 200 OK, seconds, loop clock."""
    settings = AnsweringSettings(decide_s=answering.limit_s, watch_s=answering.correct_for_s)
    return AnsweringMachine(answered_at, settings, wording=wording, tones=ToneListener())
