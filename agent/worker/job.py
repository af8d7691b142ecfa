"""What an entrypoint gets: the job, its room, and how the job ends."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from livekit.protocol import agent as pb

from agent.worker.channel import JobSays, JobState, Message, RunJob
from agent.worker.log_fields import FIELDS
from agent.worker.participants import ParticipantEntrypoints, fits

if TYPE_CHECKING:
    from livekit.api import LiveKitAPI

    from telephony.livekit.events import LiveKitEvent, ParticipantKind, RemoteParticipant
    from telephony.livekit.room import LiveKitRoom
    from telephony.rooms.protocol import Recorder

__all__ = ["AutoSubscribe", "JobContext", "JobMisuse", "JobProcess", "RoomGone", "get_job_context"]

CALLBACK_LIMIT_S = 10.0
_JOIN_PAUSES_S = (0.3, 1.0)  # between attempts to join the room
_log = logging.getLogger(__name__)
ShutdownCallback = Callable[[], Awaitable[None]] | Callable[[str], Awaitable[None]]


class JobMisuse(RuntimeError):
    """The entrypoint used its context in a way that the job's state does not allow."""


class RoomGone(Exception):
    """The job's room was closed or lost before the awaited event."""


class AutoSubscribe(StrEnum):
    """What an agent subscribes to. Its room is audio only, so the first two are equivalent."""

    AUDIO_ONLY = "audio_only"
    SUBSCRIBE_ALL = "subscribe_all"
    SUBSCRIBE_NONE = "subscribe_none"
    VIDEO_ONLY = "video_only"


@dataclass(slots=True)
class JobProcess:
    """The process that jobs run in. `userdata` is for what `prewarm` prepares and entrypoints use; `arguments` and
    LiveKit's `keys` (API key, secret) came with the program."""

    name: str
    arguments: Any = None
    keys: tuple[str, str] | None = field(default=None, repr=False)
    userdata: dict[str, Any] = field(default_factory=dict)

    @property
    def pid(self) -> int:
        return os.getpid()


