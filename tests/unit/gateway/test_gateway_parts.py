"""What the gateway does with what its parts tell it: no sockets, no processes."""

from __future__ import annotations

import asyncio
import wave
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.testing.virtual_clock import run_virtual
from gateway.app import Gateway
from gateway.config import load_settings
from gateway.control import DigitByInfo, Drain, EndCall, LastWord, Message, Stop
from gateway.dialplan import Dialplan
from gateway.record import CallClosed, CallEvents, CallRecord, Outcome, WorkerLost
from telephony.call import CallInfo, Direction, EndedBy
from telephony.edge import CallerGone, DialogEnded, DigitPressed, InviteInfo, RefusedInvite
from telephony.edge.protocol import Source

SETTINGS = """\
sip:
  listen: ["udp://127.0.0.1:5060"]
  trunks: [{name: local, allow: ["127.0.0.0/8"]}]
dialplans: [demo.yaml]
workers: 1
drain_s: 20
"""
NOW = datetime(2026, 3, 4, tzinfo=UTC)
INVITE = InviteInfo("sip-1", "+14155550100", "", "+14155550123", {}, None, Source("127.0.0.1", 5070, "udp"), 1.0)


class FakeEdge:
    def __init__(self) -> None:
        self.did: list[tuple[str, ...]] = []
        self.words: dict[str, tuple[str, int, bytes]] = {}
        self.dialogs = 0

    def add_worker(self, name: str, host: str, port: int) -> None:
        self.did.append(("add", name))

    def end_worker_calls(self, name: str) -> None:
        self.did.append(("end worker", name))

    def remove_worker(self, name: str) -> None:
        self.did.append(("remove", name))

    def last_word(self, call_id: str) -> tuple[str, int, bytes] | None:
        return self.words.pop(call_id, None)

    def close_call(self, call_id: str, sip_status: int, cause: str) -> None:
        self.did.append(("close call", call_id, str(sip_status), cause))

    def end_call(self, call_id: str) -> bool:
        self.did.append(("end call", call_id))
        return True

    async def close(self) -> None:
        self.did.append(("close",))


class FakeSupervisor:
    wanted = 1
    workers: dict[str, object]

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.workers = {}
        self.sent: list[tuple[str, Message]] = []
        self.broadcasts: list[tuple[float, Message]] = []
        self.stopped_at: list[float] = []

    def send(self, name: str, message: Message) -> bool:
        self.sent.append((name, message))
        return True

    def broadcast(self, message: Message) -> None:
        self.broadcasts.append((self.now(), message))

    async def stop(self, message: Message, limit_s: float) -> None:
        assert isinstance(message, Stop)
        self.stopped_at.append(self.now())


class World:
    """A gateway after `start`, without what it started. `records` is all that was put on record, in order."""

    def __init__(self, recordings: Path) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        settings = load_settings("s.yaml", SETTINGS + f"recordings: {recordings}\n")
        self.gateway = Gateway(settings, Dialplan(()))
        self.now = lambda: round(loop.time() - began, 3)
        self.edge = self.gateway.edge = FakeEdge()
        self.supervisor = self.gateway.supervisor = FakeSupervisor(self.now)
        self.records: list[Any] = []
        closing = SimpleNamespace(close=_nothing)
        self.gateway.writer = SimpleNamespace(put=self.records.append, close=_nothing)
        self.gateway.api = self.gateway.store = closing
        self.gateway._store_lock = SimpleNamespace(release=lambda: None)
        self.gateway.admission = SimpleNamespace(
            draining=False,
            recordings={},
            info=lambda invite: CallInfo("new", Direction.INBOUND, invite.called, invite.caller, ""),
        )
        self.gateway.worker_ready("w1", 7001, 4)

    def take(self, *call_ids: str) -> None:
        for call_id in call_ids:
            self.gateway.dispatcher.take(call_id, asyncio.get_running_loop().time())

    def close(self, call_id: str) -> None:
        self.gateway.worker_record("w1", closed(call_id).to_dict())


async def _nothing() -> None:
    pass


def closed(call_id: str) -> CallClosed:
    return CallClosed(call_id=call_id, outcome=Outcome.ANSWERED, ended_by=EndedBy.CALLER, ended_at=NOW)


def play(tmp_path: Path, script: Callable[[World], Awaitable[None]]) -> World:
    async def run() -> World:
        world = World(tmp_path)
        await script(world)
        return world

    return run_virtual(run())


def test_a_closing_record_frees_the_slot(tmp_path: Path):
    async def script(world: World) -> None:
        world.take("a", "b")
        world.gateway.admission.recordings["a"] = "day/a.wav"
        world.close("a")
        world.close("a")
        assert world.gateway.dispatcher.busy == 1
        assert world.gateway.admission.recordings == {}

    play(tmp_path, script)


def test_a_record_that_is_none_of_ours_is_passed_over(tmp_path: Path):
    async def script(world: World) -> None:
        world.gateway.worker_record("w1", {"message": "nonsense"})
        world.gateway.worker_record("w1", {"message": "call_closed"})

    assert play(tmp_path, script).records == []


