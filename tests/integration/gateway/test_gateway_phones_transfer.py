"""Phones that transfer our calls by themselves: by REFER, with and without Replaces, and by INVITE with Replaces."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from gateway_process import RunningGateway, until
from test_gateway_further_legs import CUSTOMER_HZ, HUMAN_HZ, heard_after_ms, hears_the_agent
from test_gateway_transfers import TALKER, Talking, notify, refer_of, talking

from telephony.phone import CallFailed, Phone, PhoneCall
from telephony.sip.replaces import read_refer_to

StartGateway = Callable[..., RunningGateway]
OPEN = {"refer": ["human", "customer"], "replaces": ["human", "customer"]}


async def at_desk(world: Talking) -> PhoneCall:
    await world.transfer(to=f"sip:desk@127.0.0.1:{world.called.address[1]}", refer="never", afterwards="agent")
    desk = await world.called.incoming()
    await desk.answer()
    await until(lambda: len(desk.received) > 20 and len(world.call.received) > 20, what="audio")
    return desk


def address(phone: Phone, user: str = "next") -> str:
    return f"sip:{user}@127.0.0.1:{phone.address[1]}"


async def refer(phone: Phone, call: PhoneCall, to: str) -> int:
    """The phone's transfer key: the answer to its REFER."""
    request = call.dialog.request("REFER", headers={"Refer-To": f"<{to}>", "Referred-By": f"<{phone.uri}>"})
    answer = await phone.transact(request, call.peer).final
    assert answer is not None
    return answer.status


def fragments(call: PhoneCall) -> list[str]:
    """What the phone has been told by NOTIFY, without retransmissions."""
    return [each.body.strip().removeprefix("SIP/2.0 ") for each in call.requests if each.method == "NOTIFY"]


async def told(call: PhoneCall, last: str) -> list[str]:
    await until(lambda: any(last in each for each in fragments(call)), what=f"a NOTIFY of {last}")
    return fragments(call)


async def transfers_of(world: Talking, outcomes: list[str]) -> list[dict[str, Any]]:
    def known() -> list[dict[str, Any]]:
        found = world.gateway.get(f"/v1/calls/{world.call_id}")["transfers"]
        return found if [each["outcome"] for each in found] == outcomes else []

    await until(known, 8, what=f"transfers that ended as {outcomes}")
    return known()


# --- REFER ------------------------------------------------------------------------------------------------------------


async def test_a_desk_phone_hands_the_caller_on(start_gateway: StartGateway) -> None:
    async with talking(start_gateway, transfers=OPEN) as world, Phone() as other:
        desk = await at_desk(world)
        target = address(other)
        assert await refer(world.called, desk, target) == 202
        second = await other.incoming()
        assert second.asked is not None
        assert second.asked.value("referred-by") == f"<{world.called.uri}>"
        await second.ring()
        await told(desk, "180")
        await second.answer()
        assert await told(desk, "200") == ["100 Trying", "180 Ringing", "200 OK"]
        assert (await desk.wait_bye()).by == "peer", "its leg ends"
        await until(lambda: len(second.received) > 20, what="audio")
        await heard_after_ms(world.call, second, CUSTOMER_HZ)
        await heard_after_ms(second, world.call, HUMAN_HZ)
        left = asyncio.get_running_loop().time()
        await second.hang_up()
        await hears_the_agent(world.call, left)
        await world.call.hang_up()
        record = await world.record()
    assert [leg["role"] for leg in record["legs"]] == ["customer", "human", "human"]
    first, onward = record["transfers"]
    assert (onward["outcome"], onward["target"], onward["leg_id"]) == (
        "transferred",
        target,
        record["legs"][2]["leg_id"],
    )
    assert first["outcome"] == "transferred"
    assert any(each["type"] == "transfer_by_phone" for each in record["events"])


