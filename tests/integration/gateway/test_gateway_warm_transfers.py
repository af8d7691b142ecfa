"""Warm transfers with phones of ours as caller and humans: what each hears and when, and that nothing is left."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from gateway_process import RunningGateway, until
from test_gateway_further_legs import (
    AGENT_HZ,
    CUSTOMER_HZ,
    HUMAN_HZ,
    heard_after_ms,
    hears_the_agent,
    legs_of,
    strength,
    trunks,
)
from test_gateway_outbound import ask
from test_gateway_transfers import StartGateway, notify, refer_of

from telephony.media.tones import tone
from telephony.phone import Phone, PhoneCall
from telephony.phone.analysis import on_time_axis

pytestmark = pytest.mark.usefixtures("nothing_left")

BENCH = Path(__file__).parents[3] / "bench"
DESK = "+15550198"
SUMMARY_HZ = 660
MOST_JOIN_MS = 100
MOST_CANCEL_MS = 100
TEXT = {"summary": {"by": "text", "text": "Somebody asks about an invoice."}}


class World:
    """A caller who talks with the bench's desk, and the two humans that it may call."""

    def __init__(self, gateway: RunningGateway, caller: Phone, call: PhoneCall, first: Phone, second: Phone) -> None:
        self.gateway = gateway
        self.caller = caller
        self.call = call
        self.first = first
        self.second = second

    @property
    def call_id(self) -> str:
        return str(self.gateway.attempts(self.call.call_id)[0]["call_id"])

    async def transfer(self, **warm: Any) -> None:
        to = f"sip:human@127.0.0.1:{self.first.address[1]}"
        body = {"to": to, "afterwards": "agent", "ring_timeout_s": 5, "warm": {"detect": False, **warm}}
        status, answer, _ = await ask(self.gateway, "POST", f"/v1/calls/{self.call_id}/transfer", body)
        assert (status, answer["kind"]) == (202, "warm"), answer

    async def outcome(self, seconds: float = 12) -> str:
        def ended() -> str:
            transfers = self.gateway.get(f"/v1/calls/{self.call_id}")["transfers"]  # on record in a moment
            return (transfers[-1]["outcome"] or "") if transfers else ""

        return await until(ended, seconds, what="the transfer's outcome")

    async def nothing_is_left(self) -> dict[str, Any]:
        """Its record, once no leg, slot or ringing phone is left of it."""
        record = await self.gateway.record(self.call.call_id)
        await self.gateway.idle()
        await self.gateway.slots_free(self.gateway.figures()["slots"], 5)
        assert self.gateway.complaints() == []
        legs = legs_of(self.gateway, self.call)
        assert all(leg["outcome"] for leg in legs), legs
        return record


@asynccontextmanager
async def desk(start_gateway: StartGateway, folder: Path) -> AsyncIterator[World]:
    """bench.Desk, with the ports of these phones instead of its own."""
    async with Phone() as caller, Phone() as first, Phone() as second:
        text = (BENCH / "bench.py").read_text()
        for port, phone in (("5091", first), ("5092", second)):
            assert port in text
            text = text.replace(port, str(phone.address[1]))
        (folder / "bench.py").write_text(text)
        for name in ("phones_plan.yaml", "bench_personas.py"):
            shutil.copy(BENCH / name, folder)
        gateway = start_gateway(sip=trunks(first), dialplans=[str(folder / "phones_plan.yaml")])
        call = await caller.call(gateway.uri(DESK))
        await until(lambda: len(call.received) > 20, what="audio")
        await until(lambda: gateway.attempts(call.call_id), what="an open record")
        yield World(gateway, caller, call, first, second)


async def answered(phone: Phone) -> PhoneCall:
    call = await asyncio.wait_for(phone.incoming(), 10)
    await call.ring()
    await asyncio.sleep(0.3)
    await call.answer()
    return call


def loud_at(call: PhoneCall, hertz: float, start: float, end: float) -> list[float]:
    """When, in 20 ms steps, this tone was what was heard."""
    pcm = on_time_axis(call.received, start, end)
    frames = [pcm[at : at + 320] for at in range(0, len(pcm) - 320, 320)]
    return [start + n * 0.02 for n, frame in enumerate(frames) if any(frame) and strength(frame, hertz) > 0.9]


