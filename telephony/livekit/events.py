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
    """LiveKit's participant kinds."""

    STANDARD = "standard"  # people, and programs without a kind of their own
    AGENT = "agent"
    SIP = "sip"  # a phone: through LiveKit SIP, or a call that Trunkline bridges
    INGRESS = "ingress"
    EGRESS = "egress"
    CONNECTOR = "connector"
    BRIDGE = "bridge"


@dataclass(frozen=True, slots=True)
class RemoteParticipant:
    """Another participant. `speaks`: we receive an audio track of theirs."""

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
    """We have joined. Participants already present follow as `ParticipantJoined`."""

    room: str


@dataclass(frozen=True, slots=True)
class ParticipantJoined(LiveKitEvent):
    participant: RemoteParticipant


@dataclass(frozen=True, slots=True)
class ParticipantLeft(LiveKitEvent):
    """`reason`: LiveKit's, lower case, as in client_initiated, participant_removed; empty if none is given."""

    participant: RemoteParticipant
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TrackStarted(LiveKitEvent):
    """From now on we receive a remote audio track."""

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
    """Words of `identity`, the speaker, as an agent transcribes them (topic lk.transcription). `text`: all of the
    segment so far; `final`: it is complete. `track`: LiveKit's sid of the speaker's track; may be empty."""

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
    """The room's metadata changed."""

    metadata: str


@dataclass(frozen=True, slots=True)
class Reconnecting(LiveKitEvent):
    """The connection broke and is being resumed. Until then we neither hear nor are heard."""


@dataclass(frozen=True, slots=True)
class Reconnected(LiveKitEvent):
    """Back in the room. `rejoined`: as a new participant, since LiveKit had dropped us."""

    rejoined: bool = False


@dataclass(frozen=True, slots=True)
class RoomMoved(LiveKitEvent):
    """We were moved to another room."""

    room: str


@dataclass(frozen=True, slots=True)
class RoomClosed(LiveKitEvent):
    """The last event if we were removed on purpose. `reason`: room_deleted, participant_removed,
    duplicate_identity, room_closed."""

    reason: str


@dataclass(frozen=True, slots=True)
class RoomLost(LiveKitEvent):
    """The last event if the connection broke and could not be resumed in time."""

    reason: str