@pytest.mark.parametrize("leaves", [False, True])
async def test_a_target_that_is_busy_leaves_the_caller_where_somebody_is(
    start_gateway: StartGateway, leaves: bool
) -> None:
    async with talking(start_gateway, transfers=OPEN) as world, Phone() as other:
        desk = await at_desk(world)
        assert await refer(world.called, desk, address(other)) == 202
        second = await other.incoming()
        if leaves:
            await desk.hang_up()
        since = asyncio.get_running_loop().time()
        await second.reject(486, "Busy Here")
        await transfers_of(world, ["transferred", "busy"])
        if leaves:
            await hears_the_agent(world.call, since)
        else:
            assert await told(desk, "486") == ["100 Trying", "486 Busy Here"]
            await heard_after_ms(desk, world.call, HUMAN_HZ)
        await world.call.hang_up()
        await world.record()


async def test_closed_targets_and_roles_are_refused_and_the_call_goes_on(start_gateway: StartGateway) -> None:
    async with talking(start_gateway, transfers={"refer": ["human"]}) as world:
        desk = await at_desk(world)
        assert await refer(world.called, desk, "sip:+19005550100@127.0.0.1:5999") == 403
        assert await refer(world.called, desk, "sip:desk@203.0.113.7") == 403
        assert await refer(world.called, desk, "mailto:desk@example.com") == 416
        assert await refer(world.caller, world.call, address(world.called)) == 403, "a caller's is not honoured here"
        await heard_after_ms(desk, world.call, HUMAN_HZ)
        await world.call.hang_up()
        await world.record()


async def test_a_trunk_without_the_setting_takes_no_refer(start_gateway: StartGateway) -> None:
    async with talking(start_gateway) as world:
        desk = await at_desk(world)
        assert await refer(world.called, desk, address(world.called)) == 405
        await world.call.hang_up()
        await world.record()


async def test_a_dialog_elsewhere_is_replaced_by_our_call(start_gateway: StartGateway) -> None:
    async with talking(start_gateway, transfers=OPEN) as world, Phone() as other:
        desk = await at_desk(world)
        replaces = quote("abc@10.0.0.1;to-tag=x1;from-tag=y2", safe="")
        assert await refer(world.called, desk, f"{address(other)}?Replaces={replaces}&Require=replaces") == 202
        second = await other.incoming()
        assert second.asked is not None
        assert second.asked.value("replaces") == "abc@10.0.0.1;to-tag=x1;from-tag=y2"
        assert second.asked.value("require") == "replaces"
        await second.answer()
        await told(desk, "200")
        await world.call.hang_up()
        await world.record()


async def test_the_caller_hangs_up_while_the_next_phone_rings(start_gateway: StartGateway) -> None:
    async with talking(start_gateway, transfers=OPEN) as world, Phone() as other:
        desk = await at_desk(world)
        assert await refer(world.called, desk, address(other)) == 202
        second = await other.incoming()
        await second.ring()
        await asyncio.sleep(0.2)
        hung_up_at = asyncio.get_running_loop().time()
        await world.call.hang_up()
        assert (await asyncio.wait_for(second.ended, 2)).at - hung_up_at < 0.1
        assert (await desk.wait_bye()).by == "peer"
        record = await world.record()
    assert [each["outcome"] for each in record["transfers"]] == ["transferred", "cancelled"]


# --- INVITE with Replaces ---------------------------------------------------------------------------------------------


def dialog_of(call: PhoneCall) -> str:
    """As another phone names this call's dialog to us: the to-tag is ours."""
    ours = call.dialog.remote.rpartition(";tag=")[2]
    return f"{call.call_id};to-tag={ours};from-tag={call.dialog.tag}"


async def test_another_phone_takes_the_humans_place(start_gateway: StartGateway) -> None:
    async with talking(start_gateway, transfers=OPEN) as world, Phone() as other:
        desk = await at_desk(world)
        taken = await other.call(world.gateway.uri("+15550199"), headers={"Replaces": dialog_of(desk)}, timeout=5)
        assert (await desk.wait_bye()).by == "peer"
        await until(lambda: len(taken.received) > 20, what="audio")
        await heard_after_ms(world.call, taken, CUSTOMER_HZ)
        await heard_after_ms(taken, world.call, HUMAN_HZ)
        left = asyncio.get_running_loop().time()
        await taken.hang_up()
        await hears_the_agent(world.call, left)
        await world.call.hang_up()
        record = await world.record()
        assert len(world.gateway.calls()) == 1, "it is no call of its own"
    assert [leg["role"] for leg in record["legs"]] == ["customer", "human"]
    (event,) = [each for each in record["events"] if each["type"] == "leg_replaced"]
    assert event["leg_id"] == record["legs"][1]["leg_id"]


