"""What happens in a LiveKit room, as frozen events. `at` is loop-clock time in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = [
    "AttributesChanged",
    "DataReceived",
    "DtmfReceived",
    "LiveKitEvent",
    "MetadataChanged",
    "ParticipantJoined",
    "ParticipantKind",
    "ParticipantLeft",
    "Reconnected",
    "Reconnecting",
    "RemoteParticipant",
    "RoomClosed",
    "RoomJoined",
    "RoomLost",
    "RoomMoved",
    "TrackMuted",
    "TrackStarted",
    "TrackStopped",
    "TrackUnmuted",
    "TranscriptionReceived",
]


class ParticipantKind(StrEnum):
    """LiveKit's kinds of participants."""

    STANDARD = "standard"  # people, and programs that say nothing else
    AGENT = "agent"
    SIP = "sip"  # a phone: LiveKit SIP's or a call that Trunkline bridges
    INGRESS = "ingress"
    EGRESS = "egress"
    CONNECTOR = "connector"
    BRIDGE = "bridge"


@dataclass(frozen=True, slots=True)
class RemoteParticipant:
    """Somebody else in the room. `speaks`: an audio track of theirs reaches us."""

    identity: str
    kind: ParticipantKind
    name: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    metadata: str = ""
    speaks: bool = False


@dataclass(frozen=True, slots=True)
class LiveKitEvent:
    at: float


@dataclass(frozen=True, slots=True)
class RoomJoined(LiveKitEvent):
    """We are in. Those who were there before follow as `ParticipantJoined`."""

    room: str


@dataclass(frozen=True, slots=True)
class ParticipantJoined(LiveKitEvent):
    participant: RemoteParticipant


@dataclass(frozen=True, slots=True)
class ParticipantLeft(LiveKitEvent):
    """`reason`: LiveKit's, lower case, as in client_initiated, participant_removed; empty when it gives none."""

    participant: RemoteParticipant
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TrackStarted(LiveKitEvent):
    """An audio track of somebody else reaches us from now on."""

    identity: str
    track: str  # LiveKit's sid


@dataclass(frozen=True, slots=True)
class TrackStopped(LiveKitEvent):
    identity: str
    track: str


@dataclass(frozen=True, slots=True)
class TrackMuted(LiveKitEvent):
    identity: str
    track: str


@dataclass(frozen=True, slots=True)
class TrackUnmuted(LiveKitEvent):
    identity: str
    track: str


@dataclass(frozen=True, slots=True)
class DtmfReceived(LiveKitEvent):
    """A key, one of 0-9 * # A-D, as a SIP DTMF event. `identity`: who sent it; None: a server's API."""

    digit: str = field(repr=False)
    identity: str | None


@dataclass(frozen=True, slots=True)
class DataReceived(LiveKitEvent):
    topic: str
    payload: bytes
    identity: str | None


@dataclass(frozen=True, slots=True)
class TranscriptionReceived(LiveKitEvent):
    """Words of `identity`, the one who said them, as an agent transcribes them (topic lk.transcription). `text`: all of
    the segment so far; `final`: it is complete. `track`: whose words they are, LiveKit's sid; may be empty."""

    identity: str
    segment: str
    text: str
    final: bool
    track: str = ""


@dataclass(frozen=True, slots=True)
class AttributesChanged(LiveKitEvent):
    """`attributes`: all that the participant has now."""

    identity: str
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class MetadataChanged(LiveKitEvent):
    """The room's."""

    metadata: str


@dataclass(frozen=True, slots=True)
class Reconnecting(LiveKitEvent):
    """The connection broke; it is being resumed. Until then nobody hears us, nor we anybody."""


@dataclass(frozen=True, slots=True)
class Reconnected(LiveKitEvent):
    """Again in the room. `rejoined`: as a new participant, for LiveKit had lost us."""

    rejoined: bool = False


@dataclass(frozen=True, slots=True)
class RoomMoved(LiveKitEvent):
    """We were moved to another room."""

    room: str


@dataclass(frozen=True, slots=True)
class RoomClosed(LiveKitEvent):
    """The last event when somebody ended our stay on purpose. `reason`: room_deleted, participant_removed,
    duplicate_identity, room_closed."""

    reason: str


@dataclass(frozen=True, slots=True)
class RoomLost(LiveKitEvent):
    """The last event when the connection broke and could not be resumed in time."""

    reason: str
