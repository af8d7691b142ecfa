"""How the gateway handles reports of its edge and workers, without sockets or processes."""

from __future__ import annotations

import asyncio
import wave
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agent.testing.virtual_clock import run_virtual
from gateway.control import DigitByInfo, EndLeg, LastWord
from gateway.dispatch import Dispatcher
from gateway.end_words import attempt_line
from gateway.fakes import FakeEdge, FakeWorkers
from gateway.health import health_report
from gateway.live_calls import LiveCalls
from gateway.reconciler import Reconciler
from gateway.record import CallClosed, CallEvents, CallOpened, CallRecord, LegClosed, Outcome, WorkerLost, leg_id_of
from gateway.record_flow import RecordFlow
from gateway.store import WriterState
from telephony.call import CallInfo, Direction, EndedBy
from telephony.edge import CallerGone, DialAttempted, DialogEnded, DigitPressed, InviteInfo, RefusedInvite
from telephony.edge.protocol import Source
from telephony.sip.resolving import Place

NOW = datetime(2026, 3, 4, tzinfo=UTC)
INVITE = InviteInfo("sip-1", "+14155550100", "", "+14155550123", {}, None, Source("127.0.0.1", 5070, "udp"), 1.0)


class World:
    """A gateway's calls, whose edge and workers are fakes. `records`: everything recorded, in order, except beginnings
    of calls."""

    def __init__(self, recordings: Path) -> None:
        loop = asyncio.get_running_loop()
        self.records: list[Any] = []
        self.live = LiveCalls()
        self.flow = RecordFlow(self._stored, self.live)
        self.dispatcher = Dispatcher(self.live)
        self.calls = Reconciler(self.live, self.dispatcher, self.flow.put, recordings)
        self.edge, self.workers = FakeEdge(), FakeWorkers(loop.time)
        self.calls.connect(self.edge, self.workers, info_of)
        self.calls.worker_ready("w1", 7001, 4)

    def _stored(self, message: object) -> None:
        if not isinstance(message, CallOpened):
            self.records.append(message)

    def take(self, *call_ids: str, recording: str = "") -> None:
        for call_id in call_ids:
            self.dispatcher.take(call_id, asyncio.get_running_loop().time())
            call = self.live.get(call_id)
            assert call is not None
            call.recording = recording and f"{call_id}{recording}"
            self.flow.put(CallOpened.of(info_of(INVITE, call_id), started_at=NOW))

    def close(self, call_id: str) -> None:
        self.calls.worker_record("w1", closed(call_id).to_dict())


def info_of(invite: InviteInfo, call_id: str = "new") -> CallInfo:
    return CallInfo(call_id, Direction.INBOUND, invite.called, invite.caller, "")


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
        world.close("a")
        world.close("a")
        assert [call.call_id for call in world.live] == ["b"]
        assert (world.dispatcher.busy, world.dispatcher.free) == (1, 3)

    play(tmp_path, script)


def test_a_record_that_is_none_of_ours_is_passed_over(tmp_path: Path):
    async def script(world: World) -> None:
        world.calls.worker_record("w1", {"message": "nonsense"})
        world.calls.worker_record("w1", {"message": "call_closed"})

    assert play(tmp_path, script).records == []


def test_a_lost_worker_ends_its_calls_for_callers_and_records(tmp_path: Path):
    async def script(world: World) -> None:
        world.take("a", "b")
        world.calls.worker_lost("w1")
        assert world.dispatcher.busy == 0

    world = play(tmp_path, script)
    assert world.edge.did == [("add", "w1"), ("end worker", "w1"), ("remove", "w1")]
    (lost,) = world.records
    assert isinstance(lost, WorkerLost)
    assert lost.call_ids == ("a", "b")


def test_a_lost_worker_takes_only_its_own_legs_and_the_calls_whose_room_it_had(tmp_path: Path):
    async def script(world: World) -> None:
        world.calls.worker_ready("w2", 7002, 4)
        now = asyncio.get_running_loop().time()
        for call_id, holder, other in (("a", "w1", "w2"), ("b", "w2", "w1")):
            world.dispatcher.take(call_id, now, prefer=holder)
            world.flow.put(CallOpened.of(info_of(INVITE, call_id), started_at=NOW))
            world.dispatcher.take(call_id, now, leg_id=f"{call_id}-2", prefer=other)
        world.calls.worker_lost("w1")
        assert [call.call_id for call in world.live] == ["b"]
        assert sorted(world.live.of_worker("w2")) == ["a-2", "b-1"], "the former until it has ended itself"

    world = play(tmp_path, script)
    (lost,) = world.records
    assert (lost.call_ids, lost.leg_ids) == (("a",), ("b-2",))
    assert world.workers.sent == [("w2", EndLeg("a-2", False, "its call was lost"))]