async def test_another_phone_takes_the_callers_place_and_has_the_agent(start_gateway: StartGateway) -> None:
    async with talking(start_gateway, transfers=OPEN) as world, Phone() as other:
        taken = await other.call(world.gateway.uri("+15550199"), headers={"Replaces": dialog_of(world.call)}, timeout=5)
        assert (await world.call.wait_bye()).by == "peer"
        await hears_the_agent(taken, asyncio.get_running_loop().time())
        await taken.hold()
        await taken.resume()
        await taken.hang_up()
        record = await world.gateway.record(world.call.call_id)
        await world.gateway.idle()
        assert world.gateway.complaints() == []
    assert (record["ended_by"], record["outcome"]) == ("caller", "answered")


async def test_a_ringing_desk_is_picked_up_by_another_phone(start_gateway: StartGateway) -> None:
    async with talking(start_gateway, transfers=OPEN) as world, Phone() as other:
        await world.transfer(to=f"sip:desk@127.0.0.1:{world.called.address[1]}", refer="never")
        desk = await world.called.incoming()
        await desk.ring()
        await asyncio.sleep(0.3)
        named = f"{dialog_of(desk)};early-only"
        taken = await other.call(world.gateway.uri("+15550199"), headers={"Replaces": named}, timeout=5)
        ended = await asyncio.wait_for(desk.ended, 2)
        assert (ended.by, ended.status) == ("peer", 487)
        await world.transferred("transferred")
        await until(lambda: len(taken.received) > 20, what="audio")
        await heard_after_ms(world.call, taken, CUSTOMER_HZ)
        await heard_after_ms(taken, world.call, HUMAN_HZ)
        await world.call.hang_up()
        assert (await taken.wait_bye()).by == "peer"
        await world.record()


async def test_what_may_not_be_replaced(start_gateway: StartGateway) -> None:
    async with talking(start_gateway, transfers={"replaces": ["human"]}) as world, Phone() as other:
        desk = await at_desk(world)
        tries = {
            dialog_of(world.call): 403,  # the caller's leg is closed
            "nothing;to-tag=a;from-tag=b": 481,
            "nothing;to-tag=a": 400,
            f"{dialog_of(desk)};early-only": 486,
        }
        for named, status in tries.items():
            with pytest.raises(CallFailed) as failed:
                await other.call(world.gateway.uri("+15550199"), headers={"Replaces": named}, timeout=5)
            assert failed.value.status == status, named
        await heard_after_ms(desk, world.call, HUMAN_HZ)
        await world.call.hang_up()
        await desk.wait_bye()
        with pytest.raises(CallFailed) as failed:
            await other.call(world.gateway.uri("+15550199"), headers={"Replaces": dialog_of(desk)}, timeout=5)
        assert failed.value.status == 603, "the call is over"
        await world.record()


# --- two calls of one phone -------------------------------------------------------------------------------------------