class JobContext:
    """One job. It runs until `shutdown`, the end of its room, or until the server ends it; an entrypoint that returns
    does not end it; one that raises does."""

    def __init__(
        self,
        order: RunJob,
        process: JobProcess,
        send: Callable[[Message], None],
        make_room: Callable[..., LiveKitRoom] | None = None,
    ) -> None:
        """`make_room`: for tests; None: `LiveKitRoom`."""
        self._order = order
        self._process = process
        self._send = send
        self._make_room = make_room
        self._job = pb.Job.FromString(bytes.fromhex(order.job))
        self._room: LiveKitRoom | None = None
        self._over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._callbacks: list[ShutdownCallback] = []
        self._drain_callbacks: list[Callable[[str], object]] = []
        self._on_told: Callable[[Mapping[str, Any]], None] | None = None
        self._joined_before = False
        self._joining = asyncio.Lock()
        self._joined = False
        self._moved_to = ""  # a room other than the job's
        self._api: LiveKitAPI | None = None
        self._deleting: set[asyncio.Task[None]] = set()
        self._participant_entrypoints = ParticipantEntrypoints()
        self._log_fields: dict[str, Any] = {}

    # --- job data -----------------------------------------------------------------------------------------

    @property
    def job(self) -> pb.Job:
        """LiveKit's own description: id, room, metadata, agent_name …"""
        return self._job

    @property
    def proc(self) -> JobProcess:
        return self._process

    @property
    def worker_id(self) -> str:
        return self._order.worker_id

    @property
    def identity(self) -> str:
        """Ours in the room."""
        return self._order.identity

    @property
    def attempt(self) -> int:
        """1, or more if the job's process was lost."""
        return self._order.attempt

    @property
    def stored_state(self) -> Mapping[str, Any] | None:
        """The last stored state, if the job is resumed in another process."""
        return self._order.state

    @property
    def log_context_fields(self) -> dict[str, Any]:
        """Fields of each log line of the job: may be changed or replaced."""
        return self._log_fields

    @log_context_fields.setter
    def log_context_fields(self, fields: Mapping[str, Any]) -> None:
        given = dict(fields)
        self._log_fields.clear()
        self._log_fields.update(given)

    @property
    def api(self) -> LiveKitAPI:
        """LiveKit's own client of its API, with the worker's keys; closed with the job. Raises JobMisuse if the program
        has no keys."""
        if self._api is None:
            from livekit.api import LiveKitAPI

            if self._process.keys is None:
                raise JobMisuse("the program was started without LiveKit's keys, which its API needs")
            self._api = LiveKitAPI(_http_url(self._order.url), *self._process.keys)
        return self._api

    # --- the room -------------------------------------------------------------------------------------------------

    @property
    def room(self) -> LiveKitRoom:
        """Before `connect` it is empty, but its name is known."""
        if self._room is None:
            # Imported here: LiveKit's packages are an extra, and native code must start in the process itself.
            from telephony.livekit.room import LiveKitRoom

            order, make = self._order, self._make_room or LiveKitRoom
            self._room = make(order.url, self._token, name=self._job.room.name, identity=order.identity)
            self._room.subscribe(self._room_event)
        return self._room

    async def connect(
        self, *, auto_subscribe: AutoSubscribe = AutoSubscribe.AUDIO_ONLY, recorder: Recorder | None = None
    ) -> LiveKitRoom:
        """Join the room; does nothing if already joined. `recorder` gets the others' audio (left) and the agent's
        (right), in step. Raises LiveKitError; JobMisuse for an `auto_subscribe` without audio, or a recorder given too
        late."""
        if auto_subscribe not in (AutoSubscribe.AUDIO_ONLY, AutoSubscribe.SUBSCRIBE_ALL):
            raise JobMisuse(f"auto_subscribe {auto_subscribe}: an agent's room subscribes to all audio")
        from telephony.livekit.errors import LiveKitError

        room = self.room
        async with self._joining:
            if self._joined and recorder is not None:
                raise JobMisuse("the room was joined without the recorder: give it to the first connect")
            if recorder is not None:
                room.record_to(recorder)
            for pause_s in (*_JOIN_PAUSES_S, None):
                if self._joined:
                    break
                try:
                    await room.join()
                    self._joined = True
                except LiveKitError as error:
                    if pause_s is None or not error.retryable or self._over.done():
                        raise
                    _log.warning("the room was not joined: %s; trying again", error)
                    await asyncio.sleep(pause_s)
        return room

    def delete_room(self, room_name: str = "") -> asyncio.Task[None]:
        """Remove everyone and hang up phones; need not be awaited. By default the job's room, which ends the job.
        If awaited, it raises LiveKitError, but not for a missing room. Raises JobMisuse like `api`."""
        api = self.api
        task = asyncio.get_running_loop().create_task(
            _delete_room(api, room_name or self.room.name), name="delete room"
        )
        self._deleting.add(task)
        task.add_done_callback(self._room_deleted)
        return task

    def _room_deleted(self, task: asyncio.Task[None]) -> None:
        self._deleting.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s", error)

    def add_participant_entrypoint(
        self,
        entrypoint: Callable[[JobContext, RemoteParticipant], Awaitable[None]],
        *,
        kind: ParticipantKind | Collection[ParticipantKind] | None = None,
    ) -> None:
        """Run it for each present and joining participant, until the job ends; without `kind`, agents don't count.
        Raises ValueError if it was added before."""
        present = self._room.participants if self._room is not None else ()
        self._participant_entrypoints.add(entrypoint, lambda who: entrypoint(self, who), kind, present)

    def _token(self) -> str:
        """A new token for each joining: the job's may have expired by then."""
        keys = self._process.keys
        if keys is None or not self._joined_before:
            self._joined_before = True
            return self._order.token
        from agent.worker.tokens import renewed_job_token

        return renewed_job_token(self._order.token, *keys, room=self._moved_to)

    async def wait_for_participant(
        self, *, identity: str | None = None, kind: ParticipantKind | Collection[ParticipantKind] | None = None
    ) -> RemoteParticipant:
        """The first other participant that matches, now or later; without `kind`, agents don't count. Joins the room if
        necessary. Raises RoomGone if the job ends first, and what `connect` raises."""
        from telephony.livekit.events import ParticipantJoined

        if not self._joined:
            await self.connect()
        for participant in self.room.participants:
            if fits(participant, kind, identity):
                return participant
        found: asyncio.Future[RemoteParticipant] = asyncio.get_running_loop().create_future()

        def look(event: LiveKitEvent) -> None:
            if isinstance(event, ParticipantJoined) and fits(event.participant, kind, identity) and not found.done():
                found.set_result(event.participant)

        unsubscribe = self.room.subscribe(look)
        either: list[asyncio.Future[Any]] = [found, self._over]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not found.done():
                raise RoomGone("the room was left before the participant came")
            return found.result()
        finally:
            unsubscribe()
            found.cancel()

    def _room_event(self, event: LiveKitEvent) -> None:
        from telephony.livekit.events import ParticipantJoined, RoomClosed, RoomLost, RoomMoved

        match event:
            case ParticipantJoined(participant=who):
                self._participant_entrypoints.came(who)
            case RoomMoved(room=name):
                self._moved_to = name
            case RoomClosed(reason=reason):
                self.shutdown(f"room closed: {reason}")
            case RoomLost(reason=reason):
                self.shutdown(f"room lost: {reason}")

    # --- what survives the process --------------------------------------------------------------------------------

    def store_state(self, state: Mapping[str, Any]) -> None:
        """Keep this (JSON values) in the worker's main process: if this process is lost, another one gets the job with
        it as `stored_state`. Raises ChannelError for values that are not JSON."""
        self._send(JobState(self._order.job_id, state))

    def send(self, body: Mapping[str, Any]) -> None:
        """Send JSON values to the application's part in the main process (`WorkerHooks.job_says`)."""
        self._send(JobSays(self._order.job_id, body))

    def on_told(self, callback: Callable[[Mapping[str, Any]], None]) -> None:
        """What the application's part in the main process sends to this job (`Worker.tell`)."""
        self._on_told = callback

    def told(self, body: Mapping[str, Any]) -> None:
        """Called by the process."""
        if self._on_told is not None:
            self._on_told(body)

    # --- the end --------------------------------------------------------------------------------------------------

    def add_shutdown_callback(self, callback: ShutdownCallback) -> None:
        """Await it when the job ends, with the reason if it takes one argument. The last added comes first."""
        self._callbacks.append(callback)

    def add_drain_callback(self, callback: Callable[[str], object]) -> None:
        """Call it when the job is asked to end politely; it must ensure that `shutdown` is called. Without any, the job
        ends at once."""
        self._drain_callbacks.append(callback)

    def shutdown(self, reason: str = "") -> None:
        """End the job. Idempotent: the first reason counts."""
        if not self._over.done():
            self._over.set_result(reason)

    def drain(self, reason: str) -> None:
        if not self._drain_callbacks:
            self.shutdown(reason)
        for callback in self._drain_callbacks:
            callback(reason)

    @property
    def over(self) -> asyncio.Future[str]:
        """Done, with the reason, when the job must end."""
        return self._over

    def enter(self) -> None:
        """Called first by the process: from now on this task and its child tasks belong to the job."""
        _CURRENT.set(self)
        FIELDS.set(self._log_fields)

    async def run_callbacks(self) -> None:
        """The process's part, when the job is over. Never raises."""
        await self._participant_entrypoints.close()
        reason = self._over.result() if self._over.done() else ""
        for callback in reversed(self._callbacks):
            try:
                async with asyncio.timeout(CALLBACK_LIMIT_S):
                    await _call(callback, reason)
            except Exception:  # noqa: BLE001 - continue with the others and the room
                _log.exception("a shutdown callback failed")

    async def leave(self) -> None:
        """The process's part, last."""
        if self._deleting:
            await asyncio.wait(self._deleting, timeout=CALLBACK_LIMIT_S)
        if self._api is not None:
            await self._api.aclose()
        if self._room is not None:
            await self._room.close()


