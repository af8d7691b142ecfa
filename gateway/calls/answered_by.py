"""How a call to something that is nobody to talk to has ended, in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.record.answering import MESSAGE
from telephony.call import EndedBy
from telephony.media.answering.model import AnsweredBy

__all__ = ["AnsweredEnd"]

_NOBODY = frozenset(each.value for each in AnsweredBy) - {AnsweredBy.HUMAN, AnsweredBy.UNKNOWN}


class AnsweredEnd:
    """`told` gets each event of the call."""

    def __init__(self) -> None:
        self._message: Mapping[str, Any] | None = None

    def told(self, event: Mapping[str, Any]) -> None:
        if event.get("type") == MESSAGE:
            self._message = event

    def reason(self, by: EndedBy, reason: str) -> str:
        """`reason`: the session's, which names who answered if that is why it ended."""
        if by is not EndedBy.AGENT or reason not in _NOBODY:
            return reason
        if self._message is None:
            return reason
        if self._message.get("delivered") is True:
            return f"{reason}: message delivered"
        return f"{reason}: message not delivered ({self._message.get('why')})"
