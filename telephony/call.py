"""The call protocol: what a call is, what happens to it, and what can be done with it.

Every trunk driver (pjsua here, LiveKit SIP and Twilio later) speaks this protocol, so that rooms,
agents and dialplans never know which one carried the call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from telephony.keys import DigitSource, KeyFigures
from telephony.outcomes import CallOutcome, OutcomeKind, outcome_kind
from telephony.queue import QueueAsk, QueueEnd, QueueResult
from telephony.rooms.protocol import LegAudio
from telephony.warm import SummaryBy, Warm

__all__ = [
    "AfterTransfer",
    "AsksQueues",
    "CallInfo",
    "CallOutcome",
    "CallVerbs",
    "DialledLeg",
    "Dials",
    "DigitSource",
    "Direction",
    "Diversion",
    "EndedBy",
    "FirstMedia",
    "Leg",
    "LegAcknowledged",
    "LegAnswered",
    "LegDigit",
    "LegEnded",
    "LegEvent",
    "LegHeld",
    "LegResumed",
    "LegRinging",
    "LegRole",
    "MediaStatistics",
    "OutcomeKind",
    "QueueAsk",
    "QueueEnd",
    "QueueResult",
    "SendsToLegs",
    "SummaryBy",
    "TransferEnd",
    "TransferOutcome",
    "TransferResult",
    "Transfers",
    "UseRefer",
    "Warm",
    "outcome_kind",
]


class Direction(StrEnum):
    """From our point of view."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class LegRole(StrEnum):
    """What a leg is to its call."""

    CUSTOMER = "customer"  # the outside party that the call is with: its first leg
    HUMAN = "human"  # who was brought in: a transfer's target, a queue's member, a desk
    SUPERVISOR = "supervisor"  # who listens in


class EndedBy(StrEnum):
    """Who ended a call or a leg."""

    CALLER = "caller"
    HUMAN = "human"  # who was brought into the call, or a supervisor
    AGENT = "agent"  # end_call, silence ladder, length cap, drain
    SYSTEM = "system"  # refused, worker lost, media never came


@dataclass(frozen=True, slots=True)
class Diversion:
    """A number that forwarded the call. `reason`: as in RFC 5806 ("unconditional", "user-busy", "no-answer"…), or
    empty."""

    number: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CallInfo:
    """One call attempt. Numbers are E.164 with `+` where they could be normalised, else as received."""

    call_id: str  # assigned by us; appears in every log line, record and file name
    direction: Direction
    called: str
    caller: str | None  # None: withheld
    trunk: str
    sip_call_id: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)  # X-… headers of the INVITE
    variables: Mapping[str, str] = field(default_factory=dict)  # given with a call that we place, or by the trunk
    diversions: tuple[Diversion, ...] = ()  # who forwarded a call that came in, the latest first

    def __post_init__(self) -> None:
        """`diversions` may come as JSON has them."""
        read = (each if isinstance(each, Diversion) else Diversion(**each) for each in self.diversions)
        object.__setattr__(self, "diversions", tuple(read))


@dataclass(frozen=True, slots=True)
class TransferOutcome:
    """The result of a cold transfer (REFER, RFC 3515). ANSWERED: the target has taken the call, which is no longer
    ours. Otherwise we still have the call. `sip_status`: the REFER's if that was refused, else the status of the call
    to the target as reported by NOTIFY; 0 when neither came."""

    kind: OutcomeKind
    sip_status: int
    text: str

    @property
    def transferred(self) -> bool:
        return self.kind is OutcomeKind.ANSWERED


class TransferEnd(StrEnum):
    """What became of bringing the customer to somebody else."""

    TRANSFERRED = "transferred"  # the target has answered and has the customer
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    DECLINED = "declined"  # by the target, or on its behalf
    VOICEMAIL = "voicemail"  # of a warm transfer: it took the call, and was not joined
    FAILED = "failed"  # anything else: the SIP status and the reason say what
    CANCELLED = "cancelled"  # the customer left, or the call was ended, before anybody answered
    UNCONFIRMED = "unconfirmed"  # the customer's side accepted a REFER and left without saying what came of it


class UseRefer(StrEnum):
    """Whether the customer's side is asked (REFER, RFC 3515) to call the target itself."""

    PREFER = "prefer"  # if it refuses or keeps silent, we call the target ourselves and join the two
    ONLY = "only"
    NEVER = "never"