async def test_key_1_gives_the_summary_and_joins_the_two(start_gateway: StartGateway, tmp_path: Path) -> None:
    async with desk(start_gateway, tmp_path) as world:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await world.call.send_digits("1")
        human = await asyncio.wait_for(world.first.incoming(), 10)
        await human.ring()
        await asyncio.sleep(1)
        waits = on_time_axis(world.call.received, began, loop.time())
        assert max(strength(waits[at : at + 1600], 523.25) for at in range(0, len(waits) - 1600, 800)) > 0.9, "music"
        world.call.play(tone(CUSTOMER_HZ, 5000))
        await human.answer()
        human.play(tone(HUMAN_HZ, 5000))
        await asyncio.sleep(3)
        summary = loud_at(human, SUMMARY_HZ, began, loop.time())
        caller = loud_at(human, CUSTOMER_HZ, began, loop.time())
        back = loud_at(world.call, HUMAN_HZ, began, loop.time())
        assert 0.9 < summary[-1] - summary[0] < 1.1
        assert caller[0] > summary[-1], "apart until the summary is over"
        assert back[0] > summary[-1]
        joined_ms = (max(caller[0], back[0]) - summary[-1] - 0.02) * 1000
        print(f"summary ends -> both hear each other: {joined_ms:.0f} ms")
        assert joined_ms <= MOST_JOIN_MS
        assert not loud_at(world.call, SUMMARY_HZ, began, loop.time()), "the caller does not hear it"
        await asyncio.sleep(2.5)
        there, again = (
            await heard_after_ms(world.call, human, CUSTOMER_HZ),
            await heard_after_ms(human, world.call, HUMAN_HZ),
        )
        print(f"mouth to ear: {there:.0f} ms there, {again:.0f} ms back")
        await human.hang_up()
        assert (await world.call.wait_bye()).by == "peer"
        record = await world.nothing_is_left()
    assert (record["ended_by"], record["end_reason"]) == ("human", "the transfer's target hung up")
    (transfer,) = record["transfers"]
    assert (transfer["kind"], transfer["outcome"]) == ("warm", "transferred")
    assert transfer["leg_id"] == record["legs"][1]["leg_id"]
    told = [turn for turn in record["turns"] if turn["kind"] == "to_human"]
    assert [turn["text"] for turn in told] == ["The caller has pressed a key."]
    assert record["recording"]["duration_ms"] > 6000, "one recording, from the answer to the end"


@pytest.mark.parametrize("when", ["ringing", "during the summary", "joined"])
async def test_a_caller_who_hangs_up_ends_the_humans_call_at_once(
    start_gateway: StartGateway, tmp_path: Path, when: str
) -> None:
    async with desk(start_gateway, tmp_path) as world:
        await world.call.send_digits("1")
        human = await asyncio.wait_for(world.first.incoming(), 10)
        await human.ring()
        await asyncio.sleep(0.5)
        if when != "ringing":
            await human.answer()
            await asyncio.sleep(0.5 if when == "during the summary" else 2)
        hung_up_at = asyncio.get_running_loop().time()
        await world.call.hang_up()
        ended = await asyncio.wait_for(human.ended, 2)
        took_ms = (ended.at - hung_up_at) * 1000
        print(f"{when}: CANCEL or BYE after {took_ms:.0f} ms")
        assert took_ms < MOST_CANCEL_MS
        record = await world.nothing_is_left()
    assert record["transfers"][0]["outcome"] == ("transferred" if when == "joined" else "cancelled")
    assert record["ended_by"] == "caller"


@pytest.mark.parametrize(
    ("status", "outcome"), [(486, "busy"), (603, "declined"), (480, "no_answer"), (0, "no_answer")]
)
async def test_a_human_who_does_not_come_leaves_the_caller_to_the_agent(
    start_gateway: StartGateway, tmp_path: Path, status: int, outcome: str
) -> None:
    async with desk(start_gateway, tmp_path) as world:
        await world.call.send_digits("1")
        human = await asyncio.wait_for(world.first.incoming(), 10)
        since = asyncio.get_running_loop().time()
        await (human.reject(status) if status else human.ring())
        assert await world.outcome() == outcome
        await hears_the_agent(world.call, since)
        await world.call.hang_up()
        record = await world.nothing_is_left()
    words = [turn["full_text"] for turn in record["turns"] if turn["speaker"] == "agent"]
    assert words == [f"Nobody took the call: {outcome}."]


