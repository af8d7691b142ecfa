"""Transfers over REST, with phones of ours as caller and target: by REFER, and on a leg of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from baresip_phone import baresip, configure
from gateway_process import RunningGateway, until
from sipp_runner import TRANSPORTS, sipp
from test_gateway_further_legs import (
    CUSTOMER_HZ,
    HUMAN_HZ,
    heard_after_ms,
    hears_the_agent,
    legs_of,
    one_slot_each,
    strength,
    trunks,
)
from test_gateway_outbound import ask, plan

from telephony.media.tones import tone
from telephony.phone import Phone, PhoneCall
from telephony.phone.analysis import digits_heard, on_time_axis
from telephony.phone.dialog import respond
from telephony.phone.signaling import Received

pytestmark = pytest.mark.usefixtures("nothing_left")

StartGateway = Callable[..., RunningGateway]
TO = "+15557001"
TALKER = "+15550101"


@dataclass
class Talking:
    """A caller with the agent, and the phone that calls of the trunk go to."""

    gateway: RunningGateway
    caller: Phone
    called: Phone
    call: PhoneCall
    call_id: str

    async def post(self, verb: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        status, answer, _ = await ask(self.gateway, "POST", f"/v1/calls/{self.call_id}/{verb}", body)
        return status, answer

    async def transfer(self, **how: Any) -> str:
        status, answer = await self.post("transfer", {"to": TO, **how})
        assert (status, answer["target"], answer["outcome"]) == (202, how.get("to", TO), None)
        return str(answer["transfer_id"])

    async def transferred(self, outcome: str) -> dict[str, Any]:
        """The transfer on record, once it has an outcome."""

        def ended() -> dict[str, Any] | None:
            (transfer,) = self.gateway.get(f"/v1/calls/{self.call_id}")["transfers"]
            return transfer if transfer["outcome"] else None

        found = await until(ended, 12, what="the transfer's outcome")
        assert found is not None
        assert found["outcome"] == outcome, found
        return found

    async def record(self) -> dict[str, Any]:
        found = await self.gateway.record(self.call.call_id)
        await self.gateway.idle()
        assert self.gateway.complaints() == []
        return found


@asynccontextmanager
async def talking(
    start_gateway: StartGateway, *, transfers: Mapping[str, Any] | None = None, **changes: Any
) -> AsyncIterator[Talking]:
    """`transfers`: what the trunk's phones may do by themselves."""
    async with Phone() as caller, Phone() as called:
        sip = trunks(called)
        if transfers is not None:
            sip["trunks"][0]["transfers"] = dict(transfers)
        gateway = start_gateway(sip=sip, **changes)
        call = await caller.call(gateway.uri(TALKER))
        await until(lambda: len(call.received) > 20, what="audio")
        call_id = (await until(lambda: gateway.attempts(call.call_id), what="an open record"))[0]["call_id"]
        yield Talking(gateway, caller, called, call, call_id)


async def refer_of(call: PhoneCall) -> Received:
    await until(lambda: any(each.method == "REFER" for each in call.requests), what="a REFER")
    return next(each for each in call.requests if each.method == "REFER")


def answer_refer_with(phone: Phone, call: PhoneCall, status: int, phrase: str) -> None:
    """Our phone accepts every REFER. `status` 0: not answered at all."""
    usual = call.on_request

    def on_request(request: Received) -> None:
        if request.method != "REFER":
            usual(request)
        elif status:
            phone.reply(request, respond(request, status, phrase, to_tag=call.dialog.tag, contact=call.dialog.contact))

    call.on_request = on_request  # type: ignore[method-assign]


async def notify(phone: Phone, call: PhoneCall, status: int, phrase: str) -> None:
    """RFC 3515 section 2.4."""
    over = "terminated;reason=noresource" if status >= 200 else "active;expires=60"
    headers = {"Event": "refer", "Subscription-State": over}
    body = f"SIP/2.0 {status} {phrase}\r\n".encode()
    request = call.dialog.request("NOTIFY", body=body, content_type="message/sipfrag;version=2.0", headers=headers)
    answer = await phone.transact(request, call.peer).final
    assert answer is not None and answer.status == 200


def story(record: dict[str, Any]) -> list[str]:
    return [each["type"] for each in record["events"] if each["type"].startswith("transfer_")]


# --- by REFER ---------------------------------------------------------------------------------------------------------


