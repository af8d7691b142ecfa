"""Commands from the gateway's API for a call of this process, of whatever kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agent.warm.asking import Refused
from gateway.calls.collecting import CollectOrder
from gateway.calls.verbs import DigitsOrder, ListenOrder, OnwardOrder, SteeredCall, TransferOrder, VerbRefused, Voice

__all__ = ["Steered"]


class Steered:
    """Answers questions of the topic `gateway.steering.STEER`."""

    def __init__(self, find: Callable[[str], SteeredCall | None]) -> None:
        """`find`: the call of that id."""
        self._find = find

    async def __call__(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Raises Refused."""
        call = self._find(str(body["call_id"]))
        if call is None:
            raise Refused("not_live", f"Call {body['call_id']} is over.")
        try:
            return await _told(call, body)
        except VerbRefused as refused:
            raise Refused(refused.kind, str(refused), retryable=refused.retryable) from None


async def _told(call: SteeredCall, body: Mapping[str, Any]) -> Mapping[str, Any]:
    match body["verb"]:
        case "hang_up":
            call.hang_up("ended over the API", goodbye=bool(body["goodbye"]))
        case "say":
            await call.say(str(body["text"]), allow_interruptions=bool(body["allow_interruptions"]))
        case "digits":
            call.press(DigitsOrder.from_dict(body["order"]))
        case "collect":
            return (await call.collect(CollectOrder.from_dict(body["order"]))).to_dict()
        case "transfer":
            await call.transfer(TransferOrder.from_dict(body["order"]))
        case "hand_on":
            call.hand_on(OnwardOrder.from_dict(body["order"]))
        case "hold":
            await call.hold()
        case "resume":
            await call.resume()
        case "pause_recording":
            call.pause_recording(bool(body["paused"]))
        case "mute":
            await call.mute(Voice(body["who"]))
        case "unmute":
            await call.unmute(Voice(body["who"]))
        case "listen":
            return {"leg_id": await call.listen(ListenOrder.from_dict(body["order"]))}
        case verb:
            raise Refused("not_possible", f"A call cannot be told to {verb}.")
    return {}