async def test_key_2_refers_the_caller(start_gateway: StartGateway, tmp_path: Path) -> None:
    async with desk(start_gateway, tmp_path) as world:
        await world.call.send_digits("2")
        refer = await refer_of(world.call)
        assert f"<sip:human@127.0.0.1:{world.first.address[1]}>" in refer.headers.values()
        await notify(world.caller, world.call, 200, "OK")
        assert (await world.call.wait_bye()).by == "peer"
        record = await world.nothing_is_left()
    assert record["transfers"][0]["outcome"] == "transferred"


async def test_key_4_hunts_over_two(start_gateway: StartGateway, tmp_path: Path) -> None:
    async with desk(start_gateway, tmp_path) as world:
        await world.call.send_digits("4")
        await (await asyncio.wait_for(world.first.incoming(), 10)).reject(486)
        human = await answered(world.second)
        assert await world.outcome() == "transferred"
        await heard_after_ms(world.call, human, CUSTOMER_HZ)
        await world.call.hang_up()
        assert (await human.wait_bye()).by == "peer"
        record = await world.nothing_is_left()
    assert [leg["outcome"] for leg in record["legs"]] == ["answered", "busy", "answered"]
    assert record["transfers"][0]["leg_id"] == record["legs"][2]["leg_id"]


# --- over REST --------------------------------------------------------------------------------------------------------


async def test_accepting_by_key_with_data_for_the_screen(start_gateway: StartGateway, tmp_path: Path) -> None:
    async with desk(start_gateway, tmp_path) as world:
        await world.transfer(accept=True, headers={"X-Account": "4711"}, user_to_user="Ada")
        human = await answered(world.first)
        assert human.asked is not None
        invite = human.asked.message
        assert invite.value("x-account") == "4711"
        assert invite.value("user-to-user") == "416461;encoding=hex"

        def question(now: float) -> float:
            return strength(on_time_axis(human.received, now - 0.5, now), AGENT_HZ)

        await until(lambda: question(asyncio.get_running_loop().time()) > 0.9, 5, what="the question")
        await world.call.send_digits("1")  # the caller's key accepts nothing
        await asyncio.sleep(0.5)
        assert world.gateway.get(f"/v1/calls/{world.call_id}")["transfers"][0]["outcome"] is None
        await human.send_digits("1")
        assert await world.outcome() == "transferred"
        await heard_after_ms(human, world.call, HUMAN_HZ)
        await human.hang_up()
        await world.call.hang_up()
        await world.nothing_is_left()


async def test_a_person_is_recognised_before_they_are_told_anything(
    start_gateway: StartGateway, tmp_path: Path, speech: bytes
) -> None:
    async with desk(start_gateway, tmp_path) as world:
        await world.transfer(detect=True, **TEXT)
        human = await answered(world.first)
        loop = asyncio.get_running_loop()
        said = human.play(speech)
        await said.done
        spoken_at = loop.time()
        assert not loud_at(human, AGENT_HZ, spoken_at - 1, spoken_at), "nothing is said before"
        await until(lambda: loud_at(human, AGENT_HZ, spoken_at - 1, loop.time() - 0.1), 4, what="the summary")
        print(f"decided and told {(loud_at(human, AGENT_HZ, spoken_at - 1, loop.time())[0] - spoken_at) * 1000:.0f} ms")
        assert await world.outcome() == "transferred"
        await world.call.hang_up()
        record = await world.nothing_is_left()
    assert [each["answered_by"] for each in record["events"] if each["type"] == "transfer_answered_by"] == ["human"]


