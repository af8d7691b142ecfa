"""Calls that a worker places: through the real edge to a phone, and what the leg's events say of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

import pytest
from pjsua_bench import Bench, Echo, Taken

from telephony.call import CallInfo, Direction, FirstMedia, LegAcknowledged, LegAnswered, LegEnded, LegRinging
from telephony.edge import Dial, Edge, EdgeSettings, Refuse, Trunk
from telephony.edge.fakes import FakeAdmitter
from telephony.errors import CallLimitReached, TelephonyMisuse
from telephony.media.tones import tone
from telephony.phone import Phone, PhoneCall
from telephony.phone.analysis import digits_heard, loud_spans


@dataclass
class Lines:
    """A worker's endpoint, the edge before it, and somebody to call."""

    bench: Bench
    edge: Edge
    phone: Phone
    ended: list[str]

    def allow(self, leg_id: str, *, ring_s: float = 30.0, port: int = 0) -> None:
        worker = self.edge.add_worker("w1", "127.0.0.1", self.bench.endpoint.sip_port)
        host, own = self.phone.address
        transport: Literal["udp", "tcp"] = "tcp" if self.phone.reliable else "udp"
        uri, caller = f"sip:+15550100@{host}:{port or own}", "sip:+15550199@127.0.0.1"
        self.edge.allow_dial(Dial(leg_id, worker, "carrier", uri, caller, host, port or own, transport, ring_s))

    async def place(self, leg_id: str = "leg-1") -> Taken:
        info, audio = CallInfo(leg_id, Direction.OUTBOUND, "+15550100", "+15550199", "carrier"), Echo()
        return Taken(await self.bench.endpoint.dial(leg_id, info, self.edge.worker_address, audio), audio)

    async def dial(self, leg_id: str = "leg-1", *, ring_s: float = 30.0, port: int = 0) -> Taken:
        self.allow(leg_id, ring_s=ring_s, port=port)
        return await self.place(leg_id)

    async def incoming(self) -> PhoneCall:
        async with asyncio.timeout(5):
            return await self.phone.incoming()

    async def answered(self) -> tuple[Taken, PhoneCall]:
        taken = await self.dial()
        call = await self.incoming()
        await call.answer()
        await taken.seen(LegAnswered)
        return taken, call

    async def over(self, leg_id: str = "leg-1") -> None:
        """The edge has told of the end, once, and nobody holds anything of the call."""
        async with asyncio.timeout(5):
            while self.edge.dialogs or self.ended != [leg_id] or self.bench.endpoint.slots_in_use:
                await asyncio.sleep(0.02)


@pytest.fixture(params=["udp"])
async def lines(bench: Bench, request: pytest.FixtureRequest) -> AsyncIterator[Lines]:
    ended: list[str] = []
    settings = EdgeSettings(("udp://127.0.0.1:0", "tcp://127.0.0.1:0"), (Trunk("carrier", ("127.0.0.0/8",)),))
    edge = Edge(settings, FakeAdmitter(Refuse(500, "")), on_dialog_ended=lambda end: ended.append(end.leg_id))
    await edge.start()
    try:
        async with Phone(transport=request.param) as phone:
            yield Lines(bench, edge, phone, ended)
    finally:
        await edge.close()


@pytest.mark.parametrize("lines", ["udp", "tcp"], indirect=True)
async def test_a_call_that_rings_is_answered_and_talks(lines: Lines) -> None:
    taken = await lines.dial()
    call = await lines.incoming()
    assert call.asked is not None and not call.asked.value("x-trunkline-call")
    await call.ring()
    ringing = await taken.seen(LegRinging)
    assert (ringing.sip_status, ringing.early_media) == (180, False)
    await call.answer()
    await taken.seen(LegAnswered)
    await taken.seen(LegAcknowledged)
    await taken.seen(FirstMedia)
    await call.play(tone(440, 600)).done
    await asyncio.sleep(0.3)
    (start, end) = loud_spans(call.received)[0]  # the leg's room says what it hears
    assert end - start == pytest.approx(0.6, abs=0.08)
    await call.hang_up()
    ended = await taken.ended()
    assert (ended.by_peer, ended.sip_status) == (True, 200)
    assert ended.statistics is not None and ended.statistics.packets_received > 25
    await lines.over()


async def test_our_bye(lines: Lines) -> None:
    taken, call = await lines.answered()
    await taken.leg.hang_up("done")
    ended = await taken.ended()
    assert (ended.by_peer, ended.sip_status, ended.reason) == (False, 200, "done")
    assert (await call.wait_bye()).by == "peer"
    await lines.over()


