"""Commands for a job over its control channel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from agent.warm.asking import AskLost, AskTimedOut, Refused
from gateway.calls.verbs import VerbRefused
from gateway.livekit_jobs.job_records import JobRecords
from gateway.livekit_jobs.job_steering import JobSteering, SteeredJob


class Call:
    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []

    def hang_up(self, reason: str, *, goodbye: bool) -> None:
        self.done.append(("hang_up", goodbye))

    async def say(self, text: str, *, allow_interruptions: bool = True) -> None:
        raise VerbRefused("not_talking", "Too early.", retryable=True)


class World:
    """Both ends, with `JobRecords` between them as in the worker. `deaf`: the job gives no answer."""

    def __init__(self, call: Any) -> None:
        self.steering = JobSteering()
        self.records = JobRecords(lambda _: None, steered=self.steering.answered)
        self.steering.tell, self.steering.job_of = self._tell, {"c1": "AJ_1"}.get
        self.deaf = False
        self._told: Callable[[Mapping[str, Any]], None] = lambda _: None
        self.job = SteeredJob(self, lambda _: call)  # type: ignore[arg-type]

    def on_told(self, callback: Callable[[Mapping[str, Any]], None]) -> None:
        self._told = callback

    def send(self, body: Mapping[str, Any]) -> None:
        self.records.job_says("AJ_1", body)

    def _tell(self, job_id: str, body: Mapping[str, Any]) -> bool:
        if not self.deaf:
            asyncio.get_running_loop().call_soon(self._told, body)
        return job_id == "AJ_1"


async def test_a_command_is_carried_out_or_refused() -> None:
    call = Call()
    world = World(call)
    hang_up = {"call_id": "c1", "verb": "hang_up", "goodbye": True}
    assert await world.steering.ask("c1", hang_up, timeout_s=1) == {}
    assert call.done == [("hang_up", True)]
    say = {"call_id": "c1", "verb": "say", "text": "Hi.", "allow_interruptions": True}
    with pytest.raises(Refused) as refused:
        await world.steering.ask("c1", say, timeout_s=1)
    assert (refused.value.kind, refused.value.retryable) == ("not_talking", True)


async def test_a_job_that_is_gone_or_hangs() -> None:
    world = World(Call())
    with pytest.raises(AskLost):
        await world.steering.ask("other", {}, timeout_s=1)
    world.deaf = True
    with pytest.raises(AskTimedOut):
        await world.steering.ask("c1", {}, timeout_s=0.05)
