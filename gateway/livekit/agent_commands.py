"""Commands for the agent in a LiveKit room, as RPCs. Agents of ours carry them out; other programs may serve them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from gateway.calls.verbs import VerbRefused
from telephony.livekit.errors import LiveKitError, RpcFailed
from telephony.livekit.events import ParticipantKind
from telephony.livekit.verbs import DRAIN, SAY

if TYPE_CHECKING:
    from telephony.livekit.room import LiveKitRoom

__all__ = ["AgentCommands"]

SAY_LIMIT_S = 2.0
_NOT_SERVED = 1400  # livekit.rtc.RpcError.ErrorCode.UNSUPPORTED_METHOD
_REFUSED = 1500  # APPLICATION_ERROR
log = structlog.get_logger(__name__)


class AgentCommands:
    def __init__(self, room: Callable[[], LiveKitRoom]) -> None:
        self._room = room

    @property
    def agents(self) -> tuple[str, ...]:
        """Identities of those in the room."""
        return tuple(who.identity for who in self._room().participants if who.kind is ParticipantKind.AGENT)

    async def say(self, text: str, *, allow_interruptions: bool) -> None:
        """By the first agent that does it. Raises VerbRefused."""
        refused = VerbRefused("not_talking", "No agent is in the call's room.", retryable=True)
        payload = json.dumps({"text": text, "allow_interruptions": allow_interruptions})
        for identity in self.agents:
            try:
                await self._room().call(identity, SAY, payload, SAY_LIMIT_S)
                return
            except LiveKitError as error:
                refused = _refusal(error)
        raise refused

    async def drain(self, reason: str) -> bool:
        """Whether an agent says goodbye and hangs up."""
        drained = False
        for identity in self.agents:
            try:
                await self._room().call(identity, DRAIN, json.dumps({"reason": reason}))
                drained = True
            except LiveKitError as error:
                log.info("agent_not_drained", error=str(error))
        return drained


def _refusal(error: LiveKitError) -> VerbRefused:
    if isinstance(error, RpcFailed) and error.code == _NOT_SERVED:
        return VerbRefused(
            "not_possible", "The agent is another program's, which does not serve the RPC trunkline.say."
        )
    if isinstance(error, RpcFailed) and error.code == _REFUSED:
        return VerbRefused("not_talking", str(error))
    return VerbRefused("no_answer", f"The agent gave no answer: {error}.", retryable=True)
