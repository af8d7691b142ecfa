"""A worker's reports to the gateway about one call, all on the recording's time axis.

The axis begins with the first frame that the room hands to the leg: that is where the recording begins. Events are
sent one by one as they happen, so that the record of a call whose worker is killed has everything up to then.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from agent.events import RecordingPaused, RecordingResumed, SessionEvent
from gateway.calls.answered_by import AnsweredEnd
from gateway.record import CallClosed, CallEvents, LegClosed, MediaAlarm, Outcome, Recording, Tokens, event_on_axis
from telephony.call import EndedBy, LegEnded, LegEvent, LegHeld, LegResumed, outcome_kind
from telephony.media.recording import WavRecorder
from telephony.rooms.protocol import LegAudio

__all__ = ["ClockedAudio", "Journal", "LegJournal", "wall_time"]

KEY_MS = 300.0  # how long a key is pressed at most, as a rule


class ClockedAudio:
    """A leg's audio that notes when its clock began. Passes everything on; called on the media thread."""

    def __init__(self, audio: LegAudio) -> None:
        self._audio = audio
        self.began_at: float | None = None
        self.push = audio.push

    def pull(self, at: float) -> bytes:
        # The first pull only: from then on the leg calls the room itself.
        self.began_at = at
        self.pull = self._audio.pull  # type: ignore[method-assign]  # keeps the 20 ms path free of a second call
        return self._audio.pull(at)


def wall_time(at: float, now: float) -> datetime:
    """The time of day of a loop time."""
    return datetime.now(UTC) - timedelta(seconds=now - at)


