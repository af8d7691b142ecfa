"""Who else is in the room and whose audio reaches us. Pure."""

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
        """Sid -> identity of who speaks on it."""
        return dict(self._tracks)

    @property
    def speaking(self) -> frozenset[str]:
        """Identities."""
        return frozenset(self._tracks.values())

    def take(self, event: LiveKitEvent) -> bool:
        """Note it; whether it is news."""
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
        """As their tracks say now."""
        if identity in self._present:
            self._present[identity] = replace(self._present[identity], speaks=identity in self.speaking)

    def newcomers(self, there: Iterable[RemoteParticipant], at: float) -> list[LiveKitEvent]:
        """Of those who are there, who is news."""
        return [ParticipantJoined(at, who) for who in there if who.identity not in self._present]

    def all_gone(self, at: float) -> list[LiveKitEvent]:
        """What it means when the connection is not resumed but made anew."""
        gone: list[LiveKitEvent] = [TrackStopped(at, identity, track) for track, identity in self._tracks.items()]
        return gone + [ParticipantLeft(at, who, "connection_lost") for who in self._present.values()]
