"""Legs that a test makes ring, answer and end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from gateway.calls.dialling import DialOrder, PlacedLeg
from gateway.calls.leg_owner import LegOwner
from gateway.calls.verbs import TransferOrder
from telephony.call import CallInfo, Direction
from telephony.errors import DialRefused
from telephony.fakes import FakeLeg
from telephony.rooms.protocol import LegAudio


class FakeDialler:
    """Implements `Dialler`: a leg that the test makes ring, answer and end."""

    def __init__(self, *, elsewhere: bool = False, refusal: Exception | None = None) -> None:
        self.elsewhere = elsewhere
        self.refusal = refusal
        self.orders: list[DialOrder] = []
        self.legs: list[FakeLeg] = []
        self.audio: list[LegAudio] = []
        self.held: list[str] = []
        self.slow_s = 0.0
        self.referred: list[tuple[str, str]] = []
        self.refer_refusal: DialRefused | None = None
        self.moved: list[tuple[str, str]] = []
        self.move_refusal: DialRefused | None = None
        self.queues_asked: list[tuple[str, dict[str, Any]]] = []
        self.queue_answers: dict[str, Mapping[str, Any]] = {}
        self.queue_refusal: DialRefused | None = None
        self.reported: list[tuple[str, int, str]] = []

    async def dial(self, order: DialOrder, audio: LegAudio) -> PlacedLeg:
        await asyncio.sleep(self.slow_s)
        if self.refusal is not None:
            raise self.refusal
        info = CallInfo(order.call_id, Direction.OUTBOUND, order.to, order.caller or None, "local")
        self.orders.append(order)
        self.legs.append(FakeLeg(info, now=asyncio.get_running_loop().time))
        self.audio.append(audio)
        return PlacedLeg(self.legs[-1], self.elsewhere)

    async def refer(self, call_id: str, leg_id: str, order: TransferOrder, *, replaces: str = "") -> None:
        if self.refer_refusal is not None:
            raise self.refer_refusal
        self.referred.append((leg_id, replaces or order.to))

    def report_refer(self, refer_id: str, status: int, reason: str) -> None:
        self.reported.append((refer_id, status, reason))

    async def move_leg(self, from_leg: str, to_leg: str) -> None:
        """The leg's peer is somewhere else: its leg ends."""
        self.moved.append((from_leg, to_leg))
        if self.move_refusal is not None:
            raise self.move_refusal
        self.legs[-1].end(reason="its phone has another leg now")

    async def ask_queues(self, call_id: str, verb: str, how: Mapping[str, Any]) -> Mapping[str, Any]:
        self.queues_asked.append((verb, dict(how)))
        if self.queue_refusal is not None:
            raise self.queue_refusal
        return self.queue_answers.get(verb, {})

    def hold(self, owner: LegOwner) -> None:
        self.held.append(owner.leg_id)
