"""Calls through PJSIP, from INVITE to BYE, with a raw SIP peer."""

from __future__ import annotations

import asyncio
import time

import pytest
from pjsua_bench import Bench

from telephony.call import LegAnswered, LegEnded, LegHeld
from telephony.errors import LegEndedError, TelephonyMisuse

BUSY = 486


async def test_a_call_is_taken_rung_answered_and_ended_by_the_caller(bench: Bench):
    phone = await bench.phone()
    phone.send("INVITE", phone.sdp("PCMU"), extra=("X-Trunkline-Leg: c-77", "X-Tenant: blue"))
    await phone.response(100)
    taken = await bench.leg()
    leg = taken.leg
    assert (leg.headers["x-trunkline-leg"], leg.headers["X-Tenant"]) == ("c-77", "blue")
    assert leg.sip_call_id == phone.call_id
    assert (leg.request.request_user, leg.request.from_user) == ("+15550100", "+15550123")
    assert leg.request.from_display == 'Ann "A" Bee'
    await leg.ring()
    await phone.response(180)
    assert await leg.statistics() is None
    await leg.answer(taken.audio)
    await phone.established()
    await phone.talk(0.4)
    assert (await phone.hang_up(extra=('Reason: Q.850;cause=16;text="Gone home"',))).status == 200
    ended = await taken.ended()
    first, *between, last = [type(event).__name__ for event in taken.events]
    assert (first, sorted(between), last) == ("LegAnswered", ["FirstMedia", "LegAcknowledged"], "LegEnded")
    assert (ended.by_peer, ended.sip_status, ended.reason) == (True, 200, "Gone home")


async def test_invite_to_200_takes_a_few_milliseconds(bench: Bench):
    times = []
    for _ in range(10):
        started = time.monotonic()
        phone, _ = await bench.answered()
        times.append(time.monotonic() - started)
        await phone.hang_up()
    assert sorted(times)[5] < 0.02


async def test_we_hang_up_and_the_peer_confirms(bench: Bench):
    phone, taken = await bench.answered()
    await phone.talk(0.2)
    await taken.leg.hang_up("the agent said goodbye")
    ended = await taken.ended()
    assert phone.byes == 1
    assert 'text="the agent said goodbye"' in (await phone.request("BYE")).headers["reason"]
    assert (ended.by_peer, ended.sip_status, ended.reason) == (False, 200, "the agent said goodbye")
    assert ended.statistics is not None
    assert ended.statistics.packets_received >= 8


async def test_hang_up_is_idempotent(bench: Bench):
    phone, taken = await bench.answered()
    await asyncio.gather(taken.leg.hang_up(), taken.leg.hang_up(), taken.leg.hang_up())
    await taken.leg.hang_up()
    await taken.ended()
    assert phone.byes == 1


async def test_a_peer_that_does_not_confirm_is_waited_for_two_seconds(bench: Bench):
    phone, taken = await bench.answered()
    phone.answer_bye = False
    started = time.monotonic()
    await taken.leg.hang_up()
    assert 1.9 < time.monotonic() - started < 2.5
    ended = await taken.ended()
    assert (ended.by_peer, ended.sip_status) == (False, 408)
    assert phone.byes > 1  # PJSIP goes on trying


async def test_no_bye_before_the_ack(bench: Bench):
    phone = await bench.phone()
    phone.send("INVITE", phone.sdp("PCMU"))
    taken = await bench.leg()
    await taken.leg.answer(taken.audio)
    phone.learn(await phone.response())
    end = asyncio.create_task(taken.leg.hang_up("changed our mind"))
    await asyncio.sleep(0.1)
    ticks = len(taken.audio.pulled)
    assert phone.byes == 0
    await asyncio.sleep(0.1)
    assert len(taken.audio.pulled) == ticks
    phone.send("ACK")
    await end
    assert (phone.byes, (await taken.ended()).sip_status) == (1, 200)


