"""What a running warm transfer needs of its call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from agent.said import ConsultationTold
from gateway.calls.asking_caller import CallerSaid
from gateway.calls.conversation import Closes, Screening
from gateway.calls.verbs import TransferOrder
from gateway.transfers.notes import TalkNotes
from gateway.transfers.words import Says
from telephony.call import DialledLeg, TransferResult, Warm
from telephony.media.answering.model import AnsweredBy
from telephony.rooms.protocol import Participant

__all__ = ["LegTold", "WarmSide"]


@dataclass(frozen=True, slots=True)
class LegTold:
    """What is told about a human's leg: it has an id, it rings, its peer has pressed a key."""

    began: Callable[[str], None]
    rings: Callable[[], None]
    pressed: Callable[[str], None]


class WarmSide(Protocol):
    """A warm transfer's view of its call."""

    async def set_aside(self, announce: str) -> None:
        """As in `TransferSide`."""

    async def dial_apart(self, to: str, order: TransferOrder, told: LegTold) -> DialledLeg:
        """Place a leg whose peer, when it answers, hears nobody but the agent. If this is cancelled, the leg is ended.
        Raises DialRefused."""

    def voice(self, leg_id: str) -> Participant:
        """The agent's place beside that leg, which hears only it and is heard by it; later by the customer as well.
        Raises TelephonyError."""

    @property
    def can_screen(self) -> bool:
        """Whether it can be found out who has answered."""

    async def prepare_screening(self) -> None:
        """Before anybody is called whose answer is to be screened."""

    def screen(self, leg_id: str, warm: Warm, told: Callable[[AnsweredBy], None]) -> Screening | None:
        """Find out who has answered this leg, by the order's limits. `told` gets each verdict."""

    def consult(self, leg_id: str, briefed: str, told: ConsultationTold) -> Closes | None:
        """The human of this leg, who was told `briefed`, asks the agent about the customer. None: nobody could answer.
        Raises TelephonyError."""

    def take_notes(self, leg_id: str, name: str) -> TalkNotes | None:
        """What this leg, which is joined, and the customer say is written down. None: not here, or it may not be."""

    async def ask_customer(self, question: bytes) -> CallerSaid:
        """Instead of the music. Without a VAD nothing is heard, nor asked."""

    @property
    def agent(self) -> Says: ...

    @property
    def words_every_s(self) -> float:
        """How often the agent speaks to the customer meanwhile; 0: never."""

    async def tell_customer(self, pcm: bytes) -> bool:
        """Over the music. Whether all of it was played."""

    def join(self, leg_id: str) -> None:
        """This leg and the customer hear each other."""

    def back(self, result: TransferResult) -> None:
        """The customer is back with the agent."""

    def end_call(self, reason: str, *, by_target: bool) -> None: ...

    def note(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Add an event to the call."""

    def send(self, body: dict[str, Any]) -> None:
        """For the record."""
