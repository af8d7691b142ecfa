"""What an entrypoint can do with its context, in a room of a LiveKit server in memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from livekit import api
from livekit.protocol import agent as pb
from livekit.protocol import models

import agent.worker
from agent.worker.channel import Message, RunJob
from agent.worker.job import AutoSubscribe, JobContext, JobMisuse, JobProcess, RoomGone, get_job_context
from agent.worker.log_fields import add_log_fields
from telephony.livekit.connection import Disconnected
from telephony.livekit.errors import LiveKitRefused, LiveKitUnreachable
from telephony.livekit.events import ParticipantKind, RemoteParticipant
from telephony.livekit.fakes import FakeConnection, FakeLiveKit
from telephony.livekit.room import LiveKitRoom
from telephony.rooms.fakes import FakeRecorder
from tests.unit.livekit.virtually import virtual

KEYS = ("key", "s" * 32)
US = "agent-AJ_1"


def context(server: FakeLiveKit, keys: tuple[str, str] | None = KEYS) -> JobContext:
    grants = api.VideoGrants(room_join=True, room=server.name, agent=True)
    token = api.AccessToken(*KEYS).with_identity(US).with_kind("agent").with_grants(grants).to_jwt()
    job = pb.Job(id="AJ_1", room=models.Room(name=server.name, sid="RM_1"))
    order = RunJob("AJ_1", job.SerializeToString().hex(), "ws://fake:7880", token, US, "AW_1")
    me = RemoteParticipant(US, ParticipantKind.AGENT)

    def make_room(url: str, token: Any, **more: Any) -> LiveKitRoom:
        return LiveKitRoom(url, token, connect=partial(FakeConnection, server, me), **more)

    sent: list[Message] = []
    return JobContext(order, JobProcess("p1", keys=keys), sent.append, make_room)


async def came(server: FakeLiveKit, identity: str, kind: ParticipantKind = ParticipantKind.SIP) -> LiveKitRoom:
    room = server.room(identity, kind)
    await room.join()
    return room


def test_the_names_that_people_import() -> None:
    for name in agent.worker.__all__:
        assert getattr(agent.worker, name).__name__ == name


# --- the room ---------------------------------------------------------------------------------------------------------


@virtual
async def test_the_room_is_there_before_it_is_joined() -> None:
    ctx = context(FakeLiveKit("call-1"))
    assert (ctx.room.name, ctx.room.participants, ctx.room.live) == ("call-1", (), False)
    await ctx.connect()
    assert ctx.room.live
    await ctx.leave()


@virtual
async def test_joining_twice_is_joining_once() -> None:
    server = FakeLiveKit()
    ctx = context(server)
    first, second = await asyncio.gather(ctx.connect(), ctx.connect(auto_subscribe=AutoSubscribe.SUBSCRIBE_ALL))
    assert first is second is await ctx.connect() is ctx.room
    assert server.joins == 1
    with pytest.raises(JobMisuse, match="without the recorder"):
        await ctx.connect(recorder=FakeRecorder())
    await ctx.leave()


@virtual
async def test_an_agent_that_would_hear_nobody_is_misuse() -> None:
    server = FakeLiveKit()
    for what in (AutoSubscribe.SUBSCRIBE_NONE, AutoSubscribe.VIDEO_ONLY):
        with pytest.raises(JobMisuse, match="subscribes to all audio"):
            await context(server).connect(auto_subscribe=what)
    assert server.joins == 0


@virtual
async def test_a_server_that_is_away_is_tried_again_and_a_refusal_is_not() -> None:
    server = FakeLiveKit()
    server.error = LiveKitUnreachable("away")
    ctx = context(server)
    asyncio.get_running_loop().call_later(1.0, setattr, server, "error", None)
    await ctx.connect()
    assert (server.joins, ctx.room.live) == (3, True)
    await ctx.leave()
    server.error = LiveKitRefused("keys")
    other = context(server)
    with pytest.raises(LiveKitRefused):
        await other.connect()
    assert server.joins == 4
    server.error = None
    await other.connect()
    assert other.room.live, "and may be tried later"
    await other.leave()


@virtual
async def test_waiting_for_a_participant_joins_the_room() -> None:
    server = FakeLiveKit()
    egress = await came(server, "recorder", ParticipantKind.EGRESS)
    ann = await came(server, "ann", ParticipantKind.STANDARD)
    ctx = context(server)
    kinds = [ParticipantKind.SIP, ParticipantKind.STANDARD]
    assert (await ctx.wait_for_participant(kind=kinds)).identity == "ann"
    assert (await ctx.wait_for_participant(kind=ParticipantKind.EGRESS)).identity == "recorder"
    assert (await ctx.wait_for_participant(identity="ann")).kind is ParticipantKind.STANDARD
    waiting = asyncio.create_task(ctx.wait_for_participant(kind=ParticipantKind.SIP))
    await asyncio.sleep(1)
    assert not waiting.done()
    ctx.shutdown("enough")
    with pytest.raises(RoomGone):
        await waiting
    for room in (egress, ann):
        await room.close()
    await ctx.leave()


@virtual
async def test_a_job_that_was_moved_and_is_lost_comes_back_to_where_it_was() -> None:
    server, office = FakeLiveKit("reception"), FakeLiveKit("office")
    ctx = context(server)
    await ctx.connect()
    server.move(US, office)
    connection = office.connection(US)
    connection.leave("signal_close")
    connection.tell(Disconnected(connection.now(), "signal_close"))
    await asyncio.sleep(1)
    token = server.connection(US).token  # the fake of the first room takes all that join anew
    claims = api.TokenVerifier(*KEYS).verify(token)
    assert claims.video is not None
    assert (claims.video.room, claims.video.agent, claims.identity) == ("office", True, US)
    await ctx.leave()


# --- participants -----------------------------------------------------------------------------------------------------


@virtual
async def test_each_participant_gets_its_own_run_of_an_entrypoint() -> None:
    server = FakeLiveKit()
    ran: list[str] = []

    async def greet(context: JobContext, who: RemoteParticipant) -> None:
        assert context is ctx
        ran.append(who.identity)
        try:
            await asyncio.Event().wait()
        finally:
            ran.append(f"end of {who.identity}")

    async def broken(_: JobContext, who: RemoteParticipant) -> None:
        raise RuntimeError(who.identity)

    ctx = context(server)
    ctx.add_participant_entrypoint(broken)
    ctx.add_participant_entrypoint(greet)
    with pytest.raises(ValueError, match="once"):
        ctx.add_participant_entrypoint(greet)
    rooms = [await came(server, "ann", ParticipantKind.STANDARD), await came(server, "agent-2", ParticipantKind.AGENT)]
    await ctx.connect()
    await asyncio.sleep(1)
    assert ran == ["ann"], "who was there before; agents don't count"
    rooms.append(await came(server, "sip_1"))
    await asyncio.sleep(1)
    assert ran == ["ann", "sip_1"]
    late: list[str] = []

    async def note(_: JobContext, who: RemoteParticipant) -> None:
        late.append(who.identity)

    ctx.add_participant_entrypoint(note, kind=ParticipantKind.SIP)
    await asyncio.sleep(1)
    assert late == ["sip_1"], "added late, it runs for those who are there"
    ctx.shutdown("over")
    await ctx.run_callbacks()
    assert sorted(ran) == ["ann", "end of ann", "end of sip_1", "sip_1"]
    for room in rooms:
        await room.close()
    await ctx.leave()


@virtual
async def test_somebody_who_comes_back_while_the_entrypoint_runs_does_not_get_a_second_one() -> None:
    server = FakeLiveKit()
    runs: list[asyncio.Event] = []

    async def serve(_: JobContext, who: RemoteParticipant) -> None:
        runs.append(asyncio.Event())
        await runs[-1].wait()

    ctx = context(server)
    ctx.add_participant_entrypoint(serve)
    await ctx.connect()
    for expected in (1, 1, 2):
        phone = await came(server, "sip_1")
        await asyncio.sleep(1)
        assert len(runs) == expected
        await phone.close()
        if len(runs) == expected == 1 and server.joins == 3:
            runs[0].set()  # it is over: the next time it runs again
            await asyncio.sleep(1)
    await ctx.run_callbacks()
    await ctx.leave()


# --- whose code it is -------------------------------------------------------------------------------------------------


@virtual
async def test_code_of_a_job_finds_its_job() -> None:
    found: list[JobContext] = []

    async def tool() -> None:
        found.append(get_job_context())

    async def run(ctx: JobContext) -> None:
        ctx.enter()
        await asyncio.create_task(tool())

    contexts = [context(FakeLiveKit()), context(FakeLiveKit())]
    await asyncio.gather(*(asyncio.create_task(run(each)) for each in contexts))
    assert found == contexts
    with pytest.raises(JobMisuse, match="no current job"):
        get_job_context()


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    factory = logging.getLogRecordFactory()
    handler = logging.Handler()
    kept: list[logging.LogRecord] = []
    handler.emit = kept.append  # type: ignore[method-assign]
    logger = logging.getLogger("a_tool")
    logger.addHandler(handler)
    add_log_fields()
    yield kept
    logger.removeHandler(handler)
    logging.setLogRecordFactory(factory)


async def test_a_jobs_log_lines_have_its_fields(records: list[logging.LogRecord]) -> None:
    log = logging.getLogger("a_tool")

    async def run(ctx: JobContext, **fields: Any) -> None:
        ctx.enter()
        ctx.log_context_fields = fields
        await asyncio.sleep(0)  # the other one has set its own by now
        log.warning("hello")
        await asyncio.sleep(0)
        ctx.log_context_fields["room"] = "other"
        log.warning("again", extra={"turn": 3})

    await asyncio.gather(
        asyncio.create_task(run(context(FakeLiveKit()), room="call-1", name="not the logger's")),
        asyncio.create_task(run(context(FakeLiveKit()), room="call-2", message="not the message")),
    )
    log.warning("of nobody")
    seen = [(record.getMessage(), getattr(record, "room", None)) for record in records]
    assert sorted(seen[:2]) == [("hello", "call-1"), ("hello", "call-2")]
    assert seen[2:] == [("again", "other"), ("again", "other"), ("of nobody", None)]
    assert {record.name for record in records} == {"a_tool"}
    assert records[-1].job_fields == ""  # type: ignore[attr-defined]
    assert records[2].turn == 3  # type: ignore[attr-defined]
    assert " room=other" in records[2].job_fields  # type: ignore[attr-defined]


# --- LiveKit's API ----------------------------------------------------------------------------------------------------


async def test_the_api_is_made_once_with_the_workers_keys_and_closed_with_the_job() -> None:
    ctx = context(FakeLiveKit())
    client = ctx.api
    assert client is ctx.api
    assert client.room._client.host == "http://fake:7880"
    await ctx.leave()
    assert client._session.closed


async def test_without_keys_there_is_no_api() -> None:
    ctx = context(FakeLiveKit(), keys=None)
    with pytest.raises(JobMisuse, match="without LiveKit's keys"):
        _ = ctx.api
    with pytest.raises(JobMisuse, match="without LiveKit's keys"):
        ctx.delete_room()
    await ctx.leave()


def test_process_knows_its_id() -> None:
    import os

    assert JobProcess("p").pid == os.getpid()