class AfterTransfer(StrEnum):
    """When the target leaves first, and the customer is still ours."""

    END = "end"  # the call
    AGENT = "agent"  # has the customer back


@dataclass(frozen=True, slots=True)
class TransferResult:
    """`way`: "refer" when the call went to the target without us, "bridge" on a leg of ours, "warm" when a human was
    asked or told something before. `sip_status`: of the call to the target, or of the REFER if that was refused; 0:
    none. `leg_id`: ours to the target, empty without one. `target`: of several, the one that has the customer.
    `queued`: of a stay in a queue (way "queue"), what became of it."""

    end: TransferEnd
    way: str
    sip_status: int = 0
    reason: str = ""
    leg_id: str = ""
    target: str = ""
    queued: QueueResult | None = None

    @property
    def transferred(self) -> bool:
        return self.end is TransferEnd.TRANSFERRED


@dataclass(frozen=True, slots=True)
class MediaStatistics:
    """RTP and jitter buffer figures of one leg. Counts are since answer; packets are of 20 ms."""

    codec: str  # "PCMU", "PCMA", "G722"
    packets_received: int
    packets_lost: int  # never arrived
    packets_discarded: int  # arrived too late, or the jitter buffer was full
    packets_reordered: int
    packets_duplicated: int
    packets_sent: int
    remote_packets_lost: int  # as reported by the peer's RTCP
    jitter_ms: float  # interarrival jitter, RFC 3550 section 6.4.1
    jitter_max_ms: float
    jitter_buffer_ms: float  # mean delay in the jitter buffer
    jitter_buffer_max_ms: float
    playout_empty: int  # frames for which the jitter buffer had nothing to play
    round_trip_ms: float | None  # from RTCP; None: not known
    packets_comfort_noise: int = 0  # RFC 3389; included in packets received, as are key presses
    packets_rtcp: int = 0  # reports received: a sign of life from a peer that sends no audio (RFC 3550 section 6)
    packets_unknown_payload: int = 0  # with a payload type that was not negotiated; included in packets received
    packets_from_strangers: int = 0  # RTP and RTCP from sources other than the peer; not included in any other figure
    presses_dropped: int = 0  # key presses faster than a person can type
    encrypted: bool = False  # the audio went as SRTP all the time
    keys: KeyFigures = field(default_factory=KeyFigures)

    def __post_init__(self) -> None:
        """`keys` may come as JSON has them."""
        object.__setattr__(self, "keys", KeyFigures.of(self.keys))


@dataclass(frozen=True, slots=True)
class LegRinging:
    """An outbound call rings. Comes a second time if early media begins later."""

    at: float  # seconds, loop clock, as everywhere
    sip_status: int  # 180, 183, …
    early_media: bool  # the peer sends audio already: a ringback tone, an announcement


@dataclass(frozen=True, slots=True)
class LegAnswered:
    at: float


@dataclass(frozen=True, slots=True)
class LegAcknowledged:
    """An ACK or a packet proves that the peer received our answer: the sender of the INVITE is real."""

    at: float


@dataclass(frozen=True, slots=True)
class FirstMedia:
    """The peer's first RTP packet has arrived."""

    at: float


@dataclass(frozen=True, slots=True)
class LegDigit:
    """The peer pressed a key: one of 0-9 * # A-D. Once per press, however many packets carried it."""

    digit: str = field(repr=False)  # callers enter card numbers and PINs, and events end up in logs
    at: float
    source: DigitSource
    duration_ms: int = 0


@dataclass(frozen=True, slots=True)
class LegHeld:
    at: float


@dataclass(frozen=True, slots=True)
class LegResumed:
    at: float


@dataclass(frozen=True, slots=True)
class LegEnded:
    """The last event of every leg, exactly once, whoever ended it."""

    at: float
    by_peer: bool
    sip_status: int  # final status: 200 after a BYE, 487 after a CANCEL, …
    reason: str  # the peer's Reason header, or PJSIP's text
    statistics: MediaStatistics | None  # None: no media was ever set up
    lost: bool = False  # the process that held it has died
    cause: int = 0  # Q.850: as the peer says, else that of the status; 0: none is known
    gave_up: bool = False  # the gateway gave it up before an answer: it rang too long, or nobody was there


LegEvent = LegRinging | LegAnswered | LegAcknowledged | FirstMedia | LegDigit | LegHeld | LegResumed | LegEnded


