"""A tool that presses keys: `ctx.call.send_digits`."""

from __future__ import annotations

from typing import Any

import pytest

from agent.context import AgentsCall
from telephony.call import CallInfo, DigitSource, Direction
from telephony.errors import DigitsNotSent


class Verbs:
    """`CallVerbs` that note what is sent."""

    info = CallInfo("c", Direction.INBOUND, "+1", None, "t")

    def __init__(self) -> None:
        self.sent: list[tuple[Any, ...]] = []

    async def hang_up(self, reason: str = "") -> None: ...

    async def send_digits(
        self, digits: str, *, duration_ms: int = 160, gap_ms: int = 80, way: DigitSource | None = None
    ) -> None:
        self.sent.append(("", digits, duration_ms, gap_ms, way))


class VerbsWithLegs(Verbs):
    async def send_digits_to(
        self, leg_id: str, digits: str, *, duration_ms: int = 160, gap_ms: int = 80, way: DigitSource | None = None
    ) -> None:
        self.sent.append((leg_id, digits, duration_ms, gap_ms, way))


async def test_to_the_customer_or_to_a_named_leg_by_any_way() -> None:
    verbs = VerbsWithLegs()
    call = AgentsCall(verbs, None)  # type: ignore[arg-type]
    await call.send_digits("1w2")
    await call.send_digits("3", way="info", duration_ms=200)
    await call.send_digits("4", way=DigitSource.INBAND, leg="c-2")
    assert verbs.sent == [
        ("", "1w2", 160, 80, None),
        ("", "3", 200, 80, DigitSource.INFO),
        ("c-2", "4", 160, 80, DigitSource.INBAND),
    ]


async def test_a_call_without_further_legs_says_so() -> None:
    verbs = Verbs()
    with pytest.raises(DigitsNotSent) as caught:
        await AgentsCall(verbs, None).send_digits("1", leg="c-2")  # type: ignore[arg-type]
    assert caught.value.kind == "not_possible" and verbs.sent == []