async def test_early_media_is_heard_before_the_answer(lines: Lines) -> None:
    taken = await lines.dial()
    call = await lines.incoming()
    await call.ring()
    await taken.seen(LegRinging)
    await call.early_media()
    ringing = await taken.seen(LegRinging, 2)
    assert (ringing.sip_status, ringing.early_media) == (183, True)
    await call.audio.play(tone(425, 400)).done
    async with asyncio.timeout(3):
        while not any(any(pcm) for _, pcm in taken.audio.pushed):
            await asyncio.sleep(0.02)
    assert not taken.of(LegAnswered)
    await call.answer()
    await taken.seen(LegAnswered)
    await taken.leg.hang_up()
    await taken.ended()


@pytest.mark.parametrize(("status", "reason"), [(486, "Busy Here"), (603, "Decline"), (404, "Not Found"), (407, "Who")])
async def test_a_refusal_says_why(lines: Lines, status: int, reason: str) -> None:
    taken = await lines.dial()
    call = await lines.incoming()
    await call.ring()
    await call.reject(status, reason)
    ended = await taken.ended()
    assert (ended.by_peer, ended.sip_status, ended.reason) == (True, status, reason)
    assert not taken.of(LegAnswered)
    await lines.over()


@pytest.mark.parametrize("rings", [True, False])
async def test_hanging_up_before_the_answer_is_a_cancel(lines: Lines, rings: bool) -> None:
    taken = await lines.dial()
    call = await lines.incoming()
    if rings:
        await call.ring()
        await taken.seen(LegRinging)
    await taken.leg.hang_up("not needed")
    ended = await taken.ended()
    assert (ended.by_peer, ended.sip_status, ended.reason) == (False, 487, "not needed")
    assert (await call.wait_bye()).status == 487
    await lines.over()


async def test_an_answer_that_crosses_the_cancel_leaves_nobody_on_the_line(lines: Lines) -> None:
    taken = await lines.dial()
    call = await lines.incoming()
    await call.ring()
    await taken.seen(LegRinging)
    hanging_up = asyncio.create_task(taken.leg.hang_up("not needed"))
    await call.answer()
    await hanging_up
    assert not (await taken.ended()).by_peer
    assert (await call.wait_bye()).by == "peer"
    await lines.over()


async def test_nobody_answers(lines: Lines) -> None:
    taken = await lines.dial(ring_s=0.6)
    call = await lines.incoming()
    await call.ring()
    ended = await taken.ended()
    assert (ended.sip_status, ended.reason) == (408, "the call was not answered in time")
    assert (await call.wait_bye()).status == 487
    await lines.over()


async def test_the_gateway_ends_a_call_that_rings(lines: Lines) -> None:
    taken = await lines.dial()
    call = await lines.incoming()
    await call.ring()
    await taken.seen(LegRinging)
    assert lines.edge.end_leg("leg-1", "drained")
    assert (await taken.ended()).reason == "drained"
    assert (await call.wait_bye()).status == 487
    await lines.over()


async def test_what_the_gateway_has_not_allowed_goes_nowhere(lines: Lines) -> None:
    lines.edge.add_worker("w1", "127.0.0.1", lines.bench.endpoint.sip_port)
    taken = await lines.place("leg-2")
    ended = await taken.ended()
    assert ended.sip_status == 403
    assert lines.edge.counters["refused.dial"] == 1
    assert not lines.edge.dialogs


async def test_hold_and_resume_by_the_called_side(lines: Lines) -> None:
    taken, call = await lines.answered()
    await call.hold()
    await call.resume()
    await call.hang_up()
    assert [type(event).__name__ for event in taken.events if "Held" in type(event).__name__] == ["LegHeld"]
    assert (await taken.ended()).by_peer


async def test_digits_are_sent_to_the_called_side(lines: Lines) -> None:
    taken, call = await lines.answered()
    await taken.leg.send_digits("12#")
    await asyncio.sleep(0.1)
    assert "".join(heard.digit for heard in digits_heard(call.received)) == "12#"
    await call.hang_up()
    await taken.ended()


async def test_more_calls_than_pjsip_holds_are_refused_as_errors(lines: Lines) -> None:
    limit = lines.bench.endpoint.call_limit
    placed = [await lines.dial(f"leg-{number}") for number in range(limit)]
    lines.allow("one-more")
    with pytest.raises(CallLimitReached):
        await lines.place("one-more")
    for taken in placed:
        await taken.leg.hang_up()
        assert isinstance(await taken.ended(), LegEnded)


async def test_a_call_of_ours_is_not_answered_by_us(lines: Lines) -> None:
    taken = await lines.dial()
    with pytest.raises(TelephonyMisuse):
        await taken.leg.answer(Echo())
    with pytest.raises(TelephonyMisuse):
        await taken.leg.reject(486)
    await taken.leg.hang_up()
