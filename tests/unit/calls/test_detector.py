"""What finds out who has answered, beside recognisers that understand something and those that do not."""

from __future__ import annotations

import pytest

from agent.answering import Answering
from gateway.calls.detector import detector_for
from telephony.media.answering.model import AnsweredBy, Verdict
from telephony.media.answering.wording import load_wording


@pytest.mark.parametrize("words", [True, False])
def test_the_words_of_a_recogniser_that_recognises_nothing_are_no_evidence(words: bool) -> None:
    who = detector_for(Answering(), 0.0, load_wording(), words=words)
    text = "You have reached the voicemail of Ada Brown. Please leave a message after the tone."
    who.hear(bytes(320), 4.0)
    told = who.words(text, 4.0, final=True)
    assert [event.answered_by for event in told if isinstance(event, Verdict)] == [AnsweredBy.VOICEMAIL] * words