def test_the_end_of_a_further_leg_frees_its_slot_and_its_dialog(tmp_path: Path):
    async def script(world: World) -> None:
        world.take("a")
        world.dispatcher.take("a", asyncio.get_running_loop().time(), leg_id="a-2")
        ended = LegClosed(leg_id="a-2", call_id="a", outcome=Outcome.ANSWERED, ended_at=NOW, end_reason="hung up")
        world.calls.worker_record("w1", ended.to_dict())
        assert (world.dispatcher.busy, world.live.worker_of("a-1")) == (1, "w1")
        await asyncio.sleep(1)

    assert ("close leg", "a-2", "0", "hung up") in play(tmp_path, script).edge.did


def test_a_further_leg_that_its_worker_does_not_know_does_not_cost_the_call(tmp_path: Path):
    async def script(world: World) -> None:
        world.take("a")
        world.dispatcher.take("a", asyncio.get_running_loop().time(), leg_id="a-2")
        await asyncio.sleep(11)
        world.calls.worker_heartbeat("w1", {"a-1"})
        assert (world.dispatcher.busy, [call.call_id for call in world.live]) == (1, ["a"])

    (lost,) = play(tmp_path, script).records
    assert (lost.call_ids, lost.leg_ids) == ((), ("a-2",))


def test_a_lost_worker_without_calls_leaves_no_record(tmp_path: Path):
    async def script(world: World) -> None:
        world.calls.worker_lost("w1")
        world.calls.worker_lost("w1")

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
    world.take("a", "b", recording=".wav")
    world.take("c")  # is not recorded
    world.calls.worker_lost("w1")
    await world.calls.close(5)
    lost, first, second = world.records
    assert lost.call_ids == ("a", "b", "c")
    assert (first.recording.path, first.recording.duration_ms, first.outcome) == ("a.wav", 1000, Outcome.WORKER_LOST)
    assert second.recording.path == ""
    assert "not saved" in second.recording.error
    with wave.open(str(path)) as mended:
        assert mended.getnframes() == 8000


def test_a_call_that_its_worker_does_not_know_is_ended_after_the_grace(tmp_path: Path):
    async def script(world: World) -> None:
        world.take("a", "b")
        world.calls.worker_heartbeat("w1", {"b-1"})
        assert world.records == []
        await asyncio.sleep(11)
        world.calls.worker_heartbeat("w1", {"b-1"})
        world.calls.worker_heartbeat("w1", {"b-1"})
        assert world.live.worker_of("b-1") == "w1"

    world = play(tmp_path, script)
    assert world.edge.did[1:] == [("end leg", "a-1")]
    assert world.workers.sent == [("w1", EndLeg("a-1", False, "lost its owner"))]
    assert [record.call_ids for record in world.records] == [("a",)]
    assert [call.call_id for call in world.live] == ["b"]


def test_a_worker_is_left_with_the_last_word_for_each_of_its_calls(tmp_path: Path):
    async def script(world: World) -> None:
        world.take("a", "b")
        world.calls.worker_heartbeat("w1", {"a-1", "b-1"})  # neither is confirmed yet
        world.edge.words["a-1"] = ("192.0.2.7", 5062, b"BYE \xe9")
        world.calls.worker_heartbeat("w1", {"a-1", "b-1"})
        world.edge.words["a-1"] = ("192.0.2.7", 5062, b"BYE once more")
        world.calls.worker_heartbeat("w1", {"a-1", "b-1"})

        for word in (b"CANCEL 1", b"CANCEL 1", b"BYE 2", b"BYE 2"):
            world.edge.words["b-1"] = ("192.0.2.7", 5062, word)
            world.calls.worker_heartbeat("w1", {"a-1", "b-1"})

    assert play(tmp_path, script).workers.sent == [
        ("w1", LastWord("a-1", "192.0.2.7", 5062, "BYE \xe9")),
        ("w1", LastWord("b-1", "192.0.2.7", 5062, "CANCEL 1")),
        ("w1", LastWord("b-1", "192.0.2.7", 5062, "BYE 2")),
    ]


def test_a_dialog_that_ended_without_a_record_asks_the_worker(tmp_path: Path):
    async def script(world: World) -> None:
        world.take("a", "b")
        world.calls.dialog_ended(DialogEnded("a-1", 488, "Not Acceptable Here"))
        world.calls.dialog_ended(DialogEnded("b-1"))
        world.close("b")
        await asyncio.sleep(60)

    sent = play(tmp_path, script).workers.sent
    why = "refused by the worker's SIP stack: 488 Not Acceptable Here"
    assert sent == [("w1", EndLeg("a-1", False, why, sip_status=488))]


def test_a_closing_record_ends_what_the_caller_still_has_of_the_call(tmp_path: Path):
    async def script(world: World) -> None:
        world.take("a")
        world.close("a")
        await asyncio.sleep(1)

    assert ("close leg", "a-1", "0", "the call has ended") in play(tmp_path, script).edge.did


def test_a_worker_that_did_not_notice_its_callers_end_is_told(tmp_path: Path):
    async def script(world: World) -> None:
        world.take("a")
        world.calls.caller_gone(CallerGone("a-1", "the caller hung up"))
        world.calls.caller_gone(CallerGone("unknown", "the caller hung up"))

    sent = play(tmp_path, script).workers.sent
    assert sent == [("w1", EndLeg("a-1", False, "the caller hung up", by_peer=True))]


