"""One leg from its first event to its last: what happens to it, whether its peer is alive, and its end.

Each leg has exactly one owner, and nothing else ends it. The owner does not know the call: it reports
facts to whoever has the call (`Call`), which decides by the table in `ends.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from gateway.calls.early_digits import EarlyDigits
from gateway.calls.ends import LegEnd
from gateway.calls.journal import LegJournal
from gateway.calls.media_watch import Arrivals, Finding, MediaWatch, SilenceSuppressed
from telephony.call import (
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
    LegRole,
)
from telephony.errors import TelephonyError
from telephony.rooms.protocol import LegAudio

__all__ = ["LegFact", "LegOwner", "LegUnfollowed"]

log = structlog.get_logger(__name__)

STRANGERS_ALARM = 50  # packets: fewer may come from a peer that moves, or a passing scanner
END_LIMIT_S = 5.0  # for the leg to confirm its end
WATCH_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class LegUnfollowed:
    """Its events stopped before it ended; `error`: because of this."""

    error: BaseException | None = None


LegFact = LegEvent | Finding | LegUnfollowed


class LegOwner:
    def __init__(
        self,
        leg: Leg,
        role: LegRole,
        journal: LegJournal,
        tell: Callable[[LegOwner, LegFact], None],
        watch: MediaWatch | None = None,
    ) -> None:
        """`watch` None: its audio cannot be observed here."""
        loop = asyncio.get_running_loop()
        self.leg = leg
        self.role = role
        self.journal = journal
        self.digits = EarlyDigits()
        self.key_goes: Callable[[str], bool] = lambda digit: False  # to somebody else than to `digits`, or to nobody
        self.acknowledged = asyncio.Event()  # only then does it count as answered: an INVITE may name anyone's address
        self.media = asyncio.Event()
        self.ended: asyncio.Future[LegEnded] = loop.create_future()
        self.answered_at: float | None = None  # when the 200 went out or came
        self.held = False  # by its peer
        self._held_by_us = False
        self._tell = tell
        self._watch = watch
        self._answering = False  # a 200 is in flight: the leg can no longer be refused
        self._asked_to_end = False
        self._strangers = 0  # packets from elsewhere at the last check
        self._following: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def leg_id(self) -> str:
        return self.journal.leg_id

    def follow(self) -> None:
        """Report facts from now on, until `close`."""
        self._following = asyncio.create_task(self._follow(), name="leg events")

    def close(self) -> None:
        """Stop its own activities. `end` ends the leg itself."""
        for task in (self._following, self._watching):
            if task is not None:
                task.cancel()

    # --- what happens to it --------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        error: BaseException | None = None
        try:
            async for event in self.leg.events():
                try:
                    self._event(event)
                except Exception as failure:
                    # Later events, above all the end, must not be missed.
                    log.error("leg_event_failed", leg_event=event, error=repr(failure), exc_info=failure)
        except Exception as failure:  # noqa: BLE001 - a leg that can't be followed is ended by the call's owner
            error = failure
        if not self.ended.done():
            self._tell(self, LegUnfollowed(error))

    def _event(self, event: LegEvent) -> None:
        match event:
            case LegAnswered(at=at):
                self.answered_at = at
                if self._watch is not None:
                    self._watch.answered(at)
            case LegAcknowledged(at=at):
                self.acknowledged.set()
                self.journal.answered(at if self.answered_at is None else self.answered_at)
            case FirstMedia(at=at):
                self.journal.first_media(at)
                if self._watch is not None:
                    self._watch.first_media(at)
                self.media.set()
            case LegDigit(digit=digit, at=at):
                if not self.key_goes(digit):
                    self.digits.press(digit, at)
            case LegHeld(at=at) | LegResumed(at=at):
                self._hold(isinstance(event, LegHeld), at)
            case LegEnded():
                if not self.ended.done():
                    self.ended.set_result(event)
                    self._close_journal(event)
        self._tell(self, event)

    def _close_journal(self, ended: LegEnded) -> None:
        theirs = EndedBy.CALLER if self.role is LegRole.CUSTOMER else EndedBy.HUMAN
        self.journal.close(ended, by=theirs if ended.by_peer else EndedBy.SYSTEM, cancelled=self._asked_to_end)

    def _hold(self, held: bool, at: float) -> None:
        self.held = held
        self._may_be_silent(at)

    async def hold(self, held: bool) -> None:
        """Put it on hold, or take it back. Raises TelephonyError."""
        self._held_by_us = held
        self._may_be_silent(asyncio.get_running_loop().time())
        await (self.leg.hold() if held else self.leg.resume())

    def _may_be_silent(self, at: float) -> None:
        if self._watch is not None:
            self._watch.held(at) if self.held or self._held_by_us else self._watch.resumed(at)

    @property
    def why(self) -> LegEnd:
        """Why it has ended, or could not be followed."""
        ended = self.ended.result() if self.ended.done() else None
        if ended is not None and ended.lost:
            return LegEnd.WORKER_LOST
        if self.leg.info.direction is Direction.OUTBOUND and not self.acknowledged.is_set():
            return LegEnd.NOT_ANSWERED
        if ended is not None and ended.by_peer:
            return LegEnd.HUNG_UP
        return LegEnd.ENDED_BY_US if self._asked_to_end else LegEnd.FAILED

    # --- is its peer alive? --------------------------------------------------------------------------------------

    @property
    def watches_media(self) -> bool:
        return self._watch is not None

    def watch_media(self) -> None:
        """Start once there should be some."""
        if self._watch is not None and self._watching is None:
            self._watching = asyncio.create_task(self._watch_media(self._watch), name="media watch")

    def unwatch_media(self) -> None:
        if self._watching is not None:
            self._watching.cancel()

    async def _watch_media(self, watch: MediaWatch) -> None:
        """Watches packets, including RTCP (for silence suppression); audible silence is something else."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            try:
                statistics = await self.leg.statistics()
            except TelephonyError as error:
                log.warning("no_statistics", error=repr(error))
                continue
            strangers = statistics.packets_from_strangers if statistics is not None else 0
            if strangers >= STRANGERS_ALARM > self._strangers:
                self.journal.alarm(
                    "strangers", "media from addresses other than the peer's is being dropped", loop.time()
                )
                log.warning("media_from_strangers", packets=strangers)
            self._strangers = strangers
            for finding in watch.poll(Arrivals.of(statistics), loop.time()):
                if not isinstance(finding, SilenceSuppressed):
                    self.journal.alarm("no_rtp", finding.text, finding.at)
                    log.warning("media_missing", finding=finding.text)
                self._tell(self, finding)

    # --- its answer and its end ----------------------------------------------------------------------------------

    async def answer(self, audio: LegAudio) -> None:
        """Raises what `Leg.answer` raises."""
        self._answering = True
        try:
            await self.leg.answer(audio)
        except TelephonyError:
            self._answering = False  # not even started: the error is passed on
            raise

    async def end(self, reason: str, refusal: tuple[int, str] | None = None) -> None:
        """BYE, CANCEL or a final response, and its confirmation. Never raises. `refusal`: for an unanswered inbound
        leg."""
        self._asked_to_end = True
        for _ in range(2):
            if self.ended.done():
                return
            try:
                async with asyncio.timeout(END_LIMIT_S):
                    if self._answering or refusal is None:
                        await self.leg.hang_up(reason)
                    else:
                        await self.leg.reject(*refusal)
                    await asyncio.wait({self.ended})
            except Exception as error:  # noqa: BLE001 - the rest must be ended anyway
                log.error("leg_not_confirmed_ended", error=repr(error))

    async def comes(self, what: asyncio.Event, limit_s: float) -> bool:
        """Whether `acknowledged` or `media` comes within the limit."""
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await what.wait()
        return what.is_set()
