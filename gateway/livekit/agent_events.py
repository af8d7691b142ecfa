"""Writes to the journal the session events of an agent in another process, or transcriptions if it sends none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import structlog

from agent.events import SessionClosed, event_from_dict
from agent.privacy import Privacy
from gateway.calls.journal import Journal
from gateway.livekit.transcription import SpokenWords
from telephony.livekit.events import DataReceived, TranscriptionReceived

__all__ = ["EVENT_TOPIC", "AgentEvents"]

log = structlog.get_logger(__name__)

EVENT_TOPIC = "trunkline.event"  # data packets: a session event as JSON, with `unix_ms`, the time of day of its `at`


class AgentEvents:
    def __init__(self, journal: Journal, privacy: Privacy, caller: str, is_agent: Callable[[str | None], bool]) -> None:
        """`caller`: the phone's identity in the room. `privacy`: for agents that mask nothing themselves."""
        self._journal = journal
        self._privacy = privacy
        self._is_agent = is_agent
        self._words = SpokenWords(caller, is_agent)
        self._session_over: asyncio.Future[None] | None = None  # None: no session has told us anything
        self.tokens = (0, 0)

    @property
    def from_ours(self) -> bool:
        """Whether the agent is one of our jobs: they tell what happens."""
        return self._session_over is not None

    def data(self, event: DataReceived) -> None:
        # Data may overtake the news that its sender has joined; then the SDK does not know who it was.
        if event.identity is None or self._is_agent(event.identity):
            self._journal_event(event.payload)
        else:
            log.warning("agent_event_refused", error=f"{event.identity} is not an agent")

    def transcription(self, event: TranscriptionReceived) -> None:
        # An agent that sends session events has already reported it there, and better.
        if self._session_over is None and (said := self._words.take(event)) is not None:
            self._journal.event(self._privacy.masked(said))

    async def last(self, limit_s: float) -> None:
        """Wait for the last event of a session that sends events."""
        if self._session_over is not None:
            await asyncio.wait({self._session_over}, timeout=limit_s)

    def close(self) -> None:
        """Write the remaining words."""
        for said in self._words.rest():
            self._journal.event(self._privacy.masked(said))

    def _journal_event(self, payload: bytes) -> None:
        """Of an agent in another process, maybe on another machine: by the time of day, on our clock."""
        try:
            body = json.loads(payload)
            unix_ms, tokens = float(body.pop("unix_ms")), body.pop("tokens", None)
            event = event_from_dict(body)
            if self._session_over is None:
                self._session_over = asyncio.get_running_loop().create_future()
            if isinstance(event, SessionClosed) and not self._session_over.done():
                self._session_over.set_result(None)
            if tokens is not None:
                self.tokens = (int(tokens[0]), int(tokens[1]))
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            log.warning("agent_event_refused", error=repr(error))
            return
        self._journal.distant_event(event, unix_ms)
