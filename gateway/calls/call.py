"""One call inside a worker: joins leg and conversation, and is the one owner of its end.

Whatever ends first (the caller hangs up, the agent says goodbye, media never comes, the gateway drains), everything
else is ended from here, once, and one closing record is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from gateway.calls.conversation import Conversation, ConversationOver
from gateway.calls.journal import Journal
from gateway.calls.local import LocalConversation
from gateway.calls.media_watch import Arrivals, MediaLost, MediaWatch, SilenceSuppressed
from gateway.calls.providers import ProviderSet
from gateway.config import Settings
from gateway.control import Prepare
from gateway.record import Outcome, Recording
from telephony.call import (
    CallInfo,
    Direction,
    EndedBy,
    FirstMedia,
    Leg,
    LegAcknowledged,
    LegAnswered,
    LegDigit,
    LegEnded,
    LegEvent,
    LegHeld,
    LegResumed,
)
from telephony.errors import LegEndedError, TelephonyError
from telephony.media.recording import WavRecorder

__all__ = ["CallOwner", "ConversationMaker", "call_info"]

log = structlog.get_logger(__name__)

MEDIA_GRACE_S = 0.4  # the greeting waits this long for the caller's first packet, so that its start is heard
STRANGERS_ALARM = 50  # packets: less is a peer that moves, or a scanner that passes by
ANSWER_LIMIT_S = 40.0  # PJSIP gives up on a missing ACK after 32 s (RFC 3261 section 13.3.1.4)
END_LIMIT_S = 5.0  # for the leg to confirm its end
SESSION_LIMIT_S = 12.0  # for the session to close: a persona's `on_exit` may take 10 s
RECORDING_LIMIT_S = 5.0  # a disk that stalls must not keep the slot

# (the leg, what the gateway said of the call, its journal, what to call before the conversation hangs up)
ConversationMaker = Callable[[Leg, Prepare, Journal, Callable[[EndedBy, str], None]], Conversation]


class CallOwner:
    """`run` waits for whatever comes first: the conversation is over, the leg has ended, somebody wants the end.
    Nothing but `_wind_up` ends anything; all others say why and let it."""

    def __init__(
        self,
        leg: Leg,
        info: CallInfo,
        prepared: Prepare,
        settings: Settings,
        providers: ProviderSet,
        send: Callable[[dict[str, Any]], None],
        conversation: ConversationMaker | None = None,
    ) -> None:
        """`conversation`: None for one with a session of ours in a local room."""
        self._leg = leg
        self._prepared = prepared
        self._settings = settings
        self._info = info
        self._journal = Journal(self._info.call_id, send, asyncio.get_running_loop().time)
        self._recorder: WavRecorder | None = None
        self._recording_trouble = ""
        self._conversation: Conversation = (
            LocalConversation(leg, prepared, providers, self._journal.event, self._because)
            if conversation is None
            else conversation(leg, prepared, self._journal, self._because)
        )
        self._answering = False  # a 200 is on its way: the leg can't be refused any more
        self._answered_at: float | None = None  # when the 200 went out
        self._acknowledged = asyncio.Event()  # only then has the call been answered: an INVITE may name anybody
        self._media = asyncio.Event()
        self._over = asyncio.Event()  # the leg has ended, or is to be ended
        self._ended: asyncio.Future[LegEnded] = asyncio.get_running_loop().create_future()
        limits = settings.calls
        self._watch = MediaWatch(
            limits.media_alarm_s,
            limits.first_media_s,
            limits.media_timeout_s,
            suppresses_silence=leg.suppresses_silence,
        )
        self._cause: tuple[EndedBy, str] | None = None
        self._strangers = 0  # packets from elsewhere, when last looked at
        self._refusal = (503, "Service Unavailable")  # for a leg that has not been answered yet
        self._goodbye: asyncio.Task[None] | None = None

    async def summary(self, *, by_model: bool) -> tuple[str, str]:
        """After `run`: the call's summary, and whose words it is; empty: none. May take seconds."""
        return await self._conversation.summary(by_model=by_model)

    async def run(self) -> None:
        """From the INVITE to the closing record. Never raises, unless cancelled."""
        following = asyncio.create_task(self._follow_leg(), name="leg events")
        conversing = asyncio.create_task(self._converse(), name="conversation")
        over = asyncio.create_task(self._over.wait(), name="end of the call")
        try:
            await asyncio.wait({conversing, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            try:
                await self._wind_up(conversing)
            finally:
                for task in (over, conversing, following):
                    task.cancel()
                self._close_record()

    def drain(self, reason: str) -> None:
        """Say goodbye and end."""
        if not self._conversation.begun:
            self.end_now(reason)
        elif self._goodbye is None:
            self._goodbye = asyncio.create_task(self._say_goodbye(reason), name="goodbye")

    def end_now(self, reason: str, by: EndedBy = EndedBy.SYSTEM) -> None:
        """Hang up without a word."""
        self._because(by, reason)
        self._over.set()

    async def _say_goodbye(self, reason: str) -> None:
        try:
            await self._conversation.drain(reason)
        except Exception as error:
            # Then without a goodbye.
            log.error("goodbye_failed", error=repr(error), exc_info=error)
            self.end_now(reason)

    # --- the call ------------------------------------------------------------------------------------------------

    async def _converse(self) -> None:
        """From ringing to the end of the conversation. Cancelled when the leg ends before there is one."""
        try:
            await self._answer_and_talk()
        except LegEndedError:
            # The caller was faster than we were; the leg's last event says how it ended.
            await asyncio.wait({self._ended}, timeout=END_LIMIT_S)
        except Exception as error:  # noqa: BLE001 - the caller must not be left on a dead line, whatever it was
            self._failed(error)

    async def _answer_and_talk(self) -> None:
        await self._leg.ring()
        await self._conversation.prepare()
        if self._over.is_set():
            return
        self._recorder = WavRecorder(Path(self._prepared.recording)) if self._prepared.recording else None
        self._journal.recorded_by(self._recorder)
        audio = self._journal.clocked(self._conversation.join(self._recorder))
        self._answering = True
        try:
            await self._leg.answer(audio)
        except TelephonyError:
            self._answering = False  # not even begun: the caller is told what is the matter
            raise
        if not await _comes(self._acknowledged, ANSWER_LIMIT_S):
            self._because(EndedBy.SYSTEM, "no ACK came for the answer")
            return
        since_answer = asyncio.get_running_loop().time() - (self._answered_at or 0.0)
        await _comes(self._media, max(0.0, MEDIA_GRACE_S - since_answer))
        watch = asyncio.create_task(self._watch_media(), name="media watch")
        try:
            self._talked(await self._conversation.hold())
        finally:
            watch.cancel()

    # --- what happens to the leg ---------------------------------------------------------------------------------

    async def _follow_leg(self) -> None:
        try:
            async for event in self._leg.events():
                try:
                    self._leg_event(event)
                except Exception as error:
                    # What comes next, the end above all, must not be missed.
                    log.error("leg_event_failed", leg_event=event, error=repr(error), exc_info=error)
            if not self._ended.done():
                self._because(EndedBy.SYSTEM, "the leg has gone without a word")
        except Exception as error:  # noqa: BLE001 - a leg that can't be followed is ended
            self._failed(error)
        self._over.set()

    def _leg_event(self, event: LegEvent) -> None:
        match event:
            case LegAnswered(at=at):
                self._watch.answered(at)
                self._answered_at = at
            case LegAcknowledged(at=at):
                self._acknowledged.set()
                self._journal.answered(at if self._answered_at is None else self._answered_at)
            case FirstMedia(at=at):
                self._journal.first_media(at)
                self._watch.first_media(at)
                self._media.set()
            case LegDigit(digit=digit, at=at):
                self._conversation.digit(digit, at)
            case LegHeld(at=at):
                self._watch.held(at)
                self._journal.leg_event(event)
                self._conversation.on_hold(True)
            case LegResumed(at=at):
                self._watch.resumed(at)
                self._journal.leg_event(event)
                self._conversation.on_hold(False)
            case LegEnded():
                if event.by_peer:
                    self._because(EndedBy.CALLER, event.reason or "hung up")
                if not self._ended.done():
                    self._ended.set_result(event)
                self._over.set()

    async def _watch_media(self) -> None:
        """No packets and silence are different things: this is about packets, RTCP among them (silence suppression)."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(1.0)
            try:
                statistics = await self._leg.statistics()
            except TelephonyError as error:
                log.warning("no_statistics", error=repr(error))
                continue
            strangers = statistics.packets_from_strangers if statistics is not None else 0
            if strangers >= STRANGERS_ALARM > self._strangers:
                self._journal.alarm(
                    "strangers", "media from elsewhere than the peer comes, and is dropped", loop.time()
                )
                log.warning("media_from_strangers", packets=strangers)
            self._strangers = strangers
            for finding in self._watch.poll(Arrivals.of(statistics), loop.time()):
                if isinstance(finding, SilenceSuppressed):
                    self._journal.note("silence_suppressed", finding.text, finding.at)
                    continue
                self._journal.alarm("no_rtp", finding.text, finding.at)
                log.warning("media_missing", finding=finding.text)
                if isinstance(finding, MediaLost):
                    self.end_now(finding.text)

    # --- why it ends ---------------------------------------------------------------------------------------------

    def _talked(self, over: ConversationOver) -> None:
        if over.by is not None:
            self._because(over.by, over.reason)

    def _because(self, by: EndedBy, reason: str) -> None:
        """The first cause is the cause."""
        if self._cause is None:
            self._cause = (by, reason)

    def _failed(self, error: BaseException) -> None:
        log.error("call_failed", error=repr(error), exc_info=error)
        self._because(EndedBy.SYSTEM, f"{type(error).__name__}: {error}")
        if not (isinstance(error, TelephonyError) and error.sip_status == 503):
            self._refusal = (500, "Internal error")

    # --- the end -------------------------------------------------------------------------------------------------

    async def _wind_up(self, conversing: asyncio.Task[None]) -> None:
        """Whatever happened: the leg ends, then the conversation, then the room and its recording."""
        if not self._conversation.begun:
            conversing.cancel()  # it rings, or waits for the ACK
        await self._end_leg()
        await self._close_conversation(conversing)
        await self._close_recorder()

    async def _end_leg(self) -> None:
        """BYE or a final response, and its confirmation."""
        for _ in range(2):
            if self._ended.done():
                return
            try:
                async with asyncio.timeout(END_LIMIT_S):
                    if self._answering:
                        await self._leg.hang_up(self._cause[1] if self._cause else "")
                    else:
                        await self._leg.reject(*self._refusal)
                    await asyncio.wait({self._ended})
            except Exception as error:  # noqa: BLE001 - the rest has to be ended all the same
                log.error("leg_not_confirmed_ended", error=repr(error))

    async def _close_conversation(self, conversing: asyncio.Task[None]) -> None:
        self._conversation.leg_ended()  # no effect when it is ending by itself
        await asyncio.wait({conversing}, timeout=SESSION_LIMIT_S)
        if not conversing.done():
            log.error("session_not_closed")
        conversing.cancel()
        for step in (self._conversation.stop, self._conversation.close):
            try:
                async with asyncio.timeout(END_LIMIT_S):
                    await step()
            except Exception as error:  # noqa: BLE001 - the record has to be closed all the same
                log.error("session_not_closed", error=repr(error))

    async def _close_recorder(self) -> None:
        if self._recorder is None:
            return
        try:
            async with asyncio.timeout(RECORDING_LIMIT_S):
                await self._recorder.close()
        except TimeoutError:
            self._recording_trouble = "the recording was not complete when the call was over"
        if not self._acknowledged.is_set():
            self._recorder.path.unlink(missing_ok=True)  # nothing was said

    def _recording_name(self) -> str:
        """As records have it: relative to the folder of recordings."""
        path = Path(self._prepared.recording)
        folder = self._settings.recordings.resolve()
        return str(path.relative_to(folder)) if path.is_relative_to(folder) else path.name

    def _recording(self) -> Recording | None:
        recorder = self._recorder
        if recorder is None or not self._acknowledged.is_set():
            return None
        return Recording(
            path="" if recorder.error and not recorder.duration_ms else self._recording_name(),
            duration_ms=round(recorder.duration_ms),
            error=recorder.error or self._recording_trouble,
        )

    def _close_record(self) -> None:
        ended = self._ended.result() if self._ended.done() else None
        # Without a cause of ours and without the caller's it was PJSIP: no ACK came, no codec in common.
        by, reason = self._cause or (EndedBy.SYSTEM, ended.reason if ended is not None else "the leg never ended")
        if self._acknowledged.is_set():
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
            tokens=self._conversation.tokens,
            recording=self._recording(),
        )


def call_info(fields: Mapping[str, Any]) -> CallInfo:
    """The inverse of `dataclasses.asdict`, after JSON."""
    return CallInfo(**{**fields, "direction": Direction(fields["direction"])})


async def _comes(event: asyncio.Event, limit_s: float) -> bool:
    """Whether the event comes within the limit."""
    with suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            await event.wait()
    return event.is_set()