def test_a_lost_worker_ends_its_calls_for_callers_and_records(tmp_path: Path):
    async def script(world: World) -> None:
        world.take("a", "b")
        world.gateway.worker_lost("w1")
        assert world.gateway.dispatcher.busy == 0

    world = play(tmp_path, script)
    assert world.edge.did == [("add", "w1"), ("end worker", "w1"), ("remove", "w1")]
    (lost,) = world.records
    assert isinstance(lost, WorkerLost)
    assert lost.call_ids == ("a", "b")


def test_a_lost_worker_without_calls_leaves_no_record(tmp_path: Path):
    async def script(world: World) -> None:
        world.gateway.worker_lost("w1")
        world.gateway.worker_lost("w1")

    assert play(tmp_path, script).records == []


async def test_recordings_of_a_lost_worker_are_mended_and_put_on_record(tmp_path: Path):
    world = World(tmp_path)
    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(4 * 8000))
    broken = bytearray(path.read_bytes())
    broken[40:44] = bytes(4)  # as a process leaves it that dies: the sizes say that there is nothing
    path.write_bytes(broken)
    world.take("a", "b")
    world.gateway.admission.recordings |= {"a": "a.wav", "b": "b.wav"}
    await world.gateway._save_recordings(["a", "b"])
    first, second = world.records
    assert (first.recording.path, first.recording.duration_ms, first.outcome) == ("a.wav", 1000, Outcome.WORKER_LOST)
    assert second.recording.path == ""
    assert "not saved" in second.recording.error
    with wave.open(str(path)) as mended:
        assert mended.getnframes() == 8000


def test_a_call_that_its_worker_does_not_know_is_ended_after_the_grace(tmp_path: Path):
    async def script(world: World) -> None:
        world.take("a", "b")
        world.gateway.admission.recordings["a"] = "day/a.wav"
        world.gateway.worker_heartbeat("w1", {"b"})
        assert world.records == []
        await asyncio.sleep(11)
        world.gateway.worker_heartbeat("w1", {"b"})
        world.gateway.worker_heartbeat("w1", {"b"})
        assert world.gateway.dispatcher.worker_of("b") == "w1"

    world = play(tmp_path, script)
    assert world.edge.did[1:] == [("end call", "a")]
    assert world.supervisor.sent == [("w1", EndCall("a", False, "lost its owner"))]
    assert [record.call_ids for record in world.records] == [("a",)]
    assert world.gateway.admission.recordings == {}


def test_a_worker_is_left_with_the_last_word_for_each_of_its_calls(tmp_path: Path):
    async def script(world: World) -> None:
        world.take("a", "b")
        world.gateway.worker_heartbeat("w1", {"a", "b"})  # neither is confirmed yet
        world.edge.words["a"] = ("192.0.2.7", 5062, b"BYE \xe9")
        world.gateway.worker_heartbeat("w1", {"a", "b"})
        world.edge.words["a"] = ("192.0.2.7", 5062, b"BYE once more")
        world.gateway.worker_heartbeat("w1", {"a", "b"})

    assert play(tmp_path, script).supervisor.sent == [("w1", LastWord("a", "192.0.2.7", 5062, "BYE \xe9"))]


def test_a_dialog_that_ended_without_a_record_asks_the_worker(tmp_path: Path):
    async def script(world: World) -> None:
        world.take("a", "b")
        world.gateway._dialog_ended(DialogEnded("a", 488, "Not Acceptable Here"))
        world.gateway._dialog_ended(DialogEnded("b"))
        world.close("b")
        await asyncio.sleep(60)

    sent = play(tmp_path, script).supervisor.sent
    why = "refused by the worker's SIP stack: 488 Not Acceptable Here"
    assert sent == [("w1", EndCall("a", False, why, sip_status=488))]


def test_a_closing_record_ends_what_the_caller_still_has_of_the_call(tmp_path: Path):
    async def script(world: World) -> None:
        world.take("a")
        world.close("a")
        await asyncio.sleep(1)

    assert ("close call", "a", "0", "the call is over") in play(tmp_path, script).edge.did


def test_a_worker_that_did_not_notice_its_callers_end_is_told(tmp_path: Path):
    async def script(world: World) -> None:
        world.take("a")
        world.gateway._caller_gone(CallerGone("a", "the caller hung up"))
        world.gateway._caller_gone(CallerGone("unknown", "the caller hung up"))

    sent = play(tmp_path, script).supervisor.sent
    assert sent == [("w1", EndCall("a", False, "the caller hung up", by_caller=True))]


def test_a_key_by_info_goes_to_the_calls_worker(tmp_path: Path):
    async def script(world: World) -> None:
        world.take("a")
        world.gateway._digit(DigitPressed("a", "5", 160))
        world.gateway._digit(DigitPressed("unknown", "5", 160))

    assert play(tmp_path, script).supervisor.sent == [("w1", DigitByInfo("a", "5", 160))]


