"""Commands from the gateway's API for a call of this worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from agent.warm.asking import Refused
from gateway.calls.call import Call
from gateway.calls.conversation import NotTalking
from telephony.errors import TelephonyError

__all__ = ["Steered"]

log = structlog.get_logger(__name__)


class Steered:
    """Answers questions of the topic `gateway.steering.STEER`."""

    def __init__(self, find: Callable[[str], Call | None]) -> None:
        """`find`: the call of that id."""
        self._find = find
        self._sending: set[asyncio.Task[None]] = set()

    async def __call__(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Raises Refused."""
        call = self._find(str(body["call_id"]))
        if call is None:
            raise Refused("not_live", f"Call {body['call_id']} is over.")
        match body["verb"]:
            case "hang_up":
                call.hang_up("ended over the API", goodbye=bool(body["goodbye"]))
            case "say":
                self._say(call, str(body["text"]), allow_interruptions=bool(body["allow_interruptions"]))
            case "digits":
                self._send(call, str(body["digits"]))
            case verb:
                raise Refused("not_possible", f"A call cannot be told to {verb}.")
        return {}

    def _say(self, call: Call, text: str, *, allow_interruptions: bool) -> None:
        try:
            call.say(text, allow_interruptions=allow_interruptions)
        except NotTalking as error:
            raise Refused("not_talking", str(error)) from None

    def _send(self, call: Call, digits: str) -> None:
        """Sending digits takes time; the requester is told at once whether they can be sent."""
        if not call.answered:
            raise Refused("not_talking", "The call has not been answered yet.")
        task = asyncio.create_task(_sent(call, digits), name="digits of the API")
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)


async def _sent(call: Call, digits: str) -> None:
    try:
        await call.send_digits(digits)
    except TelephonyError as error:
        log.warning("digits_not_sent", error=str(error))
