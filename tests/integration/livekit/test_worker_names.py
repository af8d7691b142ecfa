"""A program that uses the names that people know from livekit-agents, on a real LiveKit server."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from rooms import until
from worker_phone import Phone, calling

PROGRAM = Path(__file__).with_name("known_names_program.py")


class RunningProgram:
    def __init__(self, folder: Path, stack: Any, agent_name: str) -> None:
        self._path = folder / "program.log"
        environment = {
            **stack.environment, "AGENT_NAME": agent_name, "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(Path(__file__).parents[3]),
        }  # fmt: skip
        with self._path.open("wb") as out:
            self.process = subprocess.Popen([sys.executable, str(PROGRAM)], env=environment, stdout=out, stderr=out)

    @property
    def log(self) -> str:
        return self._path.read_text()


@pytest.fixture
def agent_name() -> str:
    return f"agent-{uuid.uuid4().hex[:6]}"


@pytest.fixture
async def program(livekit_stack: Any, tmp_path: Path, agent_name: str) -> AsyncIterator[RunningProgram]:
    running = RunningProgram(tmp_path, livekit_stack, agent_name)
    try:
        await until(lambda: "registered with LiveKit" in running.log, 20, "the registration")
        yield running
        running.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(running.process.wait, 10) == 0
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()


def there(phone: Phone) -> dict[str, tuple[str, str]]:
    return {who.identity: (who.name, who.attributes.get("desk", "")) for who in phone.room.participants}


async def test_a_job_that_is_taken_under_a_name_of_ones_own_and_ends_by_deleting_its_room(
    livekit_stack: Any, agent_name: str, program: RunningProgram
) -> None:
    async with calling(livekit_stack, agent_name) as phone:
        await until(lambda: there(phone), 8, "the agent")
        (agent,) = there(phone)
        assert agent.startswith("rosa-AJ_")
        assert there(phone)[agent] == ("Rosa", "3")
        room = phone.room.name
        await until(lambda: f"with sip_caller in 1 room room={room}" in program.log, 5, "the caller, and LiveKit's API")
        assert f"met sip_caller room={room}" in program.log, "and each line of the job says which room it is about"
        await phone.room.send_digits("8")
        await until(lambda: "none to delete: None" in program.log, 5, "the deletion of a room that there is not")
        assert not phone.closed, "and not of this one"
        await phone.room.send_digits("9")
        await until(lambda: phone.closed, 5, "the end of the room")
    await until(lambda: "is over" in program.log, 5, "the end of the job")
    assert "ERROR" not in program.log


@pytest.mark.parametrize(
    ("metadata", "why"),
    [("not for us", "on_request rejected it"), ("unheard of", "on_request failed: LookupError: no such tenant")],
)
async def test_a_job_that_the_program_does_not_take(
    livekit_stack: Any, agent_name: str, program: RunningProgram, metadata: str, why: str
) -> None:
    async with calling(livekit_stack, agent_name, metadata=metadata) as phone:
        await until(lambda: f"refused: {why}" in program.log, 8, "the refusal")
        assert not there(phone)
    async with calling(livekit_stack, agent_name) as phone:
        await until(lambda: there(phone), 8, "the next job is taken")