async def test_a_refer_that_goes_well_takes_the_call_away(start_gateway: StartGateway) -> None:
    async with talking(start_gateway) as world:
        await world.transfer(refer="only")
        refer = await refer_of(world.call)
        assert f"<sip:{TO}@127.0.0.1:{world.called.address[1]}>" in refer.headers.values()
        assert any(name.lower() == "referred-by" for name in refer.headers)
        for status, phrase in ((100, "Trying"), (180, "Ringing"), (200, "OK")):
            await notify(world.caller, world.call, status, phrase)
            await asyncio.sleep(0.1)
        assert (await world.call.wait_bye()).by == "peer"
        record = await world.record()
    (transfer,) = record["transfers"]
    assert (transfer["outcome"], transfer["sip_status"], transfer["leg_id"]) == ("transferred", 200, None)
    assert (record["end_reason"], record["outcome"]) == ("transferred", "answered")
    assert story(record) == ["transfer_ringing", "transfer_answered"]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_sipp_is_referred_and_reports(gateway: RunningGateway, transport: str, caller: str) -> None:
    calls = asyncio.create_task(
        sipp(gateway, transport, "uac_is_referred.xml", "-s", TALKER, "-key", "caller", caller, "-m", "1")
    )
    await until(lambda: any(each["answered_at"] for each in gateway.calls(caller=caller)), what="an answered call")
    call_id = gateway.calls(caller=caller)[0]["call_id"]
    body = {"to": "sip:human@127.0.0.1:5999", "refer": "only"}
    assert (await ask(gateway, "POST", f"/v1/calls/{call_id}/transfer", body))[0] == 202
    await calls
    (record,) = await gateway.closed_records(caller, 1)
    detail = gateway.get(f"/v1/calls/{record['call_id']}")
    assert story(detail) == ["transfer_ringing", "transfer_answered"]
    assert [each["outcome"] for each in detail["transfers"]] == ["transferred"]
    assert record["end_reason"] == "transferred"


@pytest.mark.parametrize(("status", "outcome"), [(603, "declined"), (486, "busy")])
async def test_a_target_that_does_not_take_the_call_leaves_it_to_the_agent(
    start_gateway: StartGateway, status: int, outcome: str
) -> None:
    async with talking(start_gateway) as world:
        await world.transfer()
        await refer_of(world.call)
        await notify(world.caller, world.call, 100, "Trying")
        await notify(world.caller, world.call, status, "No")
        since = asyncio.get_running_loop().time()
        transfer = await world.transferred(outcome)
        assert (transfer["sip_status"], transfer["reason"]) == (status, "No")
        await hears_the_agent(world.call, since)
        await world.call.hang_up()
        record = await world.record()
    assert record["ended_by"] == "caller"
    assert len(record["legs"]) == 1, "the target is not called a second time"


@pytest.mark.parametrize("how", ["declined", "not answered", "accepted, and then silence"])
async def test_where_refer_is_of_no_use_the_target_is_called_and_joined(start_gateway: StartGateway, how: str) -> None:
    async with talking(start_gateway) as world:
        if how == "declined":
            answer_refer_with(world.caller, world.call, 603, "Decline")
        elif how == "not answered":
            answer_refer_with(world.caller, world.call, 0, "")
        await world.transfer()
        human = await asyncio.wait_for(world.called.incoming(), 10)
        await human.ring()
        await human.answer()
        await world.transferred("transferred")
        await until(lambda: len(human.received) > 20, what="audio")
        there = await heard_after_ms(world.call, human, CUSTOMER_HZ)
        back = await heard_after_ms(human, world.call, HUMAN_HZ)
        print(f"mouth to ear: {there:.0f} ms there, {back:.0f} ms back")
        await human.hang_up()
        assert (await world.call.wait_bye()).by == "peer"
        record = await world.record()
    assert (record["ended_by"], record["end_reason"]) == ("human", "the transfer's target hung up")
    assert record["transfers"][0]["leg_id"] == record["legs"][1]["leg_id"]


async def test_a_caller_who_leaves_after_a_refer_was_accepted_is_unconfirmed(start_gateway: StartGateway) -> None:
    async with talking(start_gateway) as world:
        await world.transfer(refer="only")
        await refer_of(world.call)
        await asyncio.sleep(0.2)
        await world.call.hang_up()
        await world.transferred("unconfirmed")
        await world.record()


# --- on a leg of ours -------------------------------------------------------------------------------------------------


