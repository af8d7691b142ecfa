"""Commands for the agent in a LiveKit room, as RPCs. Agents of ours carry them out; other programs may serve them."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

import structlog

from gateway.calls.collecting import Collected, CollectOrder
from gateway.calls.verbs import VerbRefused
from gateway.livekit.asking import ASK, RoomQuestions
from telephony.errors import DialRefused
from telephony.livekit.errors import LiveKitError, RpcFailed
from telephony.livekit.events import ParticipantKind
from telephony.livekit.verbs import ASIDE_ATTRIBUTE, DRAIN, FINISH_SPEAKING, HELD, MUTED_ATTRIBUTE, SAY, TAKE_BACK
from telephony.media.g711 import decode_ulaw

if TYPE_CHECKING:
    from telephony.livekit.room import LiveKitRoom

__all__ = ["BRIEFING", "COLLECT", "VOICED", "AgentCommands"]

COLLECT, VOICED, BRIEFING = "collect", "voiced", "briefing"  # what is asked
VOICED_S = 8.0  # for a piece of speech: the first comes once all of it is made
BRIEFING_S = 12.0

SAY_LIMIT_S = 2.0
DRAIN_LIMIT_S = 10.0
MARGIN_S = 1.0  # beyond what the agent itself may take
_NOT_SERVED = 1400  # livekit.rtc.RpcError.ErrorCode.UNSUPPORTED_METHOD
_REFUSED = 1500  # APPLICATION_ERROR
log = structlog.get_logger(__name__)


class AgentCommands:
    def __init__(
        self, room: Callable[[], LiveKitRoom], tell: Callable[[dict[str, str]], Coroutine[Any, Any, None]]
    ) -> None:
        """`tell` sets attributes of ours, which tell agents what lasts; an empty value removes one."""
        self._room = room
        self._tell = tell
        self._tasks: set[asyncio.Task[None]] = set()
        self._questions: dict[str, RoomQuestions] = {}

    @property
    def agents(self) -> tuple[str, ...]:
        """Identities of those in the room."""
        return tuple(who.identity for who in self._room().participants if who.kind is ParticipantKind.AGENT)

    async def say(self, text: str, *, allow_interruptions: bool) -> None:
        """By the first agent that does it. Raises VerbRefused."""
        refused = VerbRefused("not_talking", "No agent is in the call's room.", retryable=True)
        for identity in self.agents:
            try:
                await self._call(identity, SAY, {"text": text, "allow_interruptions": allow_interruptions}, SAY_LIMIT_S)
                return
            except LiveKitError as error:
                refused = _refusal(error)
        raise refused

    async def collect(self, order: CollectOrder) -> Collected:
        """By the first agent that does it; only we get its answer. Raises VerbRefused."""
        refused = VerbRefused("not_talking", "No agent is in the call's room.", retryable=True)
        for identity in self.agents:
            try:
                async with asyncio.timeout(order.limit_s + MARGIN_S):
                    return Collected.from_dict(await self._ask(identity, COLLECT, order.to_dict()))
            except TimeoutError:
                return Collected(None, "too_late")
            except DialRefused as error:
                refused = VerbRefused(error.kind, str(error), retryable=error.retryable)
                if error.kind == "no_room":
                    told = f"The agent is another program's, and does not serve the RPC {ASK}."
                    refused = VerbRefused("not_possible", told)
        raise refused

    async def briefing(self) -> str:
        """In the model's words; empty: it has none. Never raises."""
        return str((await self._answer(BRIEFING, {}, BRIEFING_S)).get("text", ""))

    async def voiced(self, text: str) -> bytes:
        """In the agent's voice; empty: there is none that would. Never raises."""
        pcm, more = bytearray(), True
        while more:  # a data packet takes little
            answer = await self._answer(VOICED, {"text": text, "from": len(pcm) // 2}, VOICED_S)
            pcm += decode_ulaw(b64decode(str(answer.get("pcmu", ""))))
            more = answer.get("more") is True
        return bytes(pcm)

    async def _answer(self, what: str, body: Mapping[str, Any], limit_s: float) -> Mapping[str, Any]:
        """Of the first agent that has one; empty: none has."""
        for identity in self.agents:
            try:
                async with asyncio.timeout(limit_s):
                    return await self._ask(identity, what, body)
            except (TimeoutError, DialRefused) as error:
                log.info("agent_not_asked", what=what, error=str(error) or "no answer in time")
        return {}

    async def _ask(self, identity: str, what: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Raises DialRefused."""
        if identity not in self._questions:  # kept, as its questions are told apart by number
            self._questions[identity] = RoomQuestions(self._room(), identity)
        return await self._questions[identity].ask(what, body)

    async def drain(self, reason: str) -> bool:
        """Whether an agent says goodbye and hangs up."""
        return await self._all(DRAIN, {"reason": reason}, DRAIN_LIMIT_S)

    async def finish_speaking(self, announce: str, limit_s: float) -> None:
        """Say `announce`, if any, after what is being said; returns when it has been said, or after so long."""
        await self._all(FINISH_SPEAKING, {"announce": announce, "limit_s": limit_s}, limit_s + MARGIN_S)

    def set_aside(self) -> None:
        self._spawn(self._tell({ASIDE_ATTRIBUTE: HELD}))

    def take_back(self, words: str, note: str) -> None:
        self._spawn(self._take_back(words, note))

    async def _take_back(self, words: str, note: str) -> None:
        await self._all(TAKE_BACK, {"words": words, "note": note}, SAY_LIMIT_S)
        await self._tell({ASIDE_ATTRIBUTE: ""})

    def mute_caller(self, muted: bool) -> None:
        self._spawn(self._tell({MUTED_ATTRIBUTE: HELD if muted else ""}))

    def close(self) -> None:
        for questions in self._questions.values():
            questions.close()
        for task in self._tasks:
            task.cancel()

    async def _all(self, method: str, payload: Mapping[str, Any], limit_s: float) -> bool:
        """Whether an agent did it."""
        done = False
        for identity in self.agents:
            try:
                await self._call(identity, method, payload, limit_s)
                done = True
            except LiveKitError as error:
                log.info("agent_not_commanded", method=method, error=str(error))
        return done

    async def _call(self, identity: str, method: str, payload: Mapping[str, Any], limit_s: float) -> None:
        await self._room().call(identity, method, json.dumps(payload), limit_s)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _refusal(error: LiveKitError) -> VerbRefused:
    if isinstance(error, RpcFailed) and error.code == _NOT_SERVED:
        return VerbRefused("not_possible", "The agent is another program's, and does not serve the RPC trunkline.say.")
    if isinstance(error, RpcFailed) and error.code == _REFUSED:
        return VerbRefused("not_talking", str(error))
    return VerbRefused("no_answer", f"The agent gave no answer: {error}.", retryable=True)