class CallVerbs(Protocol):
    """What tools may do with a call."""

    @property
    def info(self) -> CallInfo: ...

    async def hang_up(self, reason: str = "") -> None:
        """End the leg now; pending speech has been played out by then. Idempotent; returns when the peer has
        confirmed, or after 2 s without confirmation."""

    async def send_digits(
        self, digits: str, *, duration_ms: int = 160, gap_ms: int = 80, way: DigitSource | None = None
    ) -> None:
        """Send DTMF, and return once the last key has been sent; the agent is not heard meanwhile. `w` is a pause of
        500 ms, `W` one of 1 s. `way` None: as the trunk's settings say, else RFC 4733 events if they were agreed on,
        else tones in the audio. Raises TelephonyMisuse for other characters, DigitsNotSent."""


@runtime_checkable
class SendsToLegs(Protocol):
    """A call that can send keys to one of its further legs."""

    async def send_digits_to(
        self, leg_id: str, digits: str, *, duration_ms: int = 160, gap_ms: int = 80, way: DigitSource | None = None
    ) -> None:
        """As `CallVerbs.send_digits`, to the leg of this id. Raises DigitsNotSent for an unknown one."""


class DialledLeg(Protocol):
    """A further leg of a call, for whoever had it dialled."""

    @property
    def leg_id(self) -> str: ...

    @property
    def outcome(self) -> CallOutcome:
        """What became of the dialling: answered, or why not."""

    async def ended(self) -> LegEnded:
        """Wait for its end, and return it."""

    async def hang_up(self, reason: str = "") -> None:
        """Idempotent; returns when its end is confirmed."""


@runtime_checkable
class Dials(Protocol):
    """A call that can be given further legs."""

    async def dial(self, to: str, *, trunk: str = "", caller: str = "", ring_s: float = 30.0) -> DialledLeg:
        """Call somebody in, and return once they have answered or will not. Who answers talks with the customer; the
        agent hears nobody meanwhile, and has the customer back when they leave. `trunk`, `caller`: not given, the
        gateway's choice. Raises DialRefused."""


@runtime_checkable
class Transfers(Protocol):
    """A call whose customer can be brought to somebody else."""

    async def transfer(
        self,
        to: str,
        *,
        kind: str = "cold",
        refer: UseRefer = UseRefer.PREFER,
        trunk: str = "",
        caller: str = "",
        announce: str = "",
        ring_s: float = 30.0,
        afterwards: AfterTransfer = AfterTransfer.END,
        warm: Warm | None = None,
        queue: QueueAsk | None = None,
        extension: str = "",
    ) -> TransferResult:
        """Return once the target has answered or will not. Who answers talks with the customer, and the agent is
        silent. `kind`: "cold", or "warm": the call stays ours; `warm` says how it goes, and makes it one. `to`: a
        number, or a `sip:` address. Raises DialRefused when it was not even begun."""


@runtime_checkable
class AsksQueues(Protocol):
    """A call that can ask the gateway's human queues."""

    async def ask_queues(self, verb: str, how: Mapping[str, Any]) -> Mapping[str, Any]:
        """Raises DialRefused."""


class Leg(CallVerbs, Protocol):
    """One SIP leg. All methods and events belong to the asyncio loop; audio does not pass through them."""

    @property
    def suppresses_silence(self) -> bool:
        """Whether the peer's SDP says that it may send nothing while silent: a=silenceSupp:on (RFC 3108), or CN among
        its formats (RFC 3389)."""

    async def ring(self) -> None:
        """Answer 180."""

    async def answer(self, audio: LegAudio) -> None:
        """Answer 200 and connect the leg's audio to `audio`, which is called on the media thread from then on."""

    async def reject(self, sip_status: int, reason: str = "") -> None:
        """Refuse an unanswered leg."""

    async def hold(self) -> None:
        """Put the peer of an answered leg on hold: it hears us, we do not hear it (sendonly, RFC 3264 section 8.4).
        Idempotent; returns once that has been asked for, and a peer that refuses is heard no more all the same."""

    async def resume(self) -> None:
        """Take it back. Idempotent."""

    def events(self) -> AsyncIterator[LegEvent]:
        """The leg's events, in order; ends after `LegEnded`. Single consumer."""

    async def statistics(self) -> MediaStatistics | None:
        """Figures so far; None before media."""