async def test_the_caller_hears_that_they_wait_and_then_the_target(start_gateway: StartGateway) -> None:
    async with talking(start_gateway) as world:
        await asyncio.sleep(5)  # the greeting
        await world.transfer(refer="never", afterwards="agent")
        human = await world.called.incoming()
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.sleep(2)
        tones = on_time_axis(world.call.received, began, loop.time() - 0.2)
        assert max(strength(tones[i : i + 1600], hz) for hz in (523.25, 587.33) for i in range(0, 24000, 1600)) > 0.9
        await human.ring()
        await asyncio.sleep(1.5)
        ringing = on_time_axis(world.call.received, loop.time() - 1.0, loop.time() - 0.2)
        assert strength(ringing, 440) > 0.3
        assert strength(ringing, 480) > 0.3
        await human.answer()
        await until(lambda: len(human.received) > 20, what="audio")
        await heard_after_ms(human, world.call, HUMAN_HZ)
        left = loop.time()
        await human.hang_up()
        await hears_the_agent(world.call, left)
        await world.call.hang_up()
        record = await world.record()
    assert record["ended_by"] == "caller"
    assert [leg["role"] for leg in record["legs"]] == ["customer", "human"]


@pytest.mark.parametrize(("status", "outcome"), [(486, "busy"), (603, "declined"), (0, "no_answer"), (500, "failed")])
async def test_whoever_is_not_reached_leaves_the_caller_to_the_agent(
    start_gateway: StartGateway, status: int, outcome: str
) -> None:
    async with talking(start_gateway) as world:
        await world.transfer(refer="never", ring_timeout_s=1.0)
        human = await world.called.incoming()
        since = asyncio.get_running_loop().time()
        await (human.reject(status) if status else human.ring())
        await world.transferred(outcome)
        await hears_the_agent(world.call, since)
        await world.call.hang_up()
        record = await world.record()
    words = [turn["full_text"] or turn["text"] for turn in record["turns"] if turn["speaker"] == "agent"]
    sorry = "the line is busy" if outcome == "busy" else "nobody could take your call"
    assert any(sorry in text for text in words)


async def test_a_caller_who_hangs_up_cancels_the_ringing_at_once(start_gateway: StartGateway) -> None:
    async with talking(start_gateway) as world:
        await world.transfer(refer="never")
        human = await world.called.incoming()
        await human.ring()
        await asyncio.sleep(0.5)
        hung_up_at = asyncio.get_running_loop().time()
        await world.call.hang_up()
        ended = await asyncio.wait_for(human.ended, 2)
        took_ms = (ended.at - hung_up_at) * 1000
        print(f"CANCEL after {took_ms:.0f} ms")
        assert took_ms < 100
        await world.transferred("cancelled")
        record = await world.record()
    assert record["ended_by"] == "caller"
    assert legs_of(world.gateway, world.call)[1]["outcome"] == "cancelled"


async def test_to_a_sip_address_by_a_trunk_and_nowhere_else(start_gateway: StartGateway) -> None:
    async with talking(start_gateway) as world, Phone() as desk:
        address = f"sip:desk@127.0.0.1:{desk.address[1]}"
        await world.transfer(to=address, refer="never", kind="warm")
        human = await desk.incoming()
        await human.answer()
        await world.transferred("transferred")
        await world.call.hang_up()
        assert (await human.wait_bye()).by == "peer"
        record = await world.record()
    assert record["transfers"][0]["kind"] == "warm"
    assert record["legs"][1]["called"] == address


# --- refusals ---------------------------------------------------------------------------------------------------------


async def test_what_is_refused_before_anything_is_begun(start_gateway: StartGateway) -> None:
    async with talking(start_gateway) as world:
        refused = [
            ({"to": "+19005550100"}, 403, "closed_destination"),
            ({"to": "sip:human@203.0.113.9"}, 403, "closed_destination"),
            ({"to": "sip:+19005550100@127.0.0.1"}, 403, "closed_destination"),
            ({"to": TO, "refer": "never", "trunk": "other"}, 422, "no_trunk"),
        ]
        for body, status, kind in refused:
            found, problem = await world.post("transfer", body)
            assert (found, problem["type"]) == (status, f"urn:trunkline:problem:{kind}"), body
        assert (await world.post("transfer", {"to": "nobody"}))[0] == 400
        await world.transfer(refer="never")
        human = await world.called.incoming()
        found, problem = await world.post("transfer", {"to": TO})
        assert (found, problem["type"]) == (409, "urn:trunkline:problem:transferring")
        assert (await world.post("hold"))[0] == 409
        await human.reject(486)
        await world.transferred("busy")
        await world.call.hang_up()
        await world.record()
        for verb, body in (
            ("transfer", {"to": TO}),
            ("hold", None),
            ("mute", {"who": "agent"}),
            ("listen", {"to": TO}),
        ):
            assert (await world.post(verb, body))[0] == 410
        status, problem, _ = await ask(world.gateway, "POST", "/v1/calls/nothing/hold")
        assert (status, problem["type"]) == (404, "urn:trunkline:problem:no_such_call")


