"""Who dials to supervise a call, and which."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from agent.testing.virtual_clock import run_virtual
from gateway.calls.verbs import ListenOrder
from gateway.config.phones import PhonesSettings
from gateway.live_calls import LiveCalls
from gateway.phones.supervision import SupervisionByPhone
from gateway.steering import FakeSteering
from telephony.edge import InviteInfo, Source

PHONES = PhonesSettings.model_validate(
    {
        "supervision": "*90",
        "users": (
            {"name": "anna", "password": {"env": "ANNA"}, "supervises": True},
            {"name": "bob", "password": {"env": "BOB"}},
        ),
    }
)


def invite(called: str, phone: str = "anna") -> InviteInfo:
    return InviteInfo("x", called, called, phone, {}, "phones", Source("10.0.0.2", 5060, "udp"), 0.0, phone=phone)


def test_the_latest_answered_call_or_the_one_that_is_named() -> None:
    run_virtual(_the_latest_or_the_one_that_is_named())


async def _the_latest_or_the_one_that_is_named() -> None:
    live, steering = LiveCalls(), FakeSteering()
    for n in range(3):
        live.place(f"c{n}-1", f"c{n}", "w1", 0.0)
        call = live.get(f"c{n}")
        assert call is not None
        call.answered_at = None if n == 2 else datetime.now(UTC) + timedelta(seconds=n)
    by_phone = SupervisionByPhone(PHONES, live, steering.listen)
    statuses = {}
    for called in ("*90", "*902", "*903", "*9012", "*91", "+15550199"):
        answer = by_phone.asked(invite(called))
        statuses[called] = None if answer is None else answer.status
    assert statuses == {"*90": 480, "*902": 480, "*903": 404, "*9012": None, "*91": None, "+15550199": None}
    forbidden = by_phone.asked(invite("*90", "bob"))
    assert forbidden is not None and forbidden.status == 403
    assert by_phone.asked(invite("*90", "")) is None  # no phone of ours: the dialplan's
    await asyncio.sleep(1.1)
    assert steering.told == [("listen", "c1", ListenOrder("phone:anna")), ("listen", "c0", ListenOrder("phone:anna"))]


def test_without_the_setting_nobody_can() -> None:
    closed = PHONES.model_copy(update={"supervision": None})
    assert SupervisionByPhone(closed, LiveCalls(), FakeSteering().listen).asked(invite("*90")) is None