def test_a_key_by_info_goes_to_the_calls_worker(tmp_path: Path):
    async def script(world: World) -> None:
        world.take("a")
        world.calls.digit(DigitPressed("a-1", "5", 160))
        world.calls.digit(DigitPressed("unknown", "5", 160))

    assert play(tmp_path, script).workers.sent == [("w1", DigitByInfo("a-1", "5", 160))]


def test_an_invite_that_its_worker_did_not_take_is_closed_once(tmp_path: Path):
    async def script(world: World) -> None:
        world.take("a")
        refused = RefusedInvite(INVITE, 500, "Server Internal Error", "not taken", "not-taken", 1.0, "a-1")
        world.calls.refused(refused)
        world.close("a")  # what the worker says when it is told

    world = play(tmp_path, script)
    assert [(record.outcome, record.sip_status, record.refused_by) for record in world.records] == [
        ("refused", 500, "not taken")
    ]
    assert world.workers.sent == [("w1", EndLeg("a-1", False, "not taken", sip_status=500))]


def test_a_refused_invite_is_a_whole_record(tmp_path: Path):
    async def script(world: World) -> None:
        world.calls.refused(RefusedInvite(INVITE, 404, "Not Found", "no number is +14155550100", "admitter", 1.0))

    (record,) = play(tmp_path, script).records
    assert isinstance(record, CallRecord)
    assert (record.outcome, record.sip_status, record.refused_by) == ("refused", 404, "no number is +14155550100")


def test_a_call_refused_after_it_was_admitted_gives_its_slot_back(tmp_path: Path):
    async def script(world: World) -> None:
        world.take("a")
        refused = RefusedInvite(INVITE, 500, "Server Internal Error", "the call's worker is gone", "error", 1.0, "a-1")
        world.calls.refused(refused)
        assert world.dispatcher.busy == 0

    (record,) = play(tmp_path, script).records
    assert (record.call_id, record.outcome, record.sip_status) == ("a", Outcome.REFUSED, 500)


def test_a_listener_that_fails_costs_neither_the_record_nor_the_other_listeners(tmp_path: Path):
    heard: list[object] = []

    async def script(world: World) -> None:
        def gone(message: object) -> None:
            raise BrokenPipeError("the terminal is closed")

        world.take("a")
        world.flow.listeners += [gone, heard.append]
        world.close("a")
        assert world.dispatcher.busy == 0

    world = play(tmp_path, script)
    assert heard == world.records
    assert len(heard) == 1


def test_events_of_a_call_reach_listeners_as_they_come(tmp_path: Path):
    heard: list[object] = []

    async def script(world: World) -> None:
        world.flow.listeners.append(heard.append)
        world.calls.worker_record("w1", CallEvents(call_id="a", events=({"type": "digit_received"},)).to_dict())

    play(tmp_path, script)
    assert [type(message) for message in heard] == [CallEvents]


def test_health_says_whether_calls_can_be_taken() -> None:
    def report(**changes: Any) -> Any:
        facts = {"wanted": 1, "was_ready": True, "draining": False, **changes}
        return health_report(dispatcher, facts.pop("writer", healthy), **facts)

    healthy, sick = WriterState(0, 0, 0, 0, 0, ""), WriterState(7, 100, 3, 1, 2, "disk full")
    dispatcher = Dispatcher(LiveCalls())
    assert report(was_ready=False).state == "starting"
    assert report().state == "failing"
    dispatcher.add("w1", 7001, 4)
    assert (report().state, report().figures["slots_free"]) == ("ready", 4)
    assert "disk full" in report(writer=sick, warnings=["LiveKit is away"]).warnings[0]
    assert report(warnings=["LiveKit is away"]).warnings == ("LiveKit is away",)
    assert report(draining=True).state == "draining"


def test_each_place_that_a_call_was_tried_at_is_in_its_record(tmp_path: Path) -> None:
    async def main() -> None:
        world = World(tmp_path)
        world.take("c1")
        place = Place("udp", "192.0.2.7", 5060, "sip.carrier.example")
        refused = DialAttempted(leg_id_of("c1"), place, 503, "Service Unavailable", 10.0, 10.25, cause=34)
        world.calls.attempted(refused)
        world.calls.attempted(DialAttempted("leg-of-nobody", place, 200, "OK", 10.0, 10.1))
        (events,) = [record for record in world.records if isinstance(record, CallEvents)]
        (entry,) = events.events
        assert (events.call_id, entry["type"], entry["host"]) == ("c1", "dial_attempt", "udp:192.0.2.7:5060")
        assert (entry["status"], entry["q850_cause"], entry["took_ms"], entry["t_ms"]) == (503, 34, 250.0, 0.0)
        began = datetime.fromisoformat(entry["started_at"])
        assert (entry["transport"], datetime.now(UTC) - began >= timedelta(seconds=0.25)) == ("udp", True)
        assert attempt_line(entry) == "tried udp:192.0.2.7:5060: Service Unavailable (SIP 503, Q.850 34)"

    run_virtual(main())
