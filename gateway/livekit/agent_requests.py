"""An agent's verbs from another process: asked for by its job, carried out by the call worker that keeps its call."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from gateway.calls.conversation import CallSide
from gateway.calls.verbs import TransferOrder
from gateway.livekit.asking import Handler, RoomQuestions
from telephony.call import CallOutcome, DialledLeg, LegEnded, OutcomeKind, QueueResult, TransferEnd, TransferResult

__all__ = ["AgentRequests", "DistantVerbs"]

DIAL, LEG_ENDED, END_LEG, TRANSFER = "dial", "leg_ended", "end_leg", "transfer"


class AgentRequests:
    """The call worker's side."""

    def __init__(self, side: CallSide) -> None:
        self._side = side
        self._legs: dict[str, DialledLeg] = {}

    @property
    def handlers(self) -> Mapping[str, Handler]:
        return {DIAL: self._dial, LEG_ENDED: self._leg_ended, END_LEG: self._end_leg, TRANSFER: self._transfer}

    async def _dial(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        leg = await self._side.dial(
            str(body["to"]), trunk=str(body["trunk"]), caller=str(body["caller"]), ring_s=float(body["ring_s"])
        )
        self._legs[leg.leg_id] = leg
        return {"leg_id": leg.leg_id, "outcome": asdict(leg.outcome)}

    async def _leg_ended(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        ended = await self._legs[str(body["leg_id"])].ended()
        return {**asdict(ended), "statistics": None}

    async def _end_leg(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        await self._legs[str(body["leg_id"])].hang_up(str(body["reason"]))
        return {}

    async def _transfer(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return asdict(await self._side.transfer(TransferOrder.from_dict(body)))


class DistantVerbs:
    """The job's side, as `CallSide` has them."""

    def __init__(self, questions: RoomQuestions) -> None:
        self._questions = questions

    async def dial(self, to: str, *, trunk: str = "", caller: str = "", ring_s: float = 30.0) -> DialledLeg:
        asked = {"to": to, "trunk": trunk, "caller": caller, "ring_s": ring_s}
        answer = await self._questions.ask(DIAL, asked)
        outcome = dict(answer["outcome"])
        return _DistantLeg(
            str(answer["leg_id"]), CallOutcome(**{**outcome, "kind": OutcomeKind(outcome["kind"])}), self._questions
        )

    async def transfer(self, order: TransferOrder) -> TransferResult:
        answer = await self._questions.ask(TRANSFER, order.to_dict())
        queued = answer.get("queued")
        queue = None if queued is None else QueueResult.from_dict(queued)
        return TransferResult(**{**answer, "end": TransferEnd(answer["end"]), "queued": queue})


class _DistantLeg:
    """Implements `DialledLeg`."""

    def __init__(self, leg_id: str, outcome: CallOutcome, questions: RoomQuestions) -> None:
        self.leg_id = leg_id
        self.outcome = outcome
        self._questions = questions

    async def ended(self) -> LegEnded:
        answer = await self._questions.ask(LEG_ENDED, {"leg_id": self.leg_id})
        return LegEnded(**{**answer, "at": asyncio.get_running_loop().time()})

    async def hang_up(self, reason: str = "") -> None:
        await self._questions.ask(END_LEG, {"leg_id": self.leg_id, "reason": reason})
