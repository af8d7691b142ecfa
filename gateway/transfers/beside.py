"""The agent beside one human's leg, before the customer is: what it says, who has answered, what the human asks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from agent.said import ConsultationTold, Said
from gateway.calls.conversation import Closes, Screening
from gateway.transfers.notes import said_fields
from gateway.transfers.warm_side import WarmSide
from gateway.transfers.words import Words
from telephony.errors import TelephonyError
from telephony.media.answering.model import AnsweredBy
from telephony.rooms.protocol import Participant
from telephony.warm import Warm

__all__ = ["BesideHuman", "TellsOfHuman"]

log = structlog.get_logger(__name__)


class TellsOfHuman(Protocol):
    """Facts for the transfer."""

    def spoken(self) -> None:
        """All that was to be said has been; or it can say nothing more."""

    def answered_by(self, who: AnsweredBy) -> None: ...

    def says(self, takes: bool) -> None:
        """Whether they take the customer."""


class BesideHuman:
    """`leg_id` is set once the leg has it."""

    def __init__(self, target: str, warm: Warm, side: WarmSide, tells: TellsOfHuman) -> None:
        self._target = target
        self._warm = warm
        self._side = side
        self._tells = tells
        self._loop = asyncio.get_running_loop()
        self._voice: Participant | None = None
        self._screening: Screening | None = None
        self._speaking: asyncio.Task[None] | None = None
        self._consulting: Closes | None = None
        self.leg_id = ""

    # --- who it is ---------------------------------------------------------------------------------------------------

    def listen(self) -> None:
        self._screening = self._side.screen(self.leg_id, self._warm, self._answered_by)

    def _answered_by(self, who: AnsweredBy) -> None:
        self._side.note("transfer_answered_by", {"leg_id": self.leg_id, "answered_by": who.value})
        self._tells.answered_by(who)

    def stop_listening(self) -> None:
        screening, self._screening = self._screening, None
        if screening is not None:
            screening.close()

    # --- speech ------------------------------------------------------------------------------------------------------

    def speak(self, words: Awaitable[Words], then: Callable[[], None] | None = None) -> None:
        """`then` instead of telling that it has spoken."""
        self.cut()
        self._speaking = asyncio.create_task(self._say(words, then), name=f"say to {self._target}")

    async def _say(self, words: Awaitable[Words], then: Callable[[], None] | None) -> None:
        said = await words
        try:
            played = not said.pcm or await self._played(said)
        except TelephonyError as error:  # the room is closing
            log.warning("not_said", target=self._target, error=str(error))
            return
        self._speaking = None
        if then is not None:
            then()
        elif played:
            self._tells.spoken()

    async def _played(self, said: Words) -> bool:
        """Whether all of it was."""
        output = self._place().audio_output
        began_at, at = self._loop.time(), None
        self._we_speak(True)
        try:
            output.push(said.pcm)
            output.flush()
            at = await output.wait_played(output.queued_ms)
        finally:
            self._we_speak(False)
            self._told(said.text, began_at, interrupted=at is None)
        return at is not None

    def _told(self, text: str, began_at: float, *, interrupted: bool) -> None:
        fields = {"leg_id": self.leg_id, "text": text, "started_at": began_at, "interrupted": interrupted}
        self._side.note("told_human", fields)

    def _we_speak(self, speaking: bool) -> None:
        if self._screening is not None:
            self._screening.we_speak(speaking)

    def _place(self) -> Participant:
        if self._voice is None:
            self._voice = self._side.voice(self.leg_id)
        return self._voice

    def cut(self) -> None:
        """It is silent at once, and answers nothing more. Idempotent."""
        speaking, self._speaking = self._speaking, None
        if speaking is not None and speaking is not asyncio.current_task():
            speaking.cancel()
            if self._voice is not None:
                self._voice.audio_output.clear()
        consulting, self._consulting = self._consulting, None
        if consulting is not None:
            consulting.close()

    # --- what they ask -----------------------------------------------------------------------------------------------

    def consult(self, briefed: str) -> None:
        self.cut()
        told = ConsultationTold(
            heard=self._heard,
            told=lambda said, interrupted: self._told(said.text, said.started_at, interrupted=interrupted),
            decided=self._decided,
            speaks=self._we_speak,
        )
        try:
            self._consulting = self._side.consult(self.leg_id, briefed, told)
        except TelephonyError as error:  # the room is closing
            log.warning("not_consulted", target=self._target, error=str(error))
            return
        if self._consulting is None:
            self._loop.call_soon(self._tells.spoken)

    def _heard(self, said: Said) -> None:
        self._side.note("talk_message", said_fields("human", self._target, self.leg_id, said))

    def _decided(self, takes: bool | None) -> None:
        if takes is None:
            self._tells.spoken()
        else:
            self._tells.says(takes)

    def stop(self) -> None:
        """For good. Idempotent."""
        self.stop_listening()
        self.cut()
