"""A LiveKit server in memory: rooms whose connections hear each other at once. For tests of code that uses rooms."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from telephony.livekit import events
from telephony.livekit.api import RoomApi
from telephony.livekit.connection import ConnectionListener, Disconnected, RpcHandler
from telephony.livekit.errors import LiveKitError, NotInRoom, RpcFailed
from telephony.livekit.events import LiveKitEvent, ParticipantKind, RemoteParticipant
from telephony.livekit.room import LiveKitRoom

__all__ = ["FakeConnection", "FakeLiveKit", "FakeRoomApi"]


class FakeLiveKit:
    """One server with one room. `error`: raised on joining; `join_s`: how long joining takes; `publish_s`: how
    long publishing does after it. `hangs`: calls from those in the room get no answer. Tokens are ignored."""

    def __init__(self, name: str = "room") -> None:
        self.name = name
        self.connections: list[FakeConnection] = []
        self.error: LiveKitError | None = None
        self.hangs = False
        self.metadata = ""
        self.joins = 0
        self.join_s = 0.0
        self.publish_s = 0.0

    def room(
        self,
        identity: str,
        kind: ParticipantKind = ParticipantKind.STANDARD,
        attributes: dict[str, str] | None = None,
        resume_s: float = 10.0,
        api: RoomApi | None = None,
        observes: str = "",
    ) -> LiveKitRoom:
        """A room for `identity` to join."""
        me = RemoteParticipant(identity, kind, identity, attributes or {})
        return LiveKitRoom(
            "ws://fake",
            lambda: "token",
            name=self.name,
            identity=identity,
            resume_s=resume_s,
            connect=lambda listener: FakeConnection(self, me, listener),
            api=api,
            observes=observes,
        )

    def connection(self, identity: str) -> FakeConnection:
        """The identity's connection in the room. Raises StopIteration."""
        return next(each for each in self.connections if each.me.identity == identity)

    def others(self, connection: FakeConnection) -> list[FakeConnection]:
        return [each for each in self.connections if each is not connection]

    def put_out(self, identity: str, reason: str = "participant_removed") -> None:
        """Like the server's API."""
        connection = self.connection(identity)
        connection.leave(reason)
        connection.tell(Disconnected(connection.now(), reason))

    def move(self, identity: str, to: FakeLiveKit) -> None:
        """Like the server's API: moves it to another fake's room, with events in the SDK's order."""
        connection = self.connection(identity)
        left = self.others(connection)
        connection.leave("")
        for other in left:
            if other.publishing:
                connection.tell(events.TrackStopped(other.now(), other.me.identity, other.track))
            connection.tell(events.ParticipantLeft(other.now(), other.seen, "unknown_reason"))
        connection.server = to
        to.connections.append(connection)
        for other in to.others(connection):
            connection.tell(events.ParticipantJoined(other.now(), other.seen))
            other.tell(events.ParticipantJoined(other.now(), connection.seen))
        connection.tell(events.RoomMoved(connection.now(), to.name))
        connection.meet()