class LegJournal:
    """One leg's part of the record."""

    def __init__(
        self,
        leg_id: str,
        now: Callable[[], float],
        call_id: str = "",
        send: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        """`now`: the loop clock in seconds. `send` None: somebody else reports its end."""
        self.leg_id = leg_id
        self._now = now
        self._call_id = call_id
        self._send = send
        self.answered_at: float | None = None
        self.alarms: list[tuple[float, str, str]] = []  # when, kind, detail
        self._first_rtp_at: float | None = None

    def answered(self, at: float) -> None:
        self.answered_at = at

    def first_media(self, at: float) -> None:
        self._first_rtp_at = at

    def alarm(self, kind: str, detail: str, at: float) -> None:
        self.alarms.append((at, kind, detail))

    def close(self, ended: LegEnded, *, by: EndedBy, cancelled: bool) -> None:
        """`cancelled`: by us, before an answer."""
        if self._send is None:
            return
        since = ended.at if self.answered_at is None else self.answered_at
        closed = LegClosed(
            leg_id=self.leg_id,
            call_id=self._call_id,
            outcome=self._outcome(ended, cancelled),
            ended_at=wall_time(ended.at, self._now()),
            answered_at=None if self.answered_at is None else wall_time(self.answered_at, self._now()),
            sip_status=ended.sip_status or None,
            q850_cause=ended.cause or None,
            end_reason=ended.reason,
            ended_by=by,
            media=ended.statistics,
            first_rtp_ms=self.first_rtp_ms,
            media_alarms=tuple(
                MediaAlarm(t_ms=round((at - since) * 1000, 1), kind=kind, detail=detail)
                for at, kind, detail in self.alarms
            ),
        )
        self._send(closed.to_dict())

    def _outcome(self, ended: LegEnded, cancelled: bool) -> Outcome:
        if self.answered_at is not None:
            return Outcome.ANSWERED
        return Outcome.CANCELLED if cancelled else Outcome(outcome_kind(ended.sip_status, cause=ended.cause).value)

    @property
    def first_rtp_ms(self) -> float | None:
        """From the answer to the peer's first packet."""
        if self._first_rtp_at is None or self.answered_at is None:
            return None
        return round((self._first_rtp_at - self.answered_at) * 1000, 1)


class Journal:
    """The call's."""

    def __init__(self, call_id: str, send: Callable[[dict[str, Any]], None], now: Callable[[], float]) -> None:
        """`now`: the loop clock in seconds."""
        self._call_id = call_id
        self.send = send
        self._now = now
        self._audio: ClockedAudio | None = None
        self._answered_at: float | None = None
        self._alarms: list[tuple[float, str, str]] = []
        self._told = False  # an event has been sent
        self._recorder: WavRecorder | None = None
        self._paused_by: set[str] = set()  # the session, or a command
        self._answered_end = AnsweredEnd()

    def clocked(self, audio: LegAudio) -> ClockedAudio:
        self._audio = ClockedAudio(audio)
        return self._audio

    def recorded_by(self, recorder: WavRecorder | None) -> None:
        """The recording, which the conversation's events pause."""
        self._recorder = recorder

    def answered(self, at: float) -> None:
        self._answered_at = at
        self.send(CallEvents(call_id=self._call_id, answered_at=self._wall(at)).to_dict())

    def event(self, event: SessionEvent) -> None:
        self._pause_recording(event, event.at)
        self._tell(event_on_axis(event, self._origin))

    def distant_event(self, event: SessionEvent, unix_ms: float) -> None:
        """An event of a session in another process, maybe on another machine, with a different clock. `unix_ms`: the
        time of day of the event's `at`."""
        at = self._now() - (time.time() - unix_ms / 1000)
        self._pause_recording(event, at)
        began_there = event.at - (min(at, self._now()) - self._origin)
        self._tell(event_on_axis(event, began_there))

    def _pause_recording(self, event: SessionEvent, at: float) -> None:
        """`at`: when the first key was reported, after its tone began; the last key's tone may still be sounding."""
        if isinstance(event, RecordingPaused):
            self._paused("session", since_ms=max(0.0, self._now() - at) * 1000 + KEY_MS)
        elif isinstance(event, RecordingResumed):
            self._resumed("session", after_ms=KEY_MS)

    @property
    def records(self) -> bool:
        """Whether the call has a recording."""
        return self._recorder is not None

    def pause_recording(self, paused: bool) -> None:
        """By a command, whoever talks. What the session paused stays so until it goes on itself. Idempotent."""
        if ("command" in self._paused_by) is paused:
            return
        at = self._now()
        if paused:
            self._paused("command")
            self._tell(event_on_axis(RecordingPaused(at, "asked"), self._origin))
        else:
            self._resumed("command")
            self._tell(event_on_axis(RecordingResumed(at), self._origin))

    def _paused(self, by: str, since_ms: float = 0.0) -> None:
        self._paused_by.add(by)
        if self._recorder is not None:
            self._recorder.pause(since_ms)

    def _resumed(self, by: str, after_ms: float = 0.0) -> None:
        self._paused_by.discard(by)
        if self._recorder is not None and not self._paused_by:
            self._recorder.resume(after_ms)

    def leg_event(self, event: LegEvent) -> None:
        """Hold and resumption are part of the call's events; a leg's other events are recorded elsewhere."""
        if isinstance(event, LegHeld | LegResumed):
            kind = "leg_held" if isinstance(event, LegHeld) else "leg_resumed"
            self._tell({"type": kind, "at": event.at, "t_ms": self._on_axis(event.at)})

    def _tell(self, entry: dict[str, Any]) -> None:
        self._told = True
        self._answered_end.told(entry)
        self.send(CallEvents(call_id=self._call_id, events=(entry,)).to_dict())

    def note(self, kind: str, detail: str, at: float) -> None:
        """An event of the call that is no cause for alarm."""
        entry = {"type": kind, "at": at, "t_ms": self._on_axis(at), "detail": detail}
        self.send(CallEvents(call_id=self._call_id, events=(entry,)).to_dict())

    def entry(self, kind: str, at: float, **fields: Any) -> None:
        """The same with more to say than a word."""
        told = {"type": kind, "at": at, "t_ms": self._on_axis(at), **fields}
        self.send(CallEvents(call_id=self._call_id, events=(told,)).to_dict())

    def alarm(self, kind: str, detail: str, at: float) -> None:
        """An alarm of the call; a leg's alarms go to its `LegJournal`."""
        self._alarms.append((at, kind, detail))

    def close(
        self,
        *,
        outcome: Outcome,
        customer: LegJournal,
        ended: LegEnded | None,
        by: EndedBy,
        reason: str,
        tokens: tuple[int, int],
        recording: Recording | None,
    ) -> None:
        ended_at = ended.at if ended is not None else self._now()
        if self._answered_at is not None and not self._told:  # over before there was a conversation
            self._tell({"type": "leg_ended", "at": ended_at, "t_ms": self._on_axis(ended_at), "reason": reason})
        alarms = sorted([*self._alarms, *customer.alarms])
        self.send(
            CallClosed(
                call_id=self._call_id,
                outcome=outcome,
                ended_by=by,
                ended_at=self._wall(ended_at),
                answered_at=None if self._answered_at is None else self._wall(self._answered_at),
                sip_status=(ended.sip_status or None) if ended is not None else None,
                q850_cause=(ended.cause or None) if ended is not None else None,
                end_reason=self._answered_end.reason(by, reason),
                recording=recording,
                media=ended.statistics if ended is not None else None,
                first_rtp_ms=customer.first_rtp_ms,
                media_alarms=tuple(
                    MediaAlarm(t_ms=self._on_axis(at), kind=kind, detail=detail) for at, kind, detail in alarms
                ),
                tokens=Tokens(prompt=tokens[0], completion=tokens[1]),
            ).to_dict()
        )

    @property
    def _origin(self) -> float:
        if self._audio is not None and self._audio.began_at is not None:
            return self._audio.began_at
        return self._answered_at if self._answered_at is not None else self._now()

    def _on_axis(self, at: float) -> float:
        return round((at - self._origin) * 1000, 1)

    def _wall(self, at: float) -> datetime:
        return wall_time(at, self._now())