def test_an_invite_that_its_worker_did_not_take_is_closed_once(tmp_path: Path):
    async def script(world: World) -> None:
        world.take("a")
        refused = RefusedInvite(INVITE, 500, "Server Internal Error", "not taken", "not-taken", 1.0, "a")
        world.gateway._refused(refused)
        world.close("a")  # what the worker says when it is told

    world = play(tmp_path, script)
    assert [(record.outcome, record.sip_status, record.refused_by) for record in world.records] == [
        ("refused", 500, "not taken")
    ]
    assert world.supervisor.sent == [("w1", EndCall("a", False, "not taken", sip_status=500))]


def test_a_refused_invite_is_a_whole_record(tmp_path: Path):
    async def script(world: World) -> None:
        world.gateway._refused(RefusedInvite(INVITE, 404, "Not Found", "no number is +14155550100", "admitter", 1.0))

    (record,) = play(tmp_path, script).records
    assert isinstance(record, CallRecord)
    assert (record.outcome, record.sip_status, record.refused_by) == ("refused", 404, "no number is +14155550100")


def test_a_call_refused_after_it_was_admitted_gives_its_slot_back(tmp_path: Path):
    async def script(world: World) -> None:
        world.take("a")
        refused = RefusedInvite(INVITE, 500, "Server Internal Error", "the call's worker is gone", "error", 1.0, "a")
        world.gateway._refused(refused)
        assert world.gateway.dispatcher.busy == 0

    (record,) = play(tmp_path, script).records
    assert (record.call_id, record.outcome, record.sip_status) == ("a", Outcome.REFUSED, 500)


def test_a_listener_that_fails_costs_neither_the_record_nor_the_other_listeners(tmp_path: Path):
    heard: list[object] = []

    async def script(world: World) -> None:
        def gone(message: object) -> None:
            raise BrokenPipeError("the terminal is closed")

        world.take("a")
        world.gateway.listeners += [gone, heard.append]
        world.close("a")
        assert world.gateway.dispatcher.busy == 0

    world = play(tmp_path, script)
    assert heard == world.records
    assert len(heard) == 1


# --- drain ----------------------------------------------------------------------------------------------------------


def test_without_calls_a_drain_stops_at_once(tmp_path: Path):
    async def script(world: World) -> None:
        await world.gateway.drain()

    world = play(tmp_path, script)
    assert world.gateway.admission.draining
    assert world.supervisor.stopped_at[0] == 0
    assert world.supervisor.broadcasts == []


@pytest.mark.parametrize("how", ["closed", "worker lost", "orphan", "refused"])
def test_a_drain_waits_for_the_last_call_whatever_becomes_of_it(tmp_path: Path, how: str):
    async def script(world: World) -> None:
        world.take("a", "b")
        draining = asyncio.create_task(world.gateway.drain())
        await asyncio.sleep(1)
        world.close("b")
        await asyncio.sleep(11)
        assert not draining.done()
        if how == "closed":
            world.close("a")
        elif how == "worker lost":
            world.gateway.worker_lost("w1")
        elif how == "orphan":
            world.gateway.worker_heartbeat("w1", set())
        else:
            world.gateway._refused(RefusedInvite(INVITE, 500, "", "", "error", 1.0, "a"))
        await draining

    world = play(tmp_path, script)
    assert world.supervisor.stopped_at[0] == 12
    assert world.supervisor.broadcasts == []


def test_calls_that_outlive_the_drain_get_a_goodbye_and_then_the_stop(tmp_path: Path):
    async def script(world: World) -> None:
        world.take("a", "b")
        draining = asyncio.create_task(world.gateway.drain())
        await asyncio.sleep(25)
        world.close("b")
        await draining

    world = play(tmp_path, script)
    assert world.supervisor.broadcasts == [(20.0, Drain("the gateway is shutting down"))]
    assert world.supervisor.stopped_at[0] == 35
    assert world.edge.did[-1] == ("close",)


def test_a_second_request_to_stop_waits_for_nobody(tmp_path: Path):
    async def script(world: World) -> None:
        world.take("a")
        world.gateway.stop()
        draining = asyncio.create_task(world.gateway.drain())
        await asyncio.sleep(3)
        world.gateway.stop()
        await draining

    world = play(tmp_path, script)
    assert world.supervisor.stopped_at[0] == 3
    assert world.supervisor.broadcasts == []


# --- health ---------------------------------------------------------------------------------------------------------


def test_health_says_whether_calls_can_be_taken(tmp_path: Path):
    async def script(world: World) -> None:
        world.gateway.writer.state = SimpleNamespace(healthy=True, error="")
        assert world.gateway.health().state == "ready"
        world.gateway.writer.state = SimpleNamespace(healthy=False, error="disk full")
        assert "disk full" in world.gateway.health().warnings[0]
        world.gateway.worker_lost("w1")
        assert world.gateway.health().state == "failing"
        world.gateway.admission.draining = True
        assert world.gateway.health().state == "draining"

    play(tmp_path, script)


def test_events_of_a_call_reach_listeners_as_they_come(tmp_path: Path):
    heard: list[object] = []

    async def script(world: World) -> None:
        world.gateway.listeners.append(heard.append)
        world.gateway.worker_record("w1", CallEvents(call_id="a", events=({"type": "digit_received"},)).to_dict())

    play(tmp_path, script)
    assert [type(message) for message in heard] == [CallEvents]
