"""Calls that a gateway places, measured by the phone that they ring."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import aiohttp

from gateway.bench.figures import percentile
from telephony.phone import Phone, PhoneCall
from telephony.phone.analysis import onset_after

__all__ = ["OutboundFigures", "measure_outbound", "outbound_table"]

TALK_S = 1.0
ONE_BY_ONE = 20
GREETING_LIMIT_S = 3.0
RECORDS_LIMIT_S = 30.0
AIMS = {"invite_p50_ms": 30.0, "greeting_p50_ms": 120.0}


@dataclass(frozen=True, slots=True)
class OutboundFigures:
    """`invite`: from POST to the INVITE at the phone. `greeting`: from the phone's first RTP packet to the first of the
    greeting. Both with one call at a time; the rest with `per_second` new calls for `seconds`."""

    invite_p50_ms: float
    invite_p95_ms: float
    greeting_p50_ms: float
    greeting_p95_ms: float
    per_second: float
    seconds: float
    placed: int
    refused: int
    answered: int  # on record
    other_outcomes: int  # on record
    missing: int  # placed, and without a closed record

    @property
    def failed(self) -> bool:
        return bool(self.refused or self.other_outcomes or self.missing)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


async def measure_outbound(
    url: str, port: int, persona: str, per_second: float, seconds: float, key: str = ""
) -> OutboundFigures:
    """`port`: where the gateway's trunk sends calls to, on 127.0.0.1. Raises ClientError, TimeoutError."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with aiohttp.ClientSession(url, headers=headers) as http, Phone(port=port) as phone:
        caller = _Caller(http, phone, persona)
        invites, greetings = [], []
        for _ in range(ONE_BY_ONE):
            invite_ms, greeting_ms = await caller.one()
            invites.append(invite_ms)
            greetings.append(greeting_ms)
        await caller.many(per_second, seconds)
        outcomes = await caller.outcomes()
    answered = outcomes["answered"]
    return OutboundFigures(
        percentile(invites, 50), percentile(invites, 95), percentile(greetings, 50), percentile(greetings, 95),
        per_second, seconds, len(caller.placed), caller.refused, answered,
        outcomes.total() - answered, len(caller.placed) - outcomes.total(),
    )  # fmt: skip


class _Caller:
    def __init__(self, http: aiohttp.ClientSession, phone: Phone, persona: str) -> None:
        self._http = http
        self._phone = phone
        self._persona = persona
        self._loop = asyncio.get_running_loop()
        self._number = 0
        self.placed: list[str] = []
        self.refused = 0

    async def place(self) -> None:
        self._number += 1
        order = {"to": f"+1555700{self._number % 10_000:04}", "persona": self._persona}
        async with self._http.post("/v1/calls", json=order) as answer:
            if answer.status == 202:
                self.placed.append((await answer.json())["call_id"])
            else:
                self.refused += 1

    async def one(self) -> tuple[float, float]:
        """Milliseconds to the INVITE, and to the greeting."""
        asked_at = self._loop.time()
        placing = asyncio.create_task(self.place())
        async with asyncio.timeout(GREETING_LIMIT_S):
            call = await self._phone.incoming()
        invite_ms = (self._loop.time() - asked_at) * 1000
        await placing
        await call.answer()
        greeting_ms = await self._greeting_ms(call)
        await call.hang_up()
        return invite_ms, greeting_ms

    async def _greeting_ms(self, call: PhoneCall) -> float:
        async with asyncio.timeout(GREETING_LIMIT_S):
            while True:
                await asyncio.sleep(0.02)
                if call.audio.sent_at and (onset := onset_after(call.received, call.audio.sent_at[0])) is not None:
                    return (onset - call.audio.sent_at[0]) * 1000

    async def many(self, per_second: float, seconds: float) -> None:
        answering = asyncio.create_task(self._answer_all())
        placing = []
        began = self._loop.time()
        for n in range(round(per_second * seconds)):
            await asyncio.sleep(max(0.0, began + n / per_second - self._loop.time()))
            placing.append(asyncio.create_task(self.place()))
        await asyncio.gather(*placing)
        await asyncio.sleep(TALK_S + 1.0)
        answering.cancel()

    async def _answer_all(self) -> None:
        talking: set[asyncio.Task[None]] = set()
        while True:
            task = asyncio.create_task(_talk(await self._phone.incoming()))
            talking.add(task)
            task.add_done_callback(talking.discard)

    async def outcomes(self) -> Counter[str]:
        """Of the closed records of all calls that were placed."""
        until = self._loop.time() + RECORDS_LIMIT_S
        outcomes: dict[str, str] = {}
        while len(outcomes) < len(self.placed) and self._loop.time() < until:
            for call_id in self.placed:
                if call_id in outcomes:
                    continue
                async with self._http.get(f"/v1/calls/{call_id}") as answer:
                    outcome = (await answer.json()).get("outcome") if answer.status == 200 else None
                if outcome is not None:
                    outcomes[call_id] = outcome
            await asyncio.sleep(0.2)
        return Counter(outcomes.values())


async def _talk(call: PhoneCall) -> None:
    await call.answer()
    await asyncio.sleep(TALK_S)
    if not call.ended.done():
        await call.hang_up()


def outbound_table(figures: OutboundFigures) -> str:
    def row(name: str, value: str, aim: str = "") -> str:
        return f"{name:<46} {value:>22} {aim:>8}"

    def times(p50: float, p95: float) -> str:
        return f"{p50:.0f} (p95 {p95:.0f})"

    return "\n".join(
        [
            row("one call at a time", "ms", "aim"),
            row("POST /v1/calls -> INVITE", times(figures.invite_p50_ms, figures.invite_p95_ms), "30"),
            row(
                "callee's first RTP -> greeting's first packet",
                times(figures.greeting_p50_ms, figures.greeting_p95_ms),
                "120",
            ),
            row(f"{figures.per_second:g} calls a second for {figures.seconds:g} s", "calls"),
            row("placed", str(figures.placed)),
            row("refused", str(figures.refused), "0"),
            row("answered, on record", str(figures.answered)),
            row("other outcomes, on record", str(figures.other_outcomes), "0"),
            row("without a closed record", str(figures.missing), "0"),
        ]
    )
