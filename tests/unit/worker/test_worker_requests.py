"""A program that decides which jobs it takes: its answers, and those sent to LiveKit."""

from __future__ import annotations

import asyncio

import pytest
from livekit.protocol import agent as pb
from livekit.protocol import models

from agent.worker.load import Accept, Refuse
from agent.worker.protocol import Accepted, AskProgram, BeginJob, Refused, Registration, WorkerMachine, sends
from agent.worker.requests import Acceptance, JobRequest, Rejection, asked
from agent.worker.server import AgentServer
from tests.unit.livekit.virtually import virtual

JOB = pb.Job(id="AJ_1", room=models.Room(name="call-1"), agent_name="clinic")


@virtual
async def test_what_a_program_may_say() -> None:
    async def takes(request: JobRequest) -> None:
        assert (request.id, request.room.name, request.agent_name, request.publisher) == (
            "AJ_1",
            "call-1",
            "clinic",
            None,
        )
        await request.accept(name="Rosa", identity="rosa", metadata="m", attributes={"a": "b"})

    async def leaves(request: JobRequest) -> None:
        await request.reject()

    async def leaves_to_others(request: JobRequest) -> None:
        await request.reject(terminate=False)

    async def silent(_: JobRequest) -> None: ...

    async def broken(_: JobRequest) -> None:
        raise KeyError("tenant")

    async def slow(_: JobRequest) -> None:
        await asyncio.sleep(60)

    async def takes_and_goes_on(request: JobRequest) -> None:
        await request.accept()
        await asyncio.sleep(60)

    assert await asked(takes, JOB) == Acceptance("rosa", "Rosa", "m", {"a": "b"})
    assert await asked(leaves, JOB) == Rejection("on_request rejected it", for_all=True)
    assert await asked(leaves_to_others, JOB) == Rejection("on_request rejected it")
    assert await asked(silent, JOB) == Rejection("on_request neither accepted nor rejected it")
    assert await asked(broken, JOB) == Rejection("on_request failed: KeyError: 'tenant'")
    assert await asked(slow, JOB) == Rejection("on_request did not answer within 5 s")
    assert await asked(takes_and_goes_on, JOB) == Acceptance()


async def test_a_request_is_answered_once() -> None:
    request = JobRequest(JOB)
    await request.accept()
    with pytest.raises(RuntimeError, match="AJ_1 was answered before"):
        await request.reject()


# --- the machine ------------------------------------------------------------------------------------------------------


class Place:
    verdict: Accept | Refuse = Accept()

    def __call__(self, running: int, reserved: int) -> Accept | Refuse:
        return self.verdict


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def machine(place: Place) -> WorkerMachine:
    machine = WorkerMachine(Registration("clinic", asks=True), place)
    machine.connected(0.0)
    machine.received(pb.ServerMessage(register=pb.RegisterWorkerResponse(worker_id="AW_1")), 0.0)
    return machine


OFFER = pb.ServerMessage(availability=pb.AvailabilityRequest(job=JOB))


def test_a_job_is_offered_to_the_program_and_taken_as_it_says(machine: WorkerMachine) -> None:
    assert machine.received(OFFER, 1.0) == (AskProgram(JOB),)
    assert machine.reserved == 1, "its place is kept"
    actions = machine.decided(JOB, Acceptance("rosa", "Rosa", "m", {"a": "b"}), 2.0)
    assert actions[1:] == (Accepted("AJ_1"),)
    (message,) = sends(actions)
    said = message.availability
    assert (said.available, said.participant_identity, said.participant_name) == (True, "rosa", "Rosa")
    assert (said.participant_metadata, dict(said.participant_attributes)) == (
        "m",
        {"lk.agent_name": "clinic", "a": "b"},
    )
    begin, _ = machine.received(pb.ServerMessage(assignment=pb.JobAssignment(job=JOB, token="t")), 2.1)
    assert begin == BeginJob(JOB, "", "t", "rosa")


def test_without_wishes_it_is_taken_as_always(machine: WorkerMachine) -> None:
    machine.received(OFFER, 1.0)
    (message,) = sends(machine.decided(JOB, Acceptance(), 1.0))
    said = message.availability
    assert (said.participant_identity, said.participant_name) == ("agent-AJ_1", "clinic")


@pytest.mark.parametrize("for_all", [True, False])
def test_what_the_program_does_not_want_is_refused_and_its_place_free(machine: WorkerMachine, for_all: bool) -> None:
    machine.received(OFFER, 1.0)
    actions = machine.decided(JOB, Rejection("no", for_all), 2.0)
    assert actions[1:] == (Refused("AJ_1", "call-1", "no"),)
    (message,) = sends(actions)
    assert (message.availability.available, message.availability.terminate) == (False, for_all)
    assert machine.reserved == 0


def test_without_a_place_the_program_is_not_asked(machine: WorkerMachine, place: Place) -> None:
    place.verdict = Refuse("load is 0.90")
    assert machine.received(OFFER, 1.0)[1:] == (Refused("AJ_1", "call-1", "load is 0.90"),)


def test_an_answer_that_comes_too_late_is_none(machine: WorkerMachine) -> None:
    machine.received(OFFER, 1.0)
    machine.tick(10.0)
    assert machine.decided(JOB, Acceptance(), 10.1) == ()
    machine.received(OFFER, 11.0)
    machine.lost(11.5)
    assert machine.decided(JOB, Acceptance(), 12.0) == ()
    assert machine.reserved == 0


# --- the server -------------------------------------------------------------------------------------------------------


async def entry(_: object) -> None: ...


async def on_request(_: JobRequest) -> None: ...


def test_an_entrypoint_is_registered_with_parentheses_or_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIVEKIT_AGENT_NAME", raising=False)
    bare, named, direct = AgentServer(), AgentServer(), AgentServer()
    assert bare.rtc_session(entry) is entry
    assert named.rtc_session(agent_name="desk", type="publisher", on_request=on_request)(entry) is entry
    assert direct.rtc_session(entry, agent_name="desk") is entry
    for server, name, job_type, asks in (
        (bare, "", "room", False), (named, "desk", "publisher", True), (direct, "desk", "room", False),
    ):  # fmt: skip
        told = server._registration
        assert (told.agent_name, told.job_type, told.asks) == (name, job_type, asks)
    with pytest.raises(ValueError, match="one rtc_session"):
        bare.rtc_session(entry)
    with pytest.raises(ValueError, match=r"room.*publisher.*'participant'"):
        AgentServer().rtc_session(type="participant")


def test_the_agents_name_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEKIT_AGENT_NAME", "night")
    by_environment, by_argument = AgentServer(), AgentServer()
    by_environment.rtc_session(entry)
    by_argument.rtc_session(entry, agent_name="day")
    assert by_environment._registration.agent_name == "night"
    assert by_argument._registration.agent_name == "day"
