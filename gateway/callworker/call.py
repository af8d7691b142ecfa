"""One call inside a worker: joins leg, room and session, and is the one owner of its end.

Whatever ends first (the caller hangs up, the agent says goodbye, media never comes, the gateway drains), everything
else is ended from here, once, and one closing record is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

from agent import Agent, AgentSession
from agent.events import SessionClosed
from agent.providers.base import ProviderError
from gateway.callworker.journal import Journal
from gateway.callworker.media_watch import MediaLost, MediaWatch
from gateway.callworker.providers import ProviderSet
from gateway.config import Settings
from gateway.control import Prepare
from gateway.dialplan import PersonaRef, load_persona
from gateway.record import Outcome, Recording
from telephony.call import (
    CallInfo,
    Direction,
    EndedBy,
    FirstMedia,
    Leg,
    LegAnswered,
    LegDigit,
    LegEnded,
    LegHeld,
    LegResumed,
)
from telephony.errors import TelephonyError
from telephony.media.recording import WavRecorder
from telephony.rooms.local import LocalRoom

__all__ = ["CallOwner", "call_info"]

log = structlog.get_logger(__name__)

WARM_LIMIT_S = 2.0  # the phone rings on while providers are warmed, but not for longer than this
MEDIA_GRACE_S = 0.4  # the greeting waits this long for the caller's first packet, so that its start is heard
ANSWER_LIMIT_S = 40.0  # PJSIP gives up on a missing ACK after 32 s (RFC 3261 section 13.3.1.4)
END_LIMIT_S = 5.0
LENGTH_MARGIN_S = 60.0  # beyond the session's own cap, the reaper ends the call


class CallOwner:
    def __init__(
        self,
        leg: Leg,
        info: CallInfo,
        prepared: Prepare,
        settings: Settings,
        providers: ProviderSet,
        send: Callable[[dict[str, Any]], None],
    ) -> None:
        self._leg = leg
        self._prepared = prepared
        self._settings = settings
        self._providers = providers
        self._info = info
        self._journal = Journal(self._info.call_id, send, asyncio.get_running_loop().time)
        self._session: AgentSession | None = None
        self._answered = asyncio.Event()
        self._media = asyncio.Event()
        self._ended: asyncio.Future[LegEnded] = asyncio.get_running_loop().create_future()
        self._watch = MediaWatch(
            settings.calls.media_alarm_s, settings.calls.first_media_s, settings.calls.media_timeout_s
        )
        self._cause: tuple[EndedBy, str] | None = None
        self._draining = ""

    async def run(self) -> None:
        """From the INVITE to the closing record. Never raises, unless cancelled."""
        events = asyncio.create_task(self._follow_leg())
        recorder = self._recorder()
        room = LocalRoom(self._info.call_id, asyncio.get_running_loop(), recorder)
        try:
            await self._converse(room)
        except (TelephonyError, ProviderError, OSError, ValueError, TimeoutError) as error:
            self._failed(error)
        except Exception as error:  # noqa: BLE001 - the caller must not be left on a dead line, whatever it was
            self._failed(error)
        finally:
            await self._end_leg()
            await room.close()
            if recorder is not None:
                await recorder.close()
            events.cancel()
            self._close_record(recorder)

    def drain(self, reason: str) -> None:
        """Say goodbye and end."""
        self._draining = reason
        if self._session is not None:
            asyncio.ensure_future(self._session.drain()).add_done_callback(_log_failure)
        else:
            self.end_now(reason)

    def end_now(self, reason: str) -> None:
        """Hang up without a word."""
        self._because(EndedBy.SYSTEM, reason)
        asyncio.ensure_future(self._leg.hang_up(reason)).add_done_callback(_log_failure)

    async def _converse(self, room: LocalRoom) -> None:
        await self._leg.ring()
        persona, session = await self._prepare_session()
        if self._ended.done():
            return
        await self._leg.answer(self._journal.clocked(room.add_leg("caller")))
        if not await self._until(self._answered, ANSWER_LIMIT_S) or self._ended.done():
            return
        await self._until(self._media, MEDIA_GRACE_S)
        self._session = session
        session.subscribe(self._journal.event)
        watch = asyncio.create_task(self._watch_media())
        try:
            async with asyncio.timeout(self._settings.session.max_call_s + LENGTH_MARGIN_S):
                await session.start(agent=persona, room=room.add_agent("agent"), call=self._leg)
                if self._draining:
                    await session.drain()
                closed = await session.closed
        finally:
            watch.cancel()
        self._session_closed(closed)

    async def _prepare_session(self) -> tuple[Agent, AgentSession]:
        cls = load_persona(PersonaRef(Path(self._prepared.persona_file), self._prepared.persona_class))
        persona = cls()
        session = self._providers.session(self._prepared.speech, self._prepared.session)
        try:
            async with asyncio.timeout(WARM_LIMIT_S):
                await self._providers.warm(self._prepared.speech)
        except (ProviderError, TimeoutError) as error:
            # The session has its own answer to a provider that stays away: the caller is not refused for it.
            log.warning("provider_not_warm", error=str(error))
        return persona, session

    async def _until(self, event: asyncio.Event, limit_s: float) -> bool:
        """Wait for `event`, the end of the leg or the limit; whether the event came."""
        waiting = asyncio.ensure_future(event.wait())
        either: list[asyncio.Future[Any]] = [waiting, self._ended]
        await asyncio.wait(either, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        return event.is_set()

    async def _follow_leg(self) -> None:
        async for event in self._leg.events():
            self._journal.leg_event(event)
            match event:
                case LegAnswered(at=at):
                    self._journal.answered(at)
                    self._watch.answered(at)
                    self._answered.set()
                case FirstMedia(at=at):
                    self._journal.first_media(at)
                    self._watch.first_media(at)
                    self._media.set()
                case LegDigit(digit=digit, at=at):
                    if self._session is not None:
                        self._session.on_digit(digit, at)
                case LegHeld(at=at):
                    self._watch.held(at)
                case LegResumed(at=at):
                    self._watch.resumed(at)
                case LegEnded():
                    if event.by_peer:
                        self._because(EndedBy.CALLER, event.reason or "hung up")
                    if not self._ended.done():
                        self._ended.set_result(event)
                    if self._session is not None:
                        self._session.leg_ended()

    async def _watch_media(self) -> None:
        """No RTP and silence are different things: this is about RTP."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(1.0)
            statistics = await self._leg.statistics()
            received = statistics.packets_received if statistics is not None else 0
            for finding in self._watch.poll(received, loop.time()):
                self._journal.alarm("no_rtp", finding.text, finding.at)
                log.warning("media_missing", finding=finding.text)
                if isinstance(finding, MediaLost):
                    self.end_now(finding.text)

    def _session_closed(self, closed: SessionClosed) -> None:
        if closed.reason != "leg_ended":
            self._because(EndedBy.SYSTEM if closed.reason == "error" else EndedBy.AGENT, closed.reason)

    def _because(self, by: EndedBy, reason: str) -> None:
        """The first cause is the cause."""
        if self._cause is None:
            self._cause = (by, reason)

    def _failed(self, error: Exception) -> None:
        log.error("call_failed", error=repr(error), exc_info=error)
        self._because(EndedBy.SYSTEM, f"{type(error).__name__}: {error}")

    async def _end_leg(self) -> None:
        """Whatever happened, the leg ends: BYE, CANCEL or a final response, and its confirmation."""
        if self._session is not None:
            await self._session.aclose("leg_ended")
        if self._ended.done():
            return
        try:
            if self._answered.is_set():
                await self._leg.hang_up(self._cause[1] if self._cause else "")
            else:
                await self._leg.reject(500, "Internal error")
            async with asyncio.timeout(END_LIMIT_S):
                await asyncio.shield(self._ended)
        except (TelephonyError, TimeoutError) as error:
            log.error("leg_not_confirmed_ended", error=repr(error))

    def _recorder(self) -> WavRecorder | None:
        return WavRecorder(Path(self._prepared.recording)) if self._prepared.recording else None

    def _recording_name(self) -> str:
        """As records have it: relative to the folder of recordings."""
        path = Path(self._prepared.recording)
        folder = self._settings.recordings.resolve()
        return str(path.relative_to(folder)) if path.is_relative_to(folder) else path.name

    def _close_record(self, recorder: WavRecorder | None) -> None:
        ended = self._ended.result() if self._ended.done() else None
        by, reason = self._cause or (EndedBy.SYSTEM, "unknown")
        if self._answered.is_set():
            outcome = Outcome.ANSWERED
        elif by is EndedBy.CALLER:
            outcome = Outcome.CANCELLED
        else:
            outcome = Outcome.FAILED
        self._journal.close(
            outcome=outcome,
            ended=ended,
            by=by,
            reason=reason,
            tokens=(0, 0),
            recording=_recording(recorder, self._recording_name(), self._answered.is_set()),
        )


def call_info(fields: Mapping[str, Any]) -> CallInfo:
    """The inverse of `dataclasses.asdict`, after JSON."""
    return CallInfo(**{**fields, "direction": Direction(fields["direction"])})


def _recording(recorder: WavRecorder | None, name: str, answered: bool) -> Recording | None:
    if recorder is None or not answered:
        return None
    return Recording(
        path="" if recorder.error and not recorder.duration_ms else name,
        duration_ms=round(recorder.duration_ms),
        error=recorder.error or "",
    )


def _log_failure(task: asyncio.Future[Any]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("call_task_failed", error=repr(task.exception()))
