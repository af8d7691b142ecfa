"""What an agent asks the call worker that keeps its call: a question is an RPC, which is taken at once, and its answer
a data packet, minutes later if need be (LiveKit's RPCs are for short answers)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

import structlog

from telephony.errors import DialRefused
from telephony.livekit.errors import LiveKitError, RpcFailed
from telephony.livekit.events import DataReceived, LiveKitEvent

if TYPE_CHECKING:
    from telephony.livekit.room import LiveKitRoom

__all__ = ["ANSWER_TOPIC", "ASK", "CANCEL", "RoomAnswers", "RoomQuestions"]

ASK = "trunkline.ask"  # RPC; payload {"number", "what", "body"}
CANCEL = "trunkline.cancel"  # RPC; payload {"number"}: the answer is no longer wanted
ANSWER_TOPIC = "trunkline.answer"  # data {"number", "answer": {…}} or {"number", "refused": {"kind", "text", …}}
TAKEN_LIMIT_S = 5.0
_NOT_SERVED = 1400  # livekit.rtc.RpcError.ErrorCode.UNSUPPORTED_METHOD
Handler = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
log = structlog.get_logger(__name__)


class RoomQuestions:
    """The agent's side."""

    def __init__(self, room: LiveKitRoom, whom: str) -> None:
        """`whom`: the identity of who is asked."""
        self._room = room
        self._whom = whom
        self._last = 0
        self._open: dict[int, asyncio.Future[Mapping[str, Any]]] = {}
        self._unsubscribe = room.subscribe(self._happened)
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, what: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Raises DialRefused. Who is cancelled takes the question back."""
        self._last += 1
        number = self._last
        answer = self._open[number] = asyncio.get_running_loop().create_future()
        try:
            await self._call(ASK, {"number": number, "what": what, "body": dict(body)})
            found: Mapping[str, Any] = await answer
            return found
        except RpcFailed as error:
            kind = "no_room" if error.code == _NOT_SERVED else "failed"
            raise DialRefused(kind, f"the call's worker did not take it: {error}") from error
        except LiveKitError as error:
            raise DialRefused("failed", str(error), retryable=True) from error
        except asyncio.CancelledError:
            self._spawn(self._take_back(number))
            raise
        finally:
            self._open.pop(number, None)

    def close(self) -> None:
        """The call is over."""
        self._unsubscribe()
        for answer in self._open.values():
            if not answer.done():
                answer.set_exception(DialRefused("failed", "the call has ended"))

    def _happened(self, event: LiveKitEvent) -> None:
        if not isinstance(event, DataReceived) or event.topic != ANSWER_TOPIC or event.identity != self._whom:
            return
        try:
            said = json.loads(event.payload)
            answer = self._open.get(int(said["number"]))
            refused = said.get("refused")
            if answer is None or answer.done():
                return
            if refused is None:
                answer.set_result(dict(said["answer"]))
            else:
                answer.set_exception(
                    DialRefused(str(refused["kind"]), str(refused["text"]), retryable=bool(refused["retryable"]))
                )
        except (ValueError, KeyError, TypeError) as error:
            log.warning("answer_not_read", error=repr(error))

    async def _take_back(self, number: int) -> None:
        try:
            await self._call(CANCEL, {"number": number})
        except LiveKitError as error:
            log.info("question_not_taken_back", error=str(error))

    async def _call(self, method: str, payload: Mapping[str, Any]) -> None:
        await self._room.call(self._whom, method, json.dumps(payload), TAKEN_LIMIT_S)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class RoomAnswers:
    """The call worker's side."""

    def __init__(self, room: LiveKitRoom, may_ask: Callable[[str], bool], handlers: Mapping[str, Handler]) -> None:
        """`handlers` by what is asked; they raise DialRefused."""
        self._room = room
        self._may_ask = may_ask
        self._handlers = handlers
        self._tasks: dict[tuple[str, int], asyncio.Task[None]] = {}
        room.serve(ASK, self._asked)
        room.serve(CANCEL, self._cancelled)

    def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()

    async def _asked(self, identity: str, payload: str) -> str:
        number, asked = self._read(identity, payload)
        handler = self._handlers.get(str(asked.get("what")))
        body = asked.get("body")
        if handler is None or not isinstance(body, dict):
            raise LiveKitError(f"nobody answers {asked.get('what')!r}")
        task = asyncio.create_task(self._answer(identity, number, handler, body), name=f"answer {asked['what']}")
        self._tasks[identity, number] = task
        task.add_done_callback(lambda _: self._tasks.pop((identity, number), None))
        return ""

    async def _cancelled(self, identity: str, payload: str) -> str:
        number, _ = self._read(identity, payload)
        task = self._tasks.get((identity, number))
        if task is not None:
            task.cancel()
        return ""

    def _read(self, identity: str, payload: str) -> tuple[int, Mapping[str, Any]]:
        if not self._may_ask(identity):
            raise LiveKitError(f"{identity} is no agent of this call")
        try:
            asked = json.loads(payload)
            return int(asked["number"]), asked
        except (ValueError, KeyError, TypeError) as error:
            raise LiveKitError(f"the payload is not what is asked for: {error!r}") from error

    async def _answer(self, identity: str, number: int, handler: Handler, body: Mapping[str, Any]) -> None:
        try:
            said: dict[str, Any] = {"answer": dict(await handler(body))}
        except DialRefused as refused:
            said = {"refused": {"kind": refused.kind, "text": str(refused), "retryable": refused.retryable}}
        except (KeyError, TypeError, ValueError) as error:
            said = {"refused": {"kind": "failed", "text": f"cannot be read: {error!r}", "retryable": False}}
        try:
            await self._room.send_data(json.dumps({"number": number, **said}).encode(), ANSWER_TOPIC, [identity])
        except LiveKitError as error:
            log.warning("answer_not_sent", error=str(error))
