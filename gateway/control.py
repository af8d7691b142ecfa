"""The control channel between the gateway and each call worker: what travels on it (agent.warm.channel)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.warm.asking import Answer, Asking, Question
from agent.warm.channel import Channel as FramedChannel
from agent.warm.channel import Message, Wire
from gateway.dialplan.model import PersonaRef
from gateway.flows import step_from_dict

__all__ = [
    "LEG_HEADER",
    "WIRE",
    "Blocked",
    "Channel",
    "DigitByInfo",
    "Drain",
    "EndLeg",
    "Heartbeat",
    "LastWord",
    "Message",
    "Prepare",
    "Ready",
    "Record",
    "ReferReport",
    "Stop",
]

LEG_HEADER = "X-Trunkline-Leg"  # of the INVITE on loopback: which prepared leg it is


@dataclass(frozen=True, slots=True)
class Prepare(Message):
    """Gateway to worker: an INVITE with this leg's id is on its way; it is the first of its call, so prepare its
    persona.

    `call` is a CallInfo as a mapping; `persona_file` and `persona_class` name the persona; `recording` is a path, or
    empty for none; `session` and `speech` are the route's overrides of the settings. `media_networks`: where the audio
    of a caller behind NAT may come from. `summary`: who makes one after the call ("template", "model"); empty: nobody
    is told. `keys`: KeyTerms as a mapping. `answering`: what order and dialplan say about whoever answers a call that
    we place (`AnsweringOptions.given`); None: nothing.
    `extension`: keys for whoever answers. `flow`: a flow's first step (`gateway.flows`) in place of the persona; None:
    a persona.
    """

    leg_id: str
    call: Mapping[str, Any]
    persona_file: str
    persona_class: str
    rule: str
    recording: str = ""
    session: Mapping[str, Any] = field(default_factory=dict)
    speech: Mapping[str, Any] = field(default_factory=dict)
    media_networks: Sequence[str] = field(default_factory=list)
    summary: str = ""
    keys: Mapping[str, Any] = field(default_factory=dict)
    answering: Mapping[str, Any] | None = None
    extension: str = field(default="", repr=False)
    flow: Mapping[str, Any] | None = None

    @property
    def persona(self) -> PersonaRef:
        """Raises KeyError, TypeError for a flow that is none."""
        flow = None if self.flow is None else step_from_dict(self.flow)
        return PersonaRef(Path(self.persona_file), self.persona_class, flow=flow)


@dataclass(frozen=True, slots=True)
class EndLeg(Message):
    """Gateway to worker: end this leg, and with a customer's leg its call; `politely` lets the agent say goodbye first.
    `sip_status`: the status sent to the peer, if the worker has no such leg; `by_peer`: the peer ended it.
    """

    leg_id: str
    politely: bool
    reason: str
    sip_status: int = 0
    by_peer: bool = False


@dataclass(frozen=True, slots=True)
class DigitByInfo(Message):
    """Gateway to worker: the leg's peer pressed a key, reported by INFO. `duration_ms` 0: unknown."""

    leg_id: str
    digit: str = field(repr=False)
    duration_ms: int


@dataclass(frozen=True, slots=True)
class ReferReport(Message):
    """Gateway to worker: news of the leg's REFER. `answer`: it is the REFER's own final answer, else a report of the
    peer on the call to the target. `status` 0: none. `over`: nothing more will come."""

    leg_id: str
    answer: bool
    status: int
    reason: str
    over: bool = False


@dataclass(frozen=True, slots=True)
class LastWord(Message):
    """Gateway to worker: what to send to the peer over UDP if the gateway dies. `text`: a BYE, Latin-1."""

    leg_id: str
    ip: str
    port: int
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Drain(Message):
    """Gateway to worker: end every call with a goodbye now."""

    reason: str


@dataclass(frozen=True, slots=True)
class Stop(Message):
    """Gateway to worker: hang up all remaining legs and exit."""


@dataclass(frozen=True, slots=True)
class Ready(Message):
    """Worker to gateway: SIP is up. `slots`: legs that it can hold at once, as probed."""

    pid: int
    sip_port: int
    slots: int


@dataclass(frozen=True, slots=True)
class Heartbeat(Message):
    """Worker to gateway, once a second and at the end of each leg. `legs`: IDs of the legs it holds, including
    prepared ones. `lingering`: slots of legs that have ended for us but whose peer has not answered our BYE (32 s at
    most). `unannounced`: legs whose INVITE has come, but no `Prepare`: it is on its way, or the gateway has given up.
    """

    legs: list[str]
    loop_lag_ms: float
    lingering: int = 0
    unannounced: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Blocked(Message):
    """Worker to gateway, twice a second while its event loop is blocked, from another thread: it is alive,
    and exits by itself if that lasts. `function`: the blocking function, if known."""

    function: str
    blocked_ms: float


@dataclass(frozen=True, slots=True)
class Record(Message):
    """Worker to gateway: something for a call's record; `body` is a message of `gateway.record`."""

    body: Mapping[str, Any]


WIRE = Wire(
    (
        *(Prepare, EndLeg, DigitByInfo, ReferReport, LastWord, Drain, Stop),
        *(Ready, Heartbeat, Blocked, Record, Question, Answer),
    ),
    most_bytes=4 * 1024 * 1024,
)


class Channel(FramedChannel):
    """One end of a control channel. Both ends may ask (`asking`); the rest goes to `on_message`."""

    wire = WIRE

    def __init__(self, on_message: Callable[[Message], None], on_closed: Callable[[], None]) -> None:
        self.asking = Asking(self.send)

        def received(message: Message) -> None:
            if not self.asking.received(message):
                on_message(message)

        def closed() -> None:
            self.asking.close()
            on_closed()

        super().__init__(received, closed)
