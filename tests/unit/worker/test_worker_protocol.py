"""The worker's protocol machine: what LiveKit says, and what is done about it."""

from __future__ import annotations

import pytest
from livekit.protocol import agent as pb
from livekit.protocol import models

from agent.worker.load import Accept, Refuse
from agent.worker.protocol import (
    Accepted,
    BeginJob,
    Drop,
    EndJob,
    JobOutcome,
    ProtocolMisuse,
    Refused,
    Registered,
    Registration,
    RetryAfter,
    Send,
    WorkerMachine,
    WorkerState,
    backoff_s,
    sends,
)


class Verdict:
    """What the machine is told when it asks whether one more job fits."""

    def __init__(self) -> None:
        self.now: Accept | Refuse = Accept()
        self.asked: list[tuple[int, int]] = []

    def __call__(self, running: int, reserved: int) -> Accept | Refuse:
        self.asked.append((running, reserved))
        return self.now


@pytest.fixture
def verdict() -> Verdict:
    return Verdict()


@pytest.fixture
def machine(verdict: Verdict) -> WorkerMachine:
    """Registered at 0 s."""
    machine = WorkerMachine(Registration("clinic", "1.2"), verdict)
    machine.connected(0.0)
    machine.received(registered("AW_1"), 0.0)
    return machine


def registered(worker_id: str) -> pb.ServerMessage:
    info = models.ServerInfo(version="1.13.3")
    return pb.ServerMessage(register=pb.RegisterWorkerResponse(worker_id=worker_id, server_info=info))


def job(job_id: str = "AJ_1") -> pb.Job:
    return pb.Job(id=job_id, room=models.Room(name="call-1", sid="RM_1"))


def asked(job_id: str = "AJ_1") -> pb.ServerMessage:
    return pb.ServerMessage(availability=pb.AvailabilityRequest(job=job(job_id)))


def assigned(job_id: str = "AJ_1") -> pb.ServerMessage:
    return pb.ServerMessage(assignment=pb.JobAssignment(job=job(job_id), token="t"))


def terminated(job_id: str = "AJ_1") -> pb.ServerMessage:
    return pb.ServerMessage(termination=pb.JobTermination(job_id=job_id))


def test_it_introduces_itself(verdict: Verdict) -> None:
    machine = WorkerMachine(Registration("clinic", "1.2", "ns"), verdict)
    (message,) = sends(machine.connected(0.0))
    register = message.register
    assert (register.agent_name, register.version, register.namespace) == ("clinic", "1.2", "ns")
    assert register.type == pb.JT_ROOM
    assert register.allowed_permissions.can_publish and register.allowed_permissions.agent
    assert machine.state is WorkerState.REGISTERING
    assert machine.received(registered("AW_1"), 0.1) == (Registered("AW_1", "1.13.3"),)
    assert machine.state is WorkerState.REGISTERED


def test_connecting_twice_is_misuse(machine: WorkerMachine) -> None:
    with pytest.raises(ProtocolMisuse, match="connected while registered"):
        machine.connected(1.0)


def test_a_job_from_the_question_to_its_end(machine: WorkerMachine) -> None:
    answer, accepted = machine.received(asked(), 1.0)
    assert isinstance(answer, Send) and accepted == Accepted("AJ_1")
    said = answer.message.availability
    assert (said.job_id, said.available, said.participant_identity) == ("AJ_1", True, "agent-AJ_1")
    assert said.participant_attributes["lk.agent_name"] == "clinic"
    assert machine.reserved == 1
    begin, status = machine.received(assigned(), 1.1)
    assert begin == BeginJob(job(), "", "t", "agent-AJ_1")
    assert isinstance(status, Send) and status.message.update_job.status == pb.JS_RUNNING
    assert (machine.reserved, machine.running) == (0, ("AJ_1",))
    (over,) = sends(machine.job_ended("AJ_1", JobOutcome.FAILED, "it broke"))
    assert (over.update_job.status, over.update_job.error) == (pb.JS_FAILED, "it broke")
    assert machine.running == ()
    assert machine.job_ended("AJ_1", JobOutcome.SUCCESS) == ()


def test_a_refusal_says_no_and_why(machine: WorkerMachine, verdict: Verdict) -> None:
    verdict.now = Refuse("load is 0.90")
    answer, refused = machine.received(asked(), 1.0)
    assert isinstance(answer, Send) and not answer.message.availability.available
    assert refused == Refused("AJ_1", "call-1", "load is 0.90")
    assert machine.reserved == 0


def test_a_job_that_is_here_already_is_not_taken_twice(machine: WorkerMachine) -> None:
    machine.received(asked(), 1.0)
    _, refused = machine.received(asked(), 1.1)
    assert refused == Refused("AJ_1", "call-1", "this job is running already")
    machine.received(assigned(), 1.2)
    assert machine.received(assigned(), 1.3) == ()


