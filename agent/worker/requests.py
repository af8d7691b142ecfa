"""A job offered by LiveKit, which `on_request` accepts or rejects."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from livekit.protocol import agent as pb
from livekit.protocol import models

__all__ = ["ANSWER_LIMIT_S", "Acceptance", "JobRequest", "OnRequest", "Rejection", "asked"]

ANSWER_LIMIT_S = 5.0  # the caller is waiting, and LiveKit waits for 10 s


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The agent's identity in the room. An empty `identity`: agent-JOB; an empty `name`: the worker's agent name."""

    identity: str = ""
    name: str = ""
    metadata: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rejection:
    """`for_all`: other workers are not asked either."""

    reason: str
    for_all: bool = False


class JobRequest:
    """Answered once: by `accept` or `reject`."""

    def __init__(self, job: pb.Job) -> None:
        self._job = job
        self.answer: Acceptance | Rejection | None = None

    @property
    def id(self) -> str:
        return self._job.id

    @property
    def job(self) -> pb.Job:
        return self._job

    @property
    def room(self) -> models.Room:
        return self._job.room

    @property
    def publisher(self) -> models.ParticipantInfo | None:
        """The participant of a job for one participant."""
        return self._job.participant if self._job.HasField("participant") else None

    @property
    def agent_name(self) -> str:
        return self._job.agent_name

    async def accept(
        self,
        *,
        name: str = "",
        identity: str = "",
        metadata: str = "",
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        """Accept it. The identity must be unique in the room. Raises RuntimeError if it was answered before."""
        self._answer(Acceptance(identity, name, metadata, dict(attributes or {})))

    async def reject(self, *, terminate: bool = True) -> None:
        """Reject it. `terminate`: for good; otherwise other workers are asked. Raises RuntimeError if it was answered
        before."""
        self._answer(Rejection("on_request rejected it", terminate))

    def _answer(self, answer: Acceptance | Rejection) -> None:
        if self.answer is not None:
            raise RuntimeError(f"job {self.id} was answered before")
        self.answer = answer


OnRequest = Callable[[JobRequest], Awaitable[None]]


async def asked(on_request: OnRequest, job: pb.Job) -> Acceptance | Rejection:
    """The program's answer. No answer, a late one or an error count as a rejection, and other workers may be asked."""
    request = JobRequest(job)
    try:
        async with asyncio.timeout(ANSWER_LIMIT_S):
            await on_request(request)
    except TimeoutError:
        return request.answer or Rejection(f"on_request did not answer within {ANSWER_LIMIT_S:g} s")
    except Exception as error:  # noqa: BLE001 - it is the user's code
        return request.answer or Rejection(f"on_request failed: {type(error).__name__}: {error}")
    return request.answer or Rejection("on_request neither accepted nor rejected it")
