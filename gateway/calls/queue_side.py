"""What a stay in a queue needs of its call, and what its offers have of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from agent.said import ConsultationTold
from gateway.calls.asking_caller import CallerSaid
from gateway.calls.conversation import Closes, Screening
from gateway.calls.music import HoldMusic
from gateway.calls.verbs import TransferOrder
from gateway.transfers.notes import TalkNotes
from gateway.transfers.warm_side import LegTold, WarmSide
from gateway.transfers.words import Says
from telephony.call import DialledLeg, TransferResult, Warm
from telephony.media.answering.model import AnsweredBy
from telephony.rooms.protocol import Participant

__all__ = ["OfferSide", "QueueSide"]


class QueueSide(WarmSide, Protocol):
    """A stay's view of its call."""

    @property
    def caller_number(self) -> str:
        """The customer's; empty: withheld."""

    async def ask_queues(self, verb: str, **how: Any) -> Mapping[str, Any]:
        """Raises DialRefused."""

    async def wait(self, announce: str, music: HoldMusic | None) -> None:
        """The agent finishes speaking and says `announce`; then the customer hears the music."""

    def aside(self) -> None:
        """The agent stands still, whatever it was saying; the customer is about to be joined with a human."""

    def keys_to(self, takes: Callable[[str], None] | None) -> None:
        """Who takes the keys of a customer who waits."""

    def words_to(self, takes: Callable[[str], None] | None) -> None:
        """Who is told what a customer who waits says, if a recogniser is there."""

    async def with_persona(self, file: str, name: str) -> bool:
        """From now on this persona of that file has the customer, who is with the agent. False: it cannot be had."""

    def back_with(self, words: str, note: str) -> None:
        """The customer is back with the agent; `words`: the key of what it says first, unless its tool waits for the
        result."""


class TellsStay(Protocol):
    async def asked_customer(self, question: bytes) -> CallerSaid: ...

    def member_joined(self, leg_id: str) -> None: ...

    def offer_is_over(self, result: TransferResult) -> None: ...


class OfferSide:
    """Implements `WarmSide` for one offer: the customer waits in the queue whatever becomes of it, and what the record
    has is the stay."""

    words_every_s = 0.0

    def __init__(self, side: QueueSide, stay: TellsStay) -> None:
        self._side = side
        self._stay = stay
        self.prepare_screening = side.prepare_screening
        self.voice: Callable[[str], Participant] = side.voice
        self.note = side.note

    async def set_aside(self, announce: str) -> None:
        """The customer waits already, or is with the agent."""

    async def dial_apart(self, to: str, order: TransferOrder, told: LegTold) -> DialledLeg:
        return await self._side.dial_apart(to, order, told)

    @property
    def can_screen(self) -> bool:
        return self._side.can_screen

    def screen(self, leg_id: str, warm: Warm, told: Callable[[AnsweredBy], None]) -> Screening | None:
        return self._side.screen(leg_id, warm, told)

    def consult(self, leg_id: str, briefed: str, told: ConsultationTold) -> Closes | None:
        return self._side.consult(leg_id, briefed, told)

    def take_notes(self, leg_id: str, name: str) -> TalkNotes | None:
        return self._side.take_notes(leg_id, name)

    async def ask_customer(self, question: bytes) -> CallerSaid:
        """Once, however many members are rung one after the other."""
        return await self._stay.asked_customer(question)

    @property
    def agent(self) -> Says:
        return self._side.agent

    async def tell_customer(self, pcm: bytes) -> bool:
        return await self._side.tell_customer(pcm)

    def join(self, leg_id: str) -> None:
        self._stay.member_joined(leg_id)
        self._side.join(leg_id)

    def back(self, result: TransferResult) -> None:
        self._stay.offer_is_over(result)

    def end_call(self, reason: str, *, by_target: bool) -> None:
        self._side.end_call(reason, by_target=by_target)

    def send(self, body: dict[str, Any]) -> None:
        """The record has the stay."""
