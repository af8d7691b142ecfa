"""20 callers at once in a queue of 4 members, over SIP."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

from gateway_process import RunningGateway, free_rtp_range, until
from test_gateway_further_legs import CUSTOMER_HZ, trunks
from test_gateway_transfers import StartGateway
from test_gateway_warm_transfers import BENCH, DESK, MOST_JOIN_MS, loud_at

from telephony.media.tones import tone
from telephony.phone import Phone, PhoneCall

CALLERS, MEMBERS = 20, 4
TALK_S = 1.5
MEMBER_HZ = 880


class Member:
    """Answers whoever comes, talks and hangs up."""

    def __init__(self, phone: Phone) -> None:
        self.phone = phone
        self.talks: list[tuple[PhoneCall, float, float]] = []  # the call, when it was answered, when it was over
        self.rung_while_busy = 0
        self._busy = False

    async def work(self) -> None:
        while True:
            call = await self.phone.incoming()
            self.rung_while_busy += self._busy
            asyncio.create_task(self._talk(call))  # noqa: RUF006 - the test outlives it

    async def _talk(self, call: PhoneCall) -> None:
        self._busy = True
        loop = asyncio.get_running_loop()
        await call.ring()
        await asyncio.sleep(0.2)
        await call.answer()
        answered_at = loop.time()
        call.play(tone(MEMBER_HZ, 5000))
        await asyncio.sleep(TALK_S)
        self._busy = False
        await call.hang_up()
        self.talks.append((call, answered_at, loop.time()))


async def test_20_callers_and_4_members(start_gateway: StartGateway, tmp_path: Path) -> None:
    for name in ("bench.py", "phones_plan.yaml", "bench_personas.py"):
        shutil.copy(BENCH / name, tmp_path)
    async with AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(Phone()) for _ in range(2)]
        members = [Member(await stack.enter_async_context(Phone())) for _ in range(MEMBERS)]
        names = [f"m{n}" for n in range(MEMBERS)]
        gateway: RunningGateway = start_gateway(
            sip=trunks(members[0].phone), dialplans=[str(tmp_path / "phones_plan.yaml")],
            workers=6, rtp={"ports": free_rtp_range(64)},
            queues=[{"name": "desk", "members": names, "ring_s": 10, "detect": False}],
            queue_members=[
                {"name": name, "target": f"sip:{name}@127.0.0.1:{member.phone.address[1]}"}
                for name, member in zip(names, members, strict=True)
            ],
        )  # fmt: skip
        work = [asyncio.create_task(member.work()) for member in members]
        calls = [await callers[n % 2].call(gateway.uri(DESK)) for n in range(CALLERS)]
        for call in calls:
            call.play(tone(CUSTOMER_HZ, 60_000))
        await asyncio.gather(*(call.send_digits("3") for call in calls))
        for call in calls:
            assert (await asyncio.wait_for(call.wait_bye(), 60)).by == "peer"
        await until(lambda: sum(len(member.talks) for member in members) == CALLERS, 5, what="all talks over")
        records = [await gateway.record(call.call_id) for call in calls]
        await gateway.idle()
        await gateway.slots_free(gateway.figures()["slots"], 5)
        for task in work:
            task.cancel()
        assert gateway.complaints() == []
        (queue,) = gateway.get("/v1/queues")["queues"]
        joined_ms = sorted(
            (loud_at(call, CUSTOMER_HZ, answered_at - 0.3, over_at)[0] - answered_at) * 1000
            for member in members
            for call, answered_at, over_at in member.talks
        )
    stories = records
    assert [record["transfers"][0]["outcome"] for record in stories] == ["transferred"] * CALLERS, "no caller is lost"
    assert all(member.rung_while_busy == 0 for member in members), "no member is offered two callers"
    offers = Counter(event["type"] for record in stories for event in record["events"] if "queue" in event["type"])
    assert offers["queue_offered"] == offers["queue_answered"] == CALLERS, "no caller is offered twice"
    assert (queue["waiting"], queue["today"]["answered"], queue["today"]["abandoned"]) == (0, CALLERS, 0)
    waits = sorted(
        event["waited_s"] for record in stories for event in record["events"] if event["type"] == "queue_answered"
    )
    print(
        f"{CALLERS} callers, {MEMBERS} members of {TALK_S} s a talk: waited {waits[0]:.1f} to {waits[-1]:.1f} s, "
        f"accepted -> hears the caller {joined_ms[len(joined_ms) // 2]:.0f} ms, at most {joined_ms[-1]:.0f} ms"
    )
    assert joined_ms[-1] <= MOST_JOIN_MS + 60, "and what the audio takes from mouth to ear"