async def test_baresip_transfers_itself(start_gateway: StartGateway, tmp_path: Path) -> None:
    """A phone that is not ours is asked by REFER: it calls the target, and reports."""
    folder = tmp_path / "baresip"
    async with Phone() as called:
        gateway = start_gateway(sip=trunks(called))
        configure(folder, "udp", "PCMU", "+15552000001")
        async with baresip(folder, gateway.uri(TALKER, "udp")):
            await until(lambda: any(each["answered_at"] for each in gateway.calls()), what="an answered call")
            call_id = gateway.calls()[0]["call_id"]
            status, _, _ = await ask(gateway, "POST", f"/v1/calls/{call_id}/transfer", {"to": TO, "refer": "only"})
            assert status == 202
            human = await asyncio.wait_for(called.incoming(), 10)
            await human.ring()
            await asyncio.sleep(0.5)
            await human.answer()
            await until(lambda: gateway.calls()[0]["outcome"], 10, what="the end of the call")
            await until(lambda: len(human.received) > 20, what="audio of baresip")
            await human.hang_up()
        record = gateway.get(f"/v1/calls/{call_id}")
    (transfer,) = record["transfers"]
    assert (transfer["outcome"], transfer["sip_status"]) == ("transferred", 200)
    assert record["end_reason"] == "transferred"


@pytest.mark.parametrize("refer", ["only", "never"])
async def test_a_call_that_we_placed_is_held_and_transferred_like_any(
    start_gateway: StartGateway, tmp_path: Path, refer: str
) -> None:
    async with Phone() as customer, Phone() as desk:
        gateway = start_gateway(sip=trunks(customer), **plan(tmp_path), **one_slot_each(2))
        _, placed, _ = await ask(gateway, "POST", "/v1/calls", {"to": "+15557001234", "persona": "reminder.Reminder"})
        call = await customer.incoming()
        await call.answer()
        await until(lambda: len(call.received) > 20, what="audio")
        world = Talking(gateway, customer, desk, call, placed["call_id"])
        assert (await world.post("hold"))[0] == 200
        await until(lambda: call.direction == "recvonly", what="a re-INVITE")
        assert (await world.post("resume"))[0] == 200
        await until(lambda: call.direction == "sendrecv", what="a re-INVITE")
        await world.transfer(to=f"sip:desk@127.0.0.1:{desk.address[1]}", refer=refer)
        if refer == "only":
            await refer_of(call)
            await notify(customer, call, 200, "OK")
            assert (await call.wait_bye()).by == "peer"
        else:
            human = await desk.incoming()
            await human.answer()
            await until(lambda: len(human.received) > 20, what="audio")
            await heard_after_ms(human, call, HUMAN_HZ)
            workers = {leg["worker"] for leg in gateway.get(f"/v1/calls/{placed['call_id']}")["legs"]}
            assert len(workers) == 2, "one slot each"
            await call.hang_up()
            assert (await human.wait_bye()).by == "peer"
        await world.transferred("transferred")
        await gateway.idle()
        assert gateway.complaints() == []


# --- an extension -----------------------------------------------------------------------------------------------------


async def test_a_switchboard_gets_the_extension_before_the_caller_and_the_target_hear_each_other(
    start_gateway: StartGateway,
) -> None:
    async with talking(start_gateway) as world:
        assert (await world.post("transfer", {"to": TO, "refer": "only", "extension": "1"}))[0] == 422
        await world.transfer(extension="WW12#")
        target = await world.called.incoming()
        await target.answer()
        await until(lambda: digits_heard(target.received), 5, what="the first key")
        world.call.play(tone(CUSTOMER_HZ, 400))
        await until(lambda: len(digits_heard(target.received)) == 3, 5, what="all keys")
        assert [key.digit for key in digits_heard(target.received)] == ["1", "2", "#"]
        assert target.answered_at is not None
        before = on_time_axis(target.received, target.answered_at, asyncio.get_running_loop().time())
        assert strength(before, CUSTOMER_HZ) < 0.3, "nobody is joined yet"
        await asyncio.sleep(0.5)
        assert await heard_after_ms(world.call, target, CUSTOMER_HZ) < 300
        assert await heard_after_ms(target, world.call, HUMAN_HZ) < 300
        await target.hang_up()
        record = await world.record()
        assert [each["way"] for each in record["events"] if each["type"] == "digits_sent"] == ["rfc4733"]