async def test_a_phone_that_answers_and_is_silent_has_not_taken_the_call(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    async with desk(start_gateway, tmp_path) as world:
        await world.transfer(detect=True, **TEXT)
        human = await answered(world.first)
        assert await world.outcome() == "no_answer"
        assert (await human.wait_bye()).by == "peer"
        since = asyncio.get_running_loop().time()
        await hears_the_agent(world.call, since)
        await world.call.hang_up()
        await world.nothing_is_left()


@pytest.mark.parametrize("consulted", [False, True])
async def test_who_accepts_and_the_caller_hear_each_other_at_once(
    start_gateway: StartGateway, tmp_path: Path, consulted: bool
) -> None:
    async with desk(start_gateway, tmp_path) as world:
        loop = asyncio.get_running_loop()
        await world.transfer(accept=not consulted, consult=consulted)
        human = await answered(world.first)
        await asyncio.sleep(1)
        world.call.play(tone(CUSTOMER_HZ, 4000))
        human.play(tone(HUMAN_HZ, 4000))
        await human.send_digits("1")
        pressed_at = loop.time()
        assert await world.outcome() == "transferred"
        await asyncio.sleep(1)
        at_human = loud_at(human, CUSTOMER_HZ, pressed_at - 0.5, loop.time())
        at_caller = loud_at(world.call, HUMAN_HZ, pressed_at - 0.5, loop.time())
        joined_ms = (max(at_human[0], at_caller[0]) - pressed_at) * 1000
        print(f"key 1 released -> both hear each other: {joined_ms:.0f} ms")
        assert joined_ms <= MOST_JOIN_MS
        await world.call.hang_up()
        await human.wait_bye()
        await world.nothing_is_left()


async def test_a_caller_who_hangs_up_while_the_human_asks_about_them(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    async with desk(start_gateway, tmp_path) as world:
        await world.transfer(consult=True)
        human = await answered(world.first)
        await asyncio.sleep(1)
        hung_up_at = asyncio.get_running_loop().time()
        await world.call.hang_up()
        ended = await asyncio.wait_for(human.ended, 2)
        took_ms = (ended.at - hung_up_at) * 1000
        print(f"consulting: BYE after {took_ms:.0f} ms")
        assert took_ms < MOST_CANCEL_MS
        record = await world.nothing_is_left()
    assert record["transfers"][0]["outcome"] == "cancelled"


async def test_all_at_once_and_the_first_to_accept_has_the_caller(start_gateway: StartGateway, tmp_path: Path) -> None:
    async with desk(start_gateway, tmp_path) as world:
        second = f"sip:human@127.0.0.1:{world.second.address[1]}"
        await world.transfer(also=[second], at_once=True, **TEXT)
        slow = await asyncio.wait_for(world.first.incoming(), 10)
        await slow.ring()
        human = await answered(world.second)
        ended = await asyncio.wait_for(slow.ended, 3)
        assert ended.by == "peer"
        assert await world.outcome() == "transferred"
        await heard_after_ms(human, world.call, HUMAN_HZ)
        await world.call.hang_up()
        await human.wait_bye()
        record = await world.nothing_is_left()
    assert sorted(leg["outcome"] for leg in record["legs"]) == ["answered", "answered", "cancelled"]


async def test_what_is_refused_before_anything_is_begun(start_gateway: StartGateway, tmp_path: Path) -> None:
    async with desk(start_gateway, tmp_path) as world:
        to = f"sip:human@127.0.0.1:{world.first.address[1]}"
        refused = [
            ({"also": ["+19005550100"]}, 403, "closed_destination"),
            ({"headers": {"Via": "x"}}, 422, "invalid_variable"),
            ({"accept_timeout_s": 1}, 400, None),
        ]
        for warm, status, kind in refused:
            body = {"to": to, "warm": warm}
            found, problem, _ = await ask(world.gateway, "POST", f"/v1/calls/{world.call_id}/transfer", body)
            assert found == status, problem
            assert kind is None or problem["type"] == f"urn:trunkline:problem:{kind}"
        body = {"to": to, "kind": "cold", "warm": {}}
        found, problem, _ = await ask(world.gateway, "POST", f"/v1/calls/{world.call_id}/transfer", body)
        assert (found, problem["type"]) == (422, "urn:trunkline:problem:contradiction")
        await world.call.hang_up()
        await world.nothing_is_left()