def test_jobs_that_were_accepted_count_until_they_are_assigned_or_late(
    machine: WorkerMachine, verdict: Verdict
) -> None:
    machine.received(asked("AJ_1"), 1.0)
    machine.received(asked("AJ_2"), 1.1)
    assert verdict.asked[-1] == (0, 1)
    machine.tick(9.05)
    assert machine.reserved == 1
    machine.tick(9.2)
    assert machine.reserved == 0


def test_the_status_says_full_when_no_more_fits(machine: WorkerMachine, verdict: Verdict) -> None:
    (message,) = sends(machine.status(0.4))
    assert (message.update_worker.status, message.update_worker.job_count) == (pb.WS_AVAILABLE, 0)
    assert message.update_worker.load == pytest.approx(0.4)
    verdict.now = Refuse("draining")
    (message,) = sends(machine.status(0.9))
    assert message.update_worker.status == pb.WS_FULL
    assert message.update_worker.load == pytest.approx(0.9)


def test_an_available_worker_never_tells_the_servers_target_load(machine: WorkerMachine) -> None:
    (message,) = sends(machine.status(1.0))
    assert message.update_worker.load < 0.7


def test_an_end_that_the_server_asks_for(machine: WorkerMachine) -> None:
    machine.received(asked(), 1.0)
    machine.received(assigned(), 1.1)
    assert machine.received(terminated(), 2.0) == (EndJob("AJ_1"),)
    assert machine.received(terminated("AJ_9"), 2.0) == ()


def test_the_end_of_the_agent_that_was_replaced_is_not_the_end_of_the_new_one(machine: WorkerMachine) -> None:
    machine.received(asked(), 1.0)
    machine.received(assigned(), 1.1)
    machine.job_replaced("AJ_1")
    assert machine.received(terminated(), 2.0) == ()
    assert machine.received(terminated(), 3.0) == (EndJob("AJ_1"),)


def test_after_a_reconnect_the_server_is_told_of_running_jobs(machine: WorkerMachine) -> None:
    machine.received(asked("AJ_1"), 1.0)
    machine.received(assigned("AJ_1"), 1.1)
    machine.received(asked("AJ_2"), 1.2)
    assert machine.lost(2.0) == (RetryAfter(0.2),)
    assert (machine.state, machine.reserved, machine.running) == (WorkerState.OFFLINE, 0, ("AJ_1",))
    assert machine.status(0.1) == () and machine.tick(3.0) == ()
    machine.connected(3.0)
    told, migrate, running = machine.received(registered("AW_2"), 3.1)
    assert told == Registered("AW_2", "1.13.3")
    assert isinstance(migrate, Send) and list(migrate.message.migrate_job.job_ids) == ["AJ_1"]
    assert isinstance(running, Send) and running.message.update_job.status == pb.JS_RUNNING


def test_a_job_that_ends_while_offline_is_not_told(machine: WorkerMachine) -> None:
    machine.received(asked(), 1.0)
    machine.received(assigned(), 1.1)
    machine.lost(2.0)
    assert machine.job_ended("AJ_1", JobOutcome.SUCCESS) == ()
    assert machine.running == ()


def test_pauses_between_attempts_grow_and_a_registration_resets_them(machine: WorkerMachine) -> None:
    assert [backoff_s(n) for n in (1, 2, 3, 6, 7, 50)] == [0.2, 0.4, 0.8, 6.4, 10.0, 10.0]
    assert [machine.lost(t)[0] for t in (1.0, 2.0, 3.0)] == [RetryAfter(0.2), RetryAfter(0.4), RetryAfter(0.8)]
    machine.connected(4.0)
    machine.received(registered("AW_2"), 4.1)
    assert machine.lost(5.0) == (RetryAfter(0.2),)


def test_a_dead_connection_is_found_by_its_silence(machine: WorkerMachine) -> None:
    assert machine.tick(4.9) == ()
    (ping,) = sends(machine.tick(5.0))
    assert ping.ping.timestamp == 5000
    machine.received(pb.ServerMessage(pong=pb.WorkerPong(timestamp=1)), 5.1)
    assert sends(machine.tick(20.0)), "15 s since the pong are not over"
    (drop,) = machine.tick(20.2)
    assert isinstance(drop, Drop) and "nothing for 15 s" in drop.reason


def test_a_registration_that_is_not_answered(verdict: Verdict) -> None:
    machine = WorkerMachine(Registration(), verdict)
    machine.connected(0.0)
    assert machine.tick(10.0) == (Send(pb.WorkerMessage(ping=pb.WorkerPing(timestamp=10_000))),)
    assert isinstance(machine.tick(10.1)[0], Drop)


def test_a_server_that_does_not_answer_the_registration_first(verdict: Verdict) -> None:
    machine = WorkerMachine(Registration(), verdict)
    machine.connected(0.0)
    (drop,) = machine.received(asked(), 0.1)
    assert drop == Drop("the server sent availability before the registration was answered")
    assert machine.received(pb.ServerMessage(pong=pb.WorkerPong()), 0.1) == ()