class FakeConnection:
    """Implements `Connection`. `played` is the audio it published, `sent` its data packets, `token` the one it
    joined with. `dead`: its program was killed unnoticed by the server, and answers no call."""

    def __init__(self, server: FakeLiveKit, me: RemoteParticipant, listener: ConnectionListener) -> None:
        self.server = server
        self.me = me
        self.listener = listener
        self.played: list[bytes] = []
        self.sent: list[tuple[str, bytes]] = []
        self.token = ""
        self.publishing = False
        self.muted = False
        self.unsubscribed: set[str] = set()  # tracks
        self.dead = False
        self.methods: dict[str, RpcHandler] = {}
        self.attributes = dict(me.attributes)

    @property
    def room_name(self) -> str:
        return self.server.name

    @property
    def metadata(self) -> str:
        return self.server.metadata

    @property
    def track(self) -> str:
        return f"TR_{self.me.identity}" if self.publishing else ""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def tell(self, event: LiveKitEvent) -> None:
        self.listener.happened(event)

    def participants(self) -> tuple[RemoteParticipant, ...]:
        return tuple(each.seen for each in self.server.others(self))

    @property
    def seen(self) -> RemoteParticipant:
        me = self.me
        return RemoteParticipant(me.identity, me.kind, me.name, dict(self.attributes), me.metadata, self.publishing)

    async def open(self, url: str, token: str, timeout_s: float) -> None:
        self.server.joins += 1
        self.token = token
        if self.server.join_s:
            await asyncio.sleep(self.server.join_s)
        if self.server.error is not None:
            raise self.server.error
        self.server.connections.append(self)
        for other in self.server.others(self):
            other.tell(events.ParticipantJoined(other.now(), self.seen))
        asyncio.get_running_loop().call_soon(self._hear)

    def _hear(self) -> None:
        """Whoever has joined hears the others, also without publishing anything."""
        if not self.publishing and self in self.server.connections:
            for other in self.server.others(self):
                if other.publishing:
                    self.tell(events.TrackStarted(self.now(), other.me.identity, other.track))

    async def publish(self) -> None:
        if self.server.publish_s:
            await asyncio.sleep(self.server.publish_s)
        self.publishing = True
        self.meet()

    def meet(self) -> None:
        """Connect both: they hear each other."""
        for other in self.server.others(self):
            if self.publishing:
                other.tell(events.TrackStarted(other.now(), self.me.identity, self.track))
            if other.publishing:
                self.tell(events.TrackStarted(self.now(), other.me.identity, other.track))

    def play(self, pcm: bytes) -> None:
        self.played.append(pcm)
        for other in self.server.others(self):
            if self.track not in other.unsubscribed:
                other.listener.heard(self.track, pcm)

    def mute(self, muted: bool) -> None:
        self.muted = muted

    async def send_data(self, payload: bytes, topic: str, to: Sequence[str]) -> None:
        self.sent.append((topic, payload))
        for other in self.server.others(self):
            if not to or other.me.identity in to:
                other.tell(events.DataReceived(other.now(), topic, payload, self.me.identity))

    async def send_digit(self, digit: str) -> None:
        for other in self.server.others(self):
            other.tell(events.DtmfReceived(other.now(), digit, self.me.identity))

    async def call(self, identity: str, method: str, payload: str, timeout_s: float) -> str:
        there = [other for other in self.server.others(self) if other.me.identity == identity]
        if not there:
            raise RpcFailed(f"{method} at {identity}: recipient not found", 1401)
        for other in there:
            if other.dead or self.server.hangs:
                await asyncio.sleep(timeout_s)
                raise RpcFailed(f"{method} at {identity}: connection timeout", 1501)
            if method in other.methods:
                try:
                    return await other.methods[method](self.me.identity, payload)
                except LiveKitError as error:
                    raise RpcFailed(str(error), 1500) from error
        raise RpcFailed(f"{method} at {identity}: not served", 1400)

    def serve(self, method: str, handler: RpcHandler) -> None:
        self.methods[method] = handler

    async def set_attributes(self, attributes: dict[str, str]) -> None:
        if self not in self.server.connections:
            raise NotInRoom("not in the room")
        self.attributes = {name: value for name, value in (self.attributes | attributes).items() if value}
        for other in self.server.others(self):
            other.tell(events.AttributesChanged(other.now(), self.me.identity, dict(self.attributes)))

    async def close(self) -> None:
        self.leave("client_initiated")

    def leave(self, reason: str) -> None:
        """Leave; the others are told."""
        if self not in self.server.connections:
            return
        self.server.connections.remove(self)
        for other in list(self.server.connections):
            if self.publishing:
                other.tell(events.TrackStopped(other.now(), self.me.identity, self.track))
            other.tell(events.ParticipantLeft(other.now(), self.seen, reason))


class FakeRoomApi:
    """Implements `RoomApi`. `error`: what changing subscriptions raises."""

    def __init__(self, server: FakeLiveKit | None = None) -> None:
        self.server = server
        self.removed: list[tuple[str, str]] = []
        self.subscriptions: list[tuple[str, tuple[str, ...], bool]] = []
        self.error: LiveKitError | None = None

    async def remove_participant(self, room: str, identity: str) -> None:
        self.removed.append((room, identity))
        if self.server is not None:
            self.server.put_out(identity)

    async def update_subscriptions(self, room: str, identity: str, tracks: Sequence[str], subscribe: bool) -> None:
        if self.error is not None:
            raise self.error
        self.subscriptions.append((identity, tuple(tracks), subscribe))
        if self.server is not None:
            connection = self.server.connection(identity)
            connection.unsubscribed = (
                connection.unsubscribed - set(tracks) if subscribe else connection.unsubscribed | set(tracks)
            )
