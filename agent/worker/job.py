"""What an entrypoint is given: the job, its room, and how the job ends."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from livekit.protocol import agent as pb

from agent.worker.channel import JobSays, JobState, Message, RunJob

if TYPE_CHECKING:
    from telephony.livekit.events import LiveKitEvent, ParticipantKind, RemoteParticipant
    from telephony.livekit.room import LiveKitRoom
    from telephony.rooms.protocol import Recorder

__all__ = ["JobContext", "JobMisuse", "JobProcess", "RoomGone"]

CALLBACK_LIMIT_S = 10.0
_JOIN_PAUSES_S = (0.3, 1.0)  # between attempts to join the room
_log = logging.getLogger(__name__)
ShutdownCallback = Callable[[], Awaitable[None]] | Callable[[str], Awaitable[None]]


class JobMisuse(RuntimeError):
    """The entrypoint used its context in a way that its state does not allow."""


class RoomGone(Exception):
    """The job's room was closed or lost before what was waited for happened."""


@dataclass(slots=True)
class JobProcess:
    """The process that jobs run in. `userdata` is for what `prewarm` prepares and entrypoints use; `arguments` and
    LiveKit's `keys` (API key, secret) came with the program."""

    name: str
    arguments: Any = None
    keys: tuple[str, str] | None = field(default=None, repr=False)
    userdata: dict[str, Any] = field(default_factory=dict)


class JobContext:
    """One job. It goes on until `shutdown`, the end of its room, or until the server ends it; an entrypoint that
    returns does not end it, one that raises does."""

    def __init__(self, order: RunJob, process: JobProcess, send: Callable[[Message], None]) -> None:
        self._order = order
        self._process = process
        self._send = send
        self._job = pb.Job.FromString(bytes.fromhex(order.job))
        self._room: LiveKitRoom | None = None
        self._over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._callbacks: list[ShutdownCallback] = []
        self._drain_callbacks: list[Callable[[str], object]] = []
        self._joined_before = False

    # --- what it is about -----------------------------------------------------------------------------------------

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
        """1, or more when the process that had the job was lost."""
        return self._order.attempt

    @property
    def stored_state(self) -> Mapping[str, Any] | None:
        """What the job stored last, when it goes on in another process."""
        return self._order.state

    @property
    def room(self) -> LiveKitRoom:
        """Raises JobMisuse before `connect`."""
        if self._room is None:
            raise JobMisuse("the job has not joined its room: await ctx.connect() first")
        return self._room

    # --- the room -------------------------------------------------------------------------------------------------

    async def connect(self, *, recorder: Recorder | None = None) -> LiveKitRoom:
        """Join the room. `recorder` gets what the others say (left) and what the agent says (right), in step. Raises
        LiveKitError; JobMisuse when it has been joined before."""
        if self._room is not None:
            raise JobMisuse("the room is joined once")
        # The native library's threads must not be there before the process is.
        from telephony.livekit.errors import LiveKitError
        from telephony.livekit.room import LiveKitRoom

        order = self._order
        room = LiveKitRoom(order.url, self._token, name=self._job.room.name, identity=order.identity, recorder=recorder)
        self._room = room
        room.subscribe(self._look_for_the_end)
        for pause_s in (*_JOIN_PAUSES_S, None):
            try:
                await room.join()
                break
            except LiveKitError as error:
                if pause_s is None or not error.retryable or self._over.done():
                    raise
                _log.warning("the room was not joined: %s; trying again", error)
                await asyncio.sleep(pause_s)
        return room

    def _token(self) -> str:
        """For each joining: that of the job may have run out by the time of a later one."""
        keys = self._process.keys
        if keys is None or not self._joined_before:
            self._joined_before = True
            return self._order.token
        from agent.worker.tokens import renewed_job_token

        return renewed_job_token(self._order.token, *keys)

    async def wait_for_participant(
        self, *, identity: str | None = None, kind: ParticipantKind | None = None
    ) -> RemoteParticipant:
        """The first other participant that fits, now or later; without `kind`, agents don't count. Raises RoomGone when
        the job ends before."""
        from telephony.livekit.events import ParticipantJoined
        from telephony.livekit.events import ParticipantKind as Kind

        def fits(participant: RemoteParticipant) -> bool:
            if identity is not None and participant.identity != identity:
                return False
            return participant.kind is kind if kind is not None else participant.kind is not Kind.AGENT

        for participant in self.room.participants:
            if fits(participant):
                return participant
        found: asyncio.Future[RemoteParticipant] = asyncio.get_running_loop().create_future()

        def look(event: LiveKitEvent) -> None:
            if isinstance(event, ParticipantJoined) and fits(event.participant) and not found.done():
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

    def _look_for_the_end(self, event: LiveKitEvent) -> None:
        from telephony.livekit.events import RoomClosed, RoomLost

        if isinstance(event, RoomClosed):
            self.shutdown(f"room closed: {event.reason}")
        elif isinstance(event, RoomLost):
            self.shutdown(f"room lost: {event.reason}")

    # --- what survives the process --------------------------------------------------------------------------------

    def store_state(self, state: Mapping[str, Any]) -> None:
        """Keep this (JSON values) in the worker's main process: when this process is lost, another one is given the
        job with it as `stored_state`. Raises ChannelError for what is no JSON."""
        self._send(JobState(self._order.job_id, state))

    def send(self, body: Mapping[str, Any]) -> None:
        """Something for the application's part in the main process (`WorkerHooks.job_says`), as JSON values."""
        self._send(JobSays(self._order.job_id, body))

    # --- the end --------------------------------------------------------------------------------------------------

    def add_shutdown_callback(self, callback: ShutdownCallback) -> None:
        """Await it when the job ends, with the reason if it takes one argument. The last added comes first."""
        self._callbacks.append(callback)

    def add_drain_callback(self, callback: Callable[[str], object]) -> None:
        """Call it when the job is asked to end politely; it must see to it that `shutdown` is called. Without any, a
        polite end is an end at once."""
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
        """Done, with the reason, when the job is to end."""
        return self._over

    async def run_callbacks(self) -> None:
        """The process's part, when the job is over. Never raises."""
        reason = self._over.result() if self._over.done() else ""
        for callback in reversed(self._callbacks):
            try:
                async with asyncio.timeout(CALLBACK_LIMIT_S):
                    await _call(callback, reason)
            except Exception:  # noqa: BLE001 - the others, and the room, come all the same
                _log.exception("a shutdown callback failed")

    async def leave(self) -> None:
        """The process's part, last."""
        if self._room is not None:
            await self._room.close()


def _call(callback: Callable[..., Awaitable[None]], reason: str) -> Awaitable[None]:
    takes_reason = len(inspect.signature(callback).parameters) > 0
    return callback(reason) if takes_reason else callback()