async def test_a_desk_connects_its_two_calls_and_leaves(start_gateway: StartGateway) -> None:
    """The desk talks with the caller, calls us once more (and gets an agent), and transfers the one to the other."""
    async with talking(start_gateway, transfers=OPEN) as world:
        desk = await at_desk(world)
        second = await world.called.call(world.gateway.uri(TALKER), timeout=5)
        await until(lambda: len(second.received) > 20, what="the second call's audio")
        second_id = (await until(lambda: world.gateway.attempts(second.call_id), what="its record"))[0]["call_id"]
        named = quote(dialog_of(second), safe="")
        assert await refer(world.called, desk, f"{world.gateway.uri(TALKER)}?Replaces={named}") == 202
        assert (await told(desk, "200"))[-1] == "200 OK"
        for leg in (desk, second):
            assert (await asyncio.wait_for(leg.wait_bye(), 4)).by == "peer"
        await hears_the_agent(world.call, asyncio.get_running_loop().time())
        await world.call.hang_up()
        first = await world.gateway.record(world.call.call_id)
        await world.gateway.idle()
        assert world.gateway.complaints() == []
        other = await world.gateway.record(second.call_id)
    last = first["transfers"][-1]
    assert (last["target"], last["outcome"]) == (f"call {second_id}", "transferred")
    assert [each["leg_id"] for each in other["events"] if each["type"] == "leg_replaced"] == [f"{second_id}-1"]
    assert other["ended_by"] == "caller"


async def test_two_calls_with_nobody_but_agents_are_not_connected(start_gateway: StartGateway) -> None:
    async with talking(start_gateway, transfers=OPEN) as world:
        second = await world.caller.call(world.gateway.uri(TALKER), timeout=5)
        await until(lambda: len(second.received) > 20, what="the second call's audio")
        named = quote(dialog_of(second), safe="")
        assert await refer(world.caller, world.call, f"{world.gateway.uri(TALKER)}?Replaces={named}") == 488
        unknown = quote("nothing;to-tag=a;from-tag=b", safe="")
        assert await refer(world.caller, world.call, f"{world.gateway.uri(TALKER)}?Replaces={unknown}") == 481
        await second.hang_up()
        await world.call.hang_up()
        await world.record()


async def test_a_caller_hands_the_agent_on(start_gateway: StartGateway) -> None:
    async with talking(start_gateway, transfers=OPEN) as world, Phone() as other:
        assert await refer(world.caller, world.call, address(other)) == 202
        second = await other.incoming()
        await second.ring()
        await second.answer()
        assert (await told(world.call, "200"))[-1] == "200 OK"
        assert (await asyncio.wait_for(world.call.wait_bye(), 4)).by == "peer"
        await hears_the_agent(second, asyncio.get_running_loop().time())
        assert not second.ended.done()
        await second.hang_up()
        record = await world.gateway.record(world.call.call_id)
        await world.gateway.idle()
        assert world.gateway.complaints() == []
    assert (record["ended_by"], record["transfers"][0]["outcome"]) == ("caller", "transferred")


# --- handed over by our REFER with Replaces ---------------------------------------------------------------------------


async def test_two_who_are_joined_are_handed_over_and_our_legs_leave(start_gateway: StartGateway) -> None:
    async with talking(start_gateway) as world:
        warm = {"detect": False, "handover": "refer"}
        status, _ = await world.post("transfer", {"to": address(world.called), "warm": warm})
        assert status == 202
        human = await world.called.incoming()
        await human.answer()
        request = await refer_of(world.call)
        target = read_refer_to(request.headers["Refer-To"])
        assert target.replaces is not None
        assert str(target.replaces) == dialog_of_called(human)
        direct = asyncio.create_task(
            world.caller.call(target.uri, headers={"Replaces": str(target.replaces), "Require": "replaces"})
        )
        taken = await world.called.incoming()
        await taken.answer()
        await human.hang_up()
        await direct
        await asyncio.sleep(0.3)
        assert not world.call.ended.done(), "the report has not come yet"
        await notify(world.caller, world.call, 200, "OK")
        assert (await asyncio.wait_for(world.call.wait_bye(), 3)).by == "peer"
        assert not taken.ended.done()
        await taken.hang_up()
        record = await world.record()
    assert record["end_reason"] == "transferred"
    assert [each["outcome"] for each in record["transfers"]] == ["transferred"]


def dialog_of_called(call: PhoneCall) -> str:
    """As somebody else names to the called phone the dialog of our call to it: the to-tag is the phone's."""
    ours = call.dialog.remote.rpartition(";tag=")[2]
    return f"{call.call_id};to-tag={call.dialog.tag};from-tag={ours}"
