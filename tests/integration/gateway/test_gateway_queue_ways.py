"""Ways through and out of a human queue, over SIP and REST: keys, an agent who helps, refusals, kills."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from gateway_process import until
from test_gateway_further_legs import AGENT_HZ, CUSTOMER_HZ, hears_the_agent
from test_gateway_outbound import ask
from test_gateway_queues import MUSIC_HZ, world
from test_gateway_transfers import StartGateway
from test_gateway_warm_transfers import loud_at

from telephony.media.tones import tone


async def test_a_caller_leaves_by_key_and_is_told_where_they_are(start_gateway: StartGateway, tmp_path: Path) -> None:
    async with world(
        start_gateway, tmp_path, leave_by_key={"0": "agent"}, announce_every_s=1.0, messages=["One more thing."],
        messages_every_s=5.0,
    ) as desk:  # fmt: skip
        loop = asyncio.get_running_loop()
        await desk.call.send_digits("3")
        member = await asyncio.wait_for(desk.member.incoming(), 10)
        began_at = loop.time()
        await member.reject(486)
        again = await asyncio.wait_for(desk.member.incoming(), 10)
        await again.ring()
        await until(lambda: loud_at(desk.call, AGENT_HZ, began_at, loop.time()), 5, what="where they are in the queue")
        since = asyncio.get_running_loop().time()
        await desk.call.send_digits("0")
        assert (await asyncio.wait_for(again.ended, 2)).status in (487, None, 0)
        await hears_the_agent(desk.call, since)
        await desk.call.hang_up()
        record = await desk.nothing_is_left()
        assert "queue_left" in desk.events(record)
    words = [turn["full_text"] for turn in record["turns"] if turn["speaker"] == "agent"]
    assert words[-1] == "Nobody took the call: left."


async def test_over_rest_to_a_queue_that_is_not_there_and_during_another(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    async with world(start_gateway, tmp_path) as desk:
        path = f"/v1/calls/{desk.call_id}/transfer"
        status, answer, _ = await ask(desk.gateway, "POST", path, {"to": "queue:nobody"})
        assert (status, answer["type"]) == (422, "urn:trunkline:problem:unknown_queue")
        status, answer, _ = await ask(desk.gateway, "POST", path, {"to": "queue:desk", "queue": {"priority": 3}})
        assert (status, answer["target"]) == (202, "queue:desk")
        member = await asyncio.wait_for(desk.member.incoming(), 10)
        await member.ring()
        status, answer, _ = await ask(desk.gateway, "POST", path, {"to": "queue:desk"})
        assert (status, answer["type"]) == (409, "urn:trunkline:problem:transferring")
        (caller,) = desk.gateway.get("/v1/queues/desk")["callers"]
        assert (caller["call_id"], caller["priority"], caller["offered_to"]) == (desk.call_id, 3, ["anna"])
        await desk.call.hang_up()
        await desk.nothing_is_left()


async def test_without_members_signed_in_the_agent_says_so(start_gateway: StartGateway, tmp_path: Path) -> None:
    async with world(start_gateway, tmp_path) as desk:
        status, answer, _ = await ask(desk.gateway, "POST", "/v1/queues/desk/members/anna/sign-out", None)
        assert (status, answer["signed_in"]) == (200, False)
        since = asyncio.get_running_loop().time()
        await desk.call.send_digits("3")
        await hears_the_agent(desk.call, since)
        await desk.call.hang_up()
        record = await desk.nothing_is_left()
    words = [turn["full_text"] for turn in record["turns"] if turn["speaker"] == "agent"]
    assert words == ["Nobody took the call: no_members."]


async def test_the_agent_keeps_helping_until_a_member_has_accepted(start_gateway: StartGateway, tmp_path: Path) -> None:
    async with world(start_gateway, tmp_path, agent_helps=True) as desk:
        loop = asyncio.get_running_loop()
        since = loop.time()
        await desk.call.send_digits("3")
        member = await asyncio.wait_for(desk.member.incoming(), 10)
        await member.ring()
        await hears_the_agent(desk.call, since)
        await asyncio.sleep(0.5)
        assert not loud_at(desk.call, MUSIC_HZ, since, loop.time()), "no music"
        desk.call.play(tone(CUSTOMER_HZ, 20_000))
        await member.answer()
        answered_at = loop.time()
        await until(
            lambda: loud_at(member, CUSTOMER_HZ, answered_at, loop.time()), 10, what="the two joined, after its word"
        )
        await member.hang_up()
        await desk.call.wait_bye()
        record = await desk.nothing_is_left()
    assert record["transfers"][0]["outcome"] == "transferred"


async def test_the_worker_of_a_waiting_caller_is_killed(start_gateway: StartGateway, tmp_path: Path) -> None:
    async with world(start_gateway, tmp_path) as desk:
        await desk.call.send_digits("3")
        member = await asyncio.wait_for(desk.member.incoming(), 10)
        await member.ring()
        worker = desk.gateway.attempts(desk.call.call_id)[0]["worker"]
        os.kill(desk.gateway.worker_pids()[worker], signal.SIGKILL)
        await asyncio.wait_for(member.ended, 4)
        await asyncio.wait_for(desk.call.wait_bye(), 4)
        await until(lambda: desk.gateway.get("/v1/queues")["queues"][0]["waiting"] == 0, 3, what="an empty queue")
        await until(lambda: desk.gateway.get("/v1/queues")["queues"][0]["free"] == 1, 3, what="a free member")