_CURRENT: ContextVar[JobContext | None] = ContextVar("job", default=None)


def get_job_context() -> JobContext:
    """The context of the job whose code calls this: its entrypoint, its tools, its callbacks. Raises JobMisuse
    elsewhere."""
    context = _CURRENT.get()
    if context is None:
        raise JobMisuse("no current job: call this from a job's entrypoint or its child tasks")
    return context


async def _delete_room(api: LiveKitAPI, name: str) -> None:
    import aiohttp
    from livekit.api import DeleteRoomRequest, TwirpError, TwirpErrorCode

    from telephony.livekit.errors import LiveKitError

    try:
        async with asyncio.timeout(CALLBACK_LIMIT_S):  # the SDK has no limit of its own
            await api.room.delete_room(DeleteRoomRequest(room=name))
    except TwirpError as error:
        if error.code != TwirpErrorCode.NOT_FOUND:
            raise LiveKitError(f"room {name} was not deleted: {error.code}: {error.message}") from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise LiveKitError(f"room {name} was not deleted: {error or type(error).__name__}") from error


def _http_url(url: str) -> str:
    return "http" + url[2:] if url.startswith("ws") else url


def _call(callback: Callable[..., Awaitable[None]], reason: str) -> Awaitable[None]:
    takes_reason = len(inspect.signature(callback).parameters) > 0
    return callback(reason) if takes_reason else callback()