async def test_a_peer_that_never_acknowledges_does_not_hold_up_the_hang_up(bench: Bench):
    phone = await bench.phone()
    phone.send("INVITE", phone.sdp("PCMU"))
    taken = await bench.leg()
    await taken.leg.answer(taken.audio)
    await taken.leg.hang_up()
    ended = await taken.ended()
    assert (ended.by_peer, ended.sip_status, bench.endpoint.slots_in_use) == (False, 408, 1)
    await bench.answered()


async def test_hang_up_that_is_cancelled_still_ends_the_leg(bench: Bench):
    phone, taken = await bench.answered()
    waiting = asyncio.create_task(taken.leg.hang_up())
    await asyncio.sleep(0)
    waiting.cancel()
    assert not (await taken.ended()).by_peer
    assert phone.byes == 1


async def test_cancel_while_ringing(bench: Bench):
    phone = await bench.phone()
    phone.send("INVITE", phone.sdp("PCMU"))
    taken = await bench.leg()
    await taken.leg.ring()
    await phone.response(180)
    phone.send("CANCEL")
    final = await phone.response(487)
    phone.learn(final)
    ended = await taken.ended()
    assert (ended.by_peer, ended.sip_status, ended.statistics) == (True, 487, None)
    with pytest.raises(LegEndedError):
        await taken.leg.answer(taken.audio)
    await taken.leg.hang_up()


async def test_a_leg_can_be_refused(bench: Bench):
    phone = await bench.phone()
    call = asyncio.create_task(phone.call())
    taken = await bench.leg()
    await taken.leg.reject(BUSY, "Line engaged")
    final = await call
    assert final.start == "SIP/2.0 486 Line engaged"
    ended = await taken.ended()
    assert (ended.by_peer, ended.sip_status, ended.reason) == (False, BUSY, "Line engaged")


async def test_hanging_up_an_unanswered_leg_refuses_it(bench: Bench):
    phone = await bench.phone()
    call = asyncio.create_task(phone.call())
    taken = await bench.leg()
    await taken.leg.hang_up("draining")
    assert (await call).status == 480
    assert (await taken.ended()).sip_status == 480


async def test_an_early_bye_ends_the_leg(bench: Bench):
    phone, taken = await bench.answered()
    assert (await phone.hang_up()).status == 200
    ended = await taken.ended()
    assert ended.by_peer
    assert ended.statistics is not None
    assert ended.statistics.packets_received == 0


async def test_answering_twice_and_refusing_late_are_misuse(bench: Bench):
    phone, taken = await bench.answered()
    with pytest.raises(TelephonyMisuse):
        await taken.leg.answer(taken.audio)
    with pytest.raises(TelephonyMisuse):
        await taken.leg.reject(BUSY)
    assert taken.of(LegEnded) == []
    await phone.hang_up()
    await taken.ended()


async def test_four_calls_at_once_and_one_more_is_refused(bench: Bench):
    limit = bench.endpoint.call_limit
    calls = [await bench.answered() for _ in range(limit)]
    assert bench.endpoint.slots_in_use == limit
    extra = await bench.phone()
    assert (await extra.call()).status in (486, 503)
    await asyncio.sleep(0)
    assert bench.quiet()
    await asyncio.gather(*(phone.talk(0.4) for phone, _ in calls))
    assert all(len(phone.packets) >= 15 for phone, _ in calls)
    await calls[0][0].hang_up()
    await calls[0][1].ended()
    phone, taken = await bench.answered()  # the slot serves again, and the others are still there
    await phone.talk(0.2)
    await asyncio.gather(*(one.leg.hang_up() for _, one in [*calls[1:], (phone, taken)]))
    assert [(await one.ended()).by_peer for _, one in calls[1:]] == [False] * (limit - 1)


async def test_a_slot_that_is_reused_at_once_keeps_its_new_call(bench: Bench):
    """PJSIP's call objects hang up whatever is in their slot when they are destroyed late."""
    others = [await bench.answered() for _ in range(bench.endpoint.call_limit - 1)]
    for _ in range(5):
        phone, taken = await bench.answered()
        phone.send("BYE")
        following = await bench.phone()  # its INVITE may arrive in the same poll as the BYE
        following.send("INVITE", following.sdp("PCMU"))
        after = await bench.leg()
        await after.leg.answer(after.audio)
        assert (await following.established()).status == 200
        await taken.ended()
        await following.talk(0.1)
        assert after.of(LegEnded) == []
        await following.hang_up()
        await after.ended()
    assert all(taken.of(LegEnded) == [] for _, taken in others)


