"""How a call to something that is nobody to talk to has ended, in words."""

from __future__ import annotations

import pytest

from gateway.calls.answered_by import AnsweredEnd
from telephony.call import EndedBy
from tests.unit.store.records import message_left, verdict

DELIVERED = message_left(9000.0, delivered=True, why="beep")
NOT_DELIVERED = message_left(9000.0, delivered=False, why="never_began")


@pytest.mark.parametrize(
    ("by", "reason", "event", "words"),
    [
        (EndedBy.AGENT, "voicemail", DELIVERED, "voicemail: message delivered"),
        (EndedBy.AGENT, "voicemail", NOT_DELIVERED, "voicemail: message not delivered (never_began)"),
        (EndedBy.AGENT, "voicemail", verdict("voicemail", 100.0), "voicemail"),
        (EndedBy.AGENT, "fax", verdict("fax", 100.0), "fax"),
        (EndedBy.AGENT, "agent_ended", DELIVERED, "agent_ended"),
        (EndedBy.CALLER, "voicemail", DELIVERED, "voicemail"),
        (EndedBy.AGENT, "human", DELIVERED, "human"),
    ],
)
def test_the_reason_names_who_answered_and_what_became_of_the_message(
    by: EndedBy, reason: str, event: dict[str, object], words: str
) -> None:
    end = AnsweredEnd()
    end.told(event)
    assert end.reason(by, reason) == words
