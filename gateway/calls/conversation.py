"""The conversation of an answered call. There are two kinds: with a session of this process, and in a LiveKit room
with whoever is there. `Call` owns the legs and the end; a conversation says when it is over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from agent.answering import Answering
from agent.said import ConsultationTold, Heard
from gateway.calls.collecting import Collected, CollectOrder
from gateway.calls.early_digits import EarlyDigits
from gateway.calls.journal import Journal
from gateway.calls.verbs import DigitsOrder, TransferOrder
from telephony.call import CallInfo, CallVerbs, DialledLeg, EndedBy, TransferResult
from telephony.media.answering.model import AnsweredBy, WhoAnswered
from telephony.rooms.protocol import AudioInput, LegAudio, Participant, Recorder, Room

__all__ = [
    "CallSide",
    "Closes",
    "Conversation",
    "ConversationMaker",
    "ConversationOver",
    "MakesDetector",
    "NotTalking",
    "Screening",
]

MakesDetector = Callable[[Answering, float], WhoAnswered]  # by these limits, from the answer on; loop clock


@dataclass(frozen=True, slots=True)
class ConversationOver:
    """Who ended it and why; `by` None: the leg is gone."""

    by: EndedBy | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CallSide:
    """A conversation's view of its call. Call `hangs_up(by, reason)` when using the verbs' `hang_up`."""

    info: CallInfo
    verbs: CallVerbs  # of the customer's leg
    digits: EarlyDigits
    journal: Journal
    hangs_up: Callable[[EndedBy, str], None]
    dial: Callable[..., Awaitable[DialledLeg]]  # as `Dials.dial`
    transfer: Callable[[TransferOrder], Awaitable[TransferResult]]  # raises DialRefused
    send_digits: Callable[[DigitsOrder], Awaitable[None]]  # to any leg; raises TelephonyError
    ask_queues: Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]  # raises DialRefused


class Closes(Protocol):
    """Goes on until it is closed, which is idempotent."""

    def close(self) -> None: ...


class Screening(Closes, Protocol):
    def we_speak(self, speaking: bool) -> None: ...


class NotTalking(Exception):
    """There is no agent to speak (not yet, or no longer), or we cannot control it."""


class Conversation(Protocol):
    """In this order: `prepare`, `join`, `hold`, `stop`, `close`; the latter two in any case."""

    @property
    def begun(self) -> bool:
        """Whether it handles `leg_ended` and ends by itself; otherwise it is cancelled."""

    @property
    def tokens(self) -> tuple[int, int]:
        """Of prompts and completions so far."""

    @property
    def joins_unprepared(self) -> bool:
        """Whether `join` may come before `prepare`: then a call that we place rings during preparation."""

    @property
    def greeting_limit_s(self) -> float:
        """After `prepare`: how long it waits for the customer's first packet; 0: not at all."""

    async def prepare(self) -> None:
        """While the phone rings: prepare everything possible before the answer. An exception ends the call."""

    def join(self, recorder: Recorder | None) -> LegAudio:
        """The customer's place in the room."""

    @property
    def room(self) -> Room | None:
        """After `join`: where further legs can join. None: nowhere."""

    async def hold(self) -> ConversationOver:
        """From the answer until it is over. Takes the digits once it can use them."""

    async def apologize(self) -> None:
        """The call was answered, but there will be no conversation: tell the customer, if possible. Never
        raises."""

    def on_hold(self, held: bool) -> None:
        """The phone was put on hold, or taken back."""

    async def drain(self, reason: str) -> None:
        """End politely."""

    async def say(self, text: str, *, allow_interruptions: bool) -> None:
        """Speak in the agent's voice, after the current speech. Raises NotTalking, VerbRefused."""

    async def collect(self, order: CollectOrder) -> Collected:
        """Ask the customer for digits, the agent's own conversation standing still. Raises NotTalking, VerbRefused."""

    async def finish_speaking(self, announce: str, limit_s: float) -> None:
        """Say `announce`, if any, after what is being said; wait until it has been said, or for so long."""

    @property
    def speaks_apart(self) -> bool:
        """Whether the agent's words for others than the customer can be made here."""

    @property
    def consults(self) -> bool:
        """Whether a human may ask the agent about the caller, or hear the caller's own recorded words."""

    async def voiced(self, text: str) -> bytes:
        """The text in the agent's voice: 8 kHz audio, if only a tone because the synthesis fails. Never raises."""

    def canned(self, key: str) -> str:
        """The persona's canned phrase; empty: it has none, or there is no agent."""

    @property
    def can_screen(self) -> bool:
        """Whether `screen` finds out anything."""

    async def prepare_screening(self) -> None:
        """Before `screen`, which takes no time then."""

    def screen(self, hears: AudioInput, who: WhoAnswered, told: Callable[[AnsweredBy], None]) -> Screening | None:
        """Have `who` find out who has answered the leg that is heard there. `told` gets each verdict. None: there is no
        agent, or no VAD."""

    def listen(self, hears: AudioInput, told: Callable[[Heard], None]) -> Closes | None:
        """Put into words what is said on a leg that the agent does not hear. None as for `screen`."""

    def consult(self, place: Participant, briefed: str, told: ConsultationTold) -> Closes | None:
        """The human who is heard at `place`, and has been told `briefed`, asks the agent about the caller. None: there
        is no agent that could answer."""

    async def hand_over(self, file: str, persona: str) -> bool:
        """This persona of that file has the customer from now on, and greets them. False: there is no agent here, or
        the persona cannot be made."""

    def note(self, text: str) -> None:
        """For the model and the summary: what has happened without the agent."""

    async def briefing(self) -> str:
        """What a human who takes over should know, in the model's words; empty: it has none. May take seconds; never
        raises."""

    def set_aside(self) -> None:
        """The customer waits, or is with somebody else: the agent neither hears nor speaks, and no time runs for it,
        until `take_back`. Idempotent, and no effect without an agent."""

    def mute_caller(self, muted: bool) -> None:
        """The room keeps the customer from being heard by the agent: that is no silence of theirs."""

    def take_back(self, *, words: str = "", note: str = "") -> None:
        """`words`: the key of a canned phrase that the agent begins with; `note`: what the model is told."""

    def leg_ended(self) -> None:
        """The customer is gone. No effect if it is already ending."""

    async def stop(self) -> None:
        """Stop one that did not end by itself, or whose start failed halfway. May raise."""

    async def close(self) -> None:
        """Finally: leave the room."""

    async def summary(self, *, by_model: bool) -> tuple[str, str]:
        """After `close`: its summary and its author ("persona", "model"); empty: none. May take
        seconds."""


ConversationMaker = Callable[[CallSide], Conversation]
