"""Turns the transcriptions of another vendor's agent into the record's messages. Pure.

Trunkline's agents report their session's events, which contain more. livekit-agents' agents send transcriptions: then a
text's arrival is the only sign of when it was said, and nothing shows whether it was cut off.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.events import AgentMessage, SessionEvent, UserMessage
from telephony.livekit.events import TranscriptionReceived

__all__ = ["SpokenWords"]

_MOST_OPEN = 64  # segments that were begun and not ended


@dataclass(frozen=True, slots=True)
class _Segment:
    """`began_at`, `at`: when the first and the latest words of it came."""

    by_agent: bool
    began_at: float
    at: float
    text: str


class SpokenWords:
    """Of one call."""

    def __init__(self, caller: str, is_agent: Callable[[str], bool]) -> None:
        """`caller`: the phone's identity in the room. Participants other than it and agents are not in the
        transcript."""
        self._caller = caller
        self._is_agent = is_agent
        self._open: dict[tuple[str, str], _Segment] = {}

    def take(self, event: TranscriptionReceived) -> SessionEvent | None:
        """The message completed by this event."""
        key = (event.identity, event.segment)
        begun = self._open.pop(key, None)
        if begun is not None:
            segment = _Segment(begun.by_agent, begun.began_at, event.at, event.text)
        elif event.identity == self._caller:
            segment = _Segment(False, event.at, event.at, event.text)
        elif self._is_agent(event.identity):
            segment = _Segment(True, event.at, event.at, event.text)
        else:
            return None
        if event.final:
            return _message(segment)
        if len(self._open) < _MOST_OPEN:
            self._open[key] = segment
        return None

    def rest(self) -> list[SessionEvent]:
        """The call is over: write unfinished segments as far as received."""
        segments = sorted(self._open.values(), key=lambda segment: segment.at)
        self._open.clear()
        return [message for segment in segments if (message := _message(segment)) is not None]


def _message(segment: _Segment) -> SessionEvent | None:
    text = segment.text.strip()
    if not text:
        return None
    if segment.by_agent:
        return AgentMessage(segment.at, text, text, False, segment.began_at, "reply")
    return UserMessage(segment.at, text, segment.began_at, segment.at, "speech")
