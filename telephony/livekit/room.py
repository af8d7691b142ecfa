"""A LiveKit room as a `Room`: one participant of ours in it, which is a leg (a phone) or an agent.

LiveKit's SDK resumes a broken connection if it can. If it gives up although nobody removed us (the server was
restarted, say), the room joins again with a fresh token. If both take longer than `resume_s`, the room is lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from telephony.errors import TelephonyMisuse
from telephony.keys import DigitSource
from telephony.livekit import events
from telephony.livekit.api import RoomApi
from telephony.livekit.connection import Connection, ConnectionListener, Disconnected, RpcHandler
from telephony.livekit.dtmf import check_way, send_keys
from telephony.livekit.errors import LiveKitError, LiveKitTimeout, NotInRoom
from telephony.livekit.observing import leg_place
from telephony.livekit.places import AgentPlace, LegPlace, Place
from telephony.livekit.presence import Presence
from telephony.livekit.routing import RoomRoutes
from telephony.rooms.protocol import AudioOutput, LegAudio, Participant, Recorder
from telephony.rooms.routes import Rows

__all__ = ["JOIN_TIMEOUT_S", "RESUME_S", "LiveKitRoom"]

JOIN_TIMEOUT_S = 5.0
RESUME_S = 7.0  # a lost call gets its last word and its record within 10 s of the break
_REJOIN_PAUSE_S = 0.5
_MEDIA_ALONE_S = 1.0  # signaling that is resumed this fast is not noticed
_MEANT = frozenset({"client_initiated", "duplicate_identity", "participant_removed", "room_deleted", "room_closed"})
_log = logging.getLogger(__name__)


def _sdk(listener: ConnectionListener) -> Connection:
    from telephony.livekit.rtc_connection import RtcConnection  # a big native library, loaded only when used

    return RtcConnection(listener)


class LiveKitRoom:
    """Implements `Room`, and `ConnectionListener` of its connection. Used on the loop, except for a leg's audio."""

    def __init__(
        self,
        url: str,
        token: Callable[[], str],
        *,
        name: str,
        identity: str,
        recorder: Recorder | None = None,
        join_timeout_s: float = JOIN_TIMEOUT_S,
        resume_s: float = RESUME_S,
        connect: Callable[[ConnectionListener], Connection] = _sdk,
        api: RoomApi | None = None,
        observes: str = "",
    ) -> None:
        """`token` provides a token for each join. `identity`: ours, as in the token. `api`: needed to route other
        participants. `observes`: the identity of a phone that is somebody else's: then we publish nothing."""
        self._url = url
        self._token = token
        self._name = name
        self._identity = identity
        self._recorder = recorder
        self._join_timeout_s = join_timeout_s
        self._resume_s = resume_s
        self._connect = connect
        self._loop = asyncio.get_running_loop()
        self._observes = observes
        self._place: Place | None = None
        self._connection: Connection | None = None
        self._live = False  # our audio reaches the room
        self._presence = Presence()
        self._routes = RoomRoutes(
            identity,
            self._presence,
            api,
            room=lambda: self.name,
            own_track=lambda: self._connection.track if self._connection is not None else "",
        )
        self._handlers: dict[str, RpcHandler] = {}
        self._attributes: dict[str, str] = {}
        self._callbacks: list[Callable[[events.LiveKitEvent], None]] = []
        self._resume_timer: asyncio.TimerHandle | None = None
        self._still_timer: asyncio.TimerHandle | None = None  # until the place is paused
        self._rejoining: asyncio.Task[None] | None = None
        self._muted = False
        self._closed = False
        self._over = ""  # why the room is over

    @property
    def name(self) -> str:
        """LiveKit's room name, which changes when we are moved."""
        if self._connection is not None and self._connection.room_name:
            return self._connection.room_name
        return self._name

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def metadata(self) -> str:
        """The room's metadata."""
        return self._connection.metadata if self._connection is not None else ""

    @property
    def live(self) -> bool:
        """Whether we are in the room now: joined, not lost, not being resumed."""
        return self._live

    @property
    def participants(self) -> tuple[events.RemoteParticipant, ...]:
        """The other participants."""
        return self._presence.participants

    @property
    def speaking_tracks(self) -> frozenset[str]:
        """Identities whose audio we receive."""
        return self._presence.speaking

    def subscribe(self, callback: Callable[[events.LiveKitEvent], None]) -> Callable[[], None]:
        """Call `callback` on the loop with each event from now on; call the result to stop."""
        self._callbacks.append(callback)

        def unsubscribe() -> None:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

        return unsubscribe

    # --- Room ----------------------------------------------------------------------------------------------------

    def add_leg(self, identity: str) -> LegAudio:
        """A phone takes our place in the room. Before or after `join`. Raises TelephonyMisuse when it is taken."""
        self._check_free()
        self._place = leg = leg_place(identity, self._loop, self._play, self._recorder, self._observes)
        self._settle(leg)
        return leg

    def add_agent(self, identity: str, *, recorded: bool = True) -> Participant:
        """An agent takes our place in the room. Before or after `join`. Raises TelephonyMisuse when it is taken."""
        self._check_free()
        recorder = self._recorder if recorded else None
        self._place = agent = AgentPlace(identity, self._loop, self._play, self.remove, recorder)
        self._settle(agent)
        return agent

    async def route(self, rows: Rows) -> None:
        """Our own row applies at once, those of others when the server has changed their subscriptions. Raises
        LiveKitError, and TelephonyMisuse for rows of others without an API."""
        await self._routes.change(rows, lambda row: None if self._place is None else self._place.route(row))

    def record_to(self, recorder: Recorder | None) -> None:
        """Set the recorder, for a room joined before it is known. Call before `add_leg`."""
        self._recorder = recorder

    def remove(self, identity: str) -> None:
        place = self._place
        if place is not None and place.identity == identity:
            self._place = None
            place.close()

    async def close(self) -> None:
        """Leave the room, which continues without us."""
        if self._closed:
            return
        self._closed = True
        self._end("left")
        await self._routes.close()
        if self._rejoining is not None:
            self._rejoining.cancel()
            await asyncio.wait({self._rejoining})
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    @property
    def announcer(self) -> AudioOutput | None:
        """Audio for our leg alone, not for the room. None without a leg."""
        return self._place.announcer if isinstance(self._place, LegPlace) else None

    async def played_out(self, limit_s: float) -> None:
        """Wait until the leg has received what the others have said so far; at most `limit_s`."""
        if isinstance(self._place, LegPlace):
            await self._place.played_out(limit_s)

    # --- LiveKit -------------------------------------------------------------------------------------------------

    async def join(self) -> None:
        """Connect and publish. Raises LiveKitError, whose message says what to do, and TelephonyMisuse."""
        if self._closed or self._connection is not None:
            raise TelephonyMisuse(f"room {self._name} has been joined before")
        await self._join_once()
        self._emit(events.RoomJoined(self._loop.time(), self.name))
        self._meet()

    def mute(self, muted: bool) -> None:
        """Tell the others that we are (not) on hold."""
        self._muted = muted
        if self._connection is not None and self._live:
            self._connection.mute(muted)

    async def send_data(self, payload: bytes, topic: str, to: Sequence[str] = ()) -> None:
        """Send reliably, to these identities or to all. Raises LiveKitError."""
        await self._joined().send_data(payload, topic, to)

    async def send_digits(
        self, digits: str, *, duration_ms: int = 160, gap_ms: int = 80, way: DigitSource | None = None
    ) -> None:
        """Send SIP DTMF events. Raises TelephonyMisuse for invalid keys, DigitsNotSent, LiveKitError."""
        check_way(way)
        await send_keys(digits, lambda key: self._joined().send_digit(key), duration_ms + gap_ms)

    async def call(self, identity: str, method: str, payload: str, timeout_s: float = 10.0) -> str:
        """Ask another participant to do something (RPC). Raises LiveKitError, RpcFailed among them."""
        return await self._joined().call(identity, method, payload, timeout_s)

    def serve(self, method: str, handler: RpcHandler) -> None:
        """Answer calls of `method`, now and after each join."""
        self._handlers[method] = handler
        if self._connection is not None and self._live:
            self._connection.serve(method, handler)

    def lose(self, reason: str) -> None:
        """Give the room up: it can't be resumed, or the caller knows before the SDK that nothing gets through."""
        if not self._over:
            self._end(reason)
            self._emit(events.RoomLost(self._loop.time(), reason))

    async def set_attributes(self, attributes: dict[str, str]) -> None:
        """Set our attributes; they survive a rejoin. Raises LiveKitError."""
        self._attributes.update(attributes)
        await self._joined().set_attributes(attributes)

    # --- ConnectionListener --------------------------------------------------------------------------------------

    def heard(self, track: str, pcm: bytes) -> None:
        place = self._place  # on any thread
        if place is not None:
            place.heard(track, pcm)

    def happened(self, event: events.LiveKitEvent) -> None:
        if self._closed:
            return
        match event:
            case Disconnected():
                self._disconnected(event)
            case events.Reconnecting() if not self._over:
                self._resume_began(event)
            case events.Reconnected():
                self._resumed()
            case events.RoomMoved():
                self._name = event.room
                self._tell(event)
            case _:
                self._tell(event)

    # --- internals --------------------------------------------------------------------------------------------------

    async def _join_once(self) -> None:
        connection = self._connect(self)
        self._connection = connection
        try:
            await connection.open(self._url, self._token(), self._join_timeout_s)
            for method, handler in self._handlers.items():
                connection.serve(method, handler)
            if not self._observes:
                await connection.publish()
            if self._attributes:
                await connection.set_attributes(self._attributes)
        except BaseException:
            self._connection = None
            await connection.close()
            raise
        if self._connection is not connection:
            raise NotInRoom("left while joining")
        self._live = True
        if self._muted:
            connection.mute(True)
        if self._place is not None:
            self._settle(self._place)

    def _meet(self) -> None:
        """Report those who were there before us."""
        there = self._connection.participants() if self._connection is not None else ()
        for event in self._presence.newcomers(there, self._loop.time()):
            self._tell(event)

    def _settle(self, place: Place) -> None:
        place.route(self._routes.own_row)
        place.live(self._live)
        for track, source in self._presence.tracks.items():
            place.track_started(track, source)

    def _tell(self, event: events.LiveKitEvent) -> None:
        if not self._presence.take(event):
            return
        self._routes.happened(event)
        if self._place is not None and isinstance(event, events.TrackStarted):
            self._place.track_started(event.track, event.identity)
        elif self._place is not None and isinstance(event, events.TrackStopped):
            self._place.track_stopped(event.track)
        self._emit(event)

    def _play(self, pcm: bytes) -> None:
        """Called on any thread."""
        connection = self._connection
        if connection is not None and not self._over:
            connection.play(pcm)

    def _resume_began(self, event: events.LiveKitEvent) -> None:
        """May be called twice, by the SDK and by us. Media continues while only signaling resumes, so leave it at
        first."""
        self._live = False
        if self._resume_timer is None:
            self._still_timer = self._loop.call_later(_MEDIA_ALONE_S, self._stand_still)
            self._resume_timer = self._loop.call_later(
                self._resume_s, self.lose, f"the connection could not be resumed within {self._resume_s:g} s"
            )
            self._emit(events.Reconnecting(event.at))

    def _resumed(self, *, rejoined: bool = False) -> None:
        if self._resume_timer is None or self._over:
            return
        place = self._place if self._still_timer is None else None  # a place that was never paused needs none
        self._cancel_timers()
        self._live = True
        if place is not None:
            self._settle(place)
        self._emit(events.Reconnected(self._loop.time(), rejoined))
        self._meet()

    def _disconnected(self, event: Disconnected) -> None:
        if self._over:
            return
        if event.reason in _MEANT:
            self._end(event.reason)
            self._emit(events.RoomClosed(event.at, event.reason))
            return
        if self._connection is None or self._rejoining is not None:
            return  # a failed join reports itself
        _log.warning("LiveKit room %s: disconnected (%s)", self._name, event.reason)
        self._resume_began(event)
        self._rejoining = self._loop.create_task(self._rejoin(), name="livekit rejoin")

    async def _rejoin(self) -> None:
        """Retry until it works or the time is up."""
        old, self._connection = self._connection, None
        self._stand_still()
        if old is not None:
            await old.close()
        for event in self._presence.all_gone(self._loop.time()):
            self._tell(event)
        while not self._over:
            try:
                await self._join_once()
            except LiveKitError as error:
                _log.warning("LiveKit room %s: rejoining failed, will retry: %s", self._name, error)
                if not error.retryable and not isinstance(error, LiveKitTimeout):
                    self.lose(str(error))
                    return
                await asyncio.sleep(_REJOIN_PAUSE_S)
            else:
                self._rejoining = None
                self._resumed(rejoined=True)
                return

    def _end(self, reason: str) -> None:
        self._over = self._over or reason
        self._cancel_timers()
        self._stand_still()
        if self._place is not None and (self._closed or isinstance(self._place, AgentPlace)):
            self._place.close()  # nobody will play it any more: release its waiters

    def _cancel_timers(self) -> None:
        for timer in (self._resume_timer, self._still_timer):
            if timer is not None:
                timer.cancel()
        self._resume_timer = self._still_timer = None

    def _stand_still(self) -> None:
        """While disconnected, nothing is played or heard."""
        self._live = False
        if self._still_timer is not None:
            self._still_timer.cancel()
            self._still_timer = None
        if self._place is not None:
            self._place.live(False)

    def _joined(self) -> Connection:
        if self._connection is None or not self._live:
            raise NotInRoom(f"room {self._name}: {self._over or 'not joined, or being resumed'}")
        return self._connection

    def _check_free(self) -> None:
        if self._closed:
            raise TelephonyMisuse(f"room {self._name} is closed")
        if self._place is not None:
            raise TelephonyMisuse(f"{self._place.identity} already has our place in room {self._name}")

    def _emit(self, event: events.LiveKitEvent) -> None:
        for callback in tuple(self._callbacks):
            try:
                callback(event)
            except Exception:  # noqa: BLE001 - a watcher must not end the room that it watches
                _log.exception("an event callback failed")