async def test_a_peer_cannot_make_us_call_others(bench: Bench):
    phone, taken = await bench.answered()
    victim = await bench.phone()
    phone.send("REFER", extra=(f"Refer-To: <sip:+19005550100@127.0.0.1:{victim.sip_port}>",))
    assert (await phone.response()).status == 603
    tags = f"from-tag={phone.tag};to-tag={phone.to_tag.removeprefix(';tag=')}"
    victim.send("INVITE", victim.sdp("PCMU"), extra=(f"Replaces: {phone.call_id};{tags}",))
    assert (await victim.response()).status == 603
    await asyncio.sleep(0.1)
    assert bench.quiet()
    assert bench.endpoint.slots_in_use == 1
    assert taken.of(LegEnded) == []


async def test_a_call_that_starts_on_hold(bench: Bench):
    phone = await bench.phone()
    phone.send("INVITE", phone.sdp("PCMU", direction="sendonly"))
    taken = await bench.leg()
    await taken.leg.answer(taken.audio)
    await phone.established()
    await taken.seen(LegHeld)
    assert [type(event) for event in taken.events] == [LegAnswered, LegHeld]


async def test_a_call_that_starts_inactive_is_on_hold_without_a_word_in_the_log(bench: Bench, caplog):
    phone = await bench.phone()
    phone.send("INVITE", phone.sdp("PCMU", direction="inactive"))
    taken = await bench.leg()
    await taken.leg.answer(taken.audio)
    await phone.established()
    await taken.seen(LegHeld)
    await taken.leg.statistics()
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
    phone.send("INVITE", phone.sdp("PCMU"))
    await phone.established()
    await phone.talk(0.3)
    statistics = await taken.leg.statistics()
    assert statistics is not None and statistics.packets_received > 10


async def test_delayed_offer(bench: Bench):
    phone = await bench.phone()
    phone.send("INVITE")
    taken = await bench.leg()
    await taken.leg.answer(taken.audio)
    final = await phone.established(answer=phone.sdp("PCMA"))
    assert "RTP/AVP 0 8 9 " in final.body
    await taken.seen(LegAnswered)
    await phone.talk(0.3, b"\xd5" * 160, 8)
    statistics = await taken.leg.statistics()
    assert statistics is not None
    assert (statistics.codec, statistics.packets_received > 10) == ("PCMA", True)
    await phone.hang_up()
    await taken.ended()


@pytest.mark.parametrize("answer", ["nothing", "another codec", "refused"])
async def test_an_offer_of_ours_that_is_not_answered_ends_the_call(bench: Bench, answer: str):
    phone = await bench.phone()
    phone.send("INVITE")
    taken = await bench.leg()
    await taken.leg.answer(taken.audio)
    refused = phone.sdp("PCMU").replace(f"m=audio {phone.rtp_port}", "m=audio 0")
    await phone.established({"nothing": "", "another codec": phone.sdp("GSM"), "refused": refused}[answer])
    ended = await taken.ended()
    assert (ended.by_peer, ended.sip_status, ended.reason) == (False, 488, "our offer was not answered")
    assert phone.byes == 1


async def test_no_common_codec_is_refused_with_488(bench: Bench):
    phone = await bench.phone()
    assert (await phone.call("GSM")).status == 488
    await asyncio.sleep(0.05)
    assert bench.quiet()


async def test_a_handler_that_fails_refuses_the_call(bench: Bench, caplog):
    def fail(leg) -> None:
        raise RuntimeError("boom")

    bench.endpoint._on_incoming = fail
    phone = await bench.phone()
    assert (await phone.call()).status == 500
    assert "boom" in caplog.text
