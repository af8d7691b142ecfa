"""Who else is in the room and whose audio we receive. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from telephony.livekit.events import (
    AttributesChanged,
    LiveKitEvent,
    ParticipantJoined,
    ParticipantLeft,
    RemoteParticipant,
    TrackStarted,
    TrackStopped,
)

__all__ = ["Presence"]


class Presence:
    def __init__(self) -> None:
        self._present: dict[str, RemoteParticipant] = {}
        self._tracks: dict[str, str] = {}  # sid -> identity

    @property
    def participants(self) -> tuple[RemoteParticipant, ...]:
        return tuple(self._present.values())

    @property
    def tracks(self) -> Mapping[str, str]:
        """Sid -> identity of its speaker."""
        return dict(self._tracks)

    @property
    def speaking(self) -> frozenset[str]:
        """Identities."""
        return frozenset(self._tracks.values())

    def take(self, event: LiveKitEvent) -> bool:
        """Record it; returns whether it is new."""
        match event:
            case ParticipantJoined(participant=who):
                known = who.identity in self._present
                self._present[who.identity] = who
                return not known
            case ParticipantLeft(participant=who):
                return self._present.pop(who.identity, None) is not None
            case AttributesChanged(identity=identity, attributes=attributes):
                if identity in self._present:
                    self._present[identity] = replace(self._present[identity], attributes=dict(attributes))
            case TrackStarted(identity=identity, track=track):
                self._tracks[track] = identity
                self._speaks(identity)
            case TrackStopped(track=track):
                identity = self._tracks.pop(track, "")
                self._speaks(identity)
                return bool(identity)
        return True

    def _speaks(self, identity: str) -> None:
        """Updates `speaks` from their tracks."""
        if identity in self._present:
            self._present[identity] = replace(self._present[identity], speaks=identity in self.speaking)

    def newcomers(self, there: Iterable[RemoteParticipant], at: float) -> list[LiveKitEvent]:
        """Those present who are new."""
        return [ParticipantJoined(at, who) for who in there if who.identity not in self._present]

    def all_gone(self, at: float) -> list[LiveKitEvent]:
        """The events to report after a new connection instead of a resumed one."""
        gone: list[LiveKitEvent] = [TrackStopped(at, identity, track) for track, identity in self._tracks.items()]
        return gone + [ParticipantLeft(at, who, "connection_lost") for who in self._present.values()]
