"""Commands of the gateway's API for a job's own call (a phone that called in through LiveKit SIP), over the job's
control channel, to the worker that runs in the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from agent.warm.asking import AskLost, AskTimedOut, Refused
from gateway.callworker.steered import Steered

if TYPE_CHECKING:
    from agent.worker.job import JobContext
    from gateway.calls.verbs import SteeredCall

__all__ = ["STEERED", "JobSteering", "SteeredJob"]

STEERED = "steered"  # a job's message: {"message", "number", "answer"} or {…, "refused": {kind, text, retryable}}


class JobSteering:
    """The main process's side."""

    def __init__(self) -> None:
        self.tell: Callable[[str, Mapping[str, Any]], bool] = lambda job_id, body: False  # as `Worker.tell`
        self.job_of: Callable[[str], str | None] = lambda call_id: None
        self._last = 0
        self._open: dict[int, asyncio.Future[Mapping[str, Any]]] = {}

    async def ask(self, call_id: str, body: Mapping[str, Any], *, timeout_s: float) -> Mapping[str, Any]:
        """Raises AskError."""
        self._last += 1
        number = self._last
        answer = self._open[number] = asyncio.get_running_loop().create_future()
        try:
            job_id = self.job_of(call_id)
            if job_id is None or not self.tell(job_id, {"number": number, "body": dict(body)}):
                raise AskLost(f"no job here has call {call_id}")
            async with asyncio.timeout(timeout_s):
                said: Mapping[str, Any] = await answer
                return said
        except TimeoutError as error:
            raise AskTimedOut(f"its job did not answer within {timeout_s:g} s") from error
        finally:
            del self._open[number]

    def answered(self, said: Mapping[str, Any]) -> None:
        """A job's message `STEERED`."""
        answer = self._open.get(int(said["number"]))
        if answer is None or answer.done():
            return
        refused = said.get("refused")
        if refused is None:
            answer.set_result(dict(said["answer"]))
        else:
            answer.set_exception(
                Refused(str(refused["kind"]), str(refused["text"]), retryable=bool(refused["retryable"]))
            )


class SteeredJob:
    """The job's side."""

    def __init__(self, ctx: JobContext, find: Callable[[str], SteeredCall | None]) -> None:
        """`find`: the job's call, once it is known."""
        self._ctx = ctx
        self._steered = Steered(find)
        self._tasks: set[asyncio.Task[None]] = set()
        ctx.on_told(self._told)

    def _told(self, body: Mapping[str, Any]) -> None:
        self._spawn(self._answer(body))

    async def _answer(self, asked: Mapping[str, Any]) -> None:
        said: dict[str, Any] = {"message": STEERED, "number": asked["number"]}
        try:
            said["answer"] = dict(await self._steered(asked["body"]))
        except Refused as refused:
            said["refused"] = {"kind": refused.kind, "text": refused.text, "retryable": refused.retryable}
        self._ctx.send(said)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
