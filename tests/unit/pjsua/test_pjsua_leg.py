"""The asyncio side of a leg, with a scripted line, and the fake leg that replaces both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from telephony.call import (
    CallInfo,
    DigitSource,
    Direction,
    Leg,
    LegAcknowledged,
    LegAnswered,
    LegDigit,
    LegEnded,
    MediaStatistics,
)
from telephony.errors import LegEndedError, PjsipError, TelephonyMisuse
from telephony.fakes import FakeLeg, statistics
from telephony.media.frames import FRAME_BYTES, SILENCE
from telephony.media.sources import Source
from telephony.pjsua import IncomingLeg, IncomingRequest
from telephony.pjsua.arrivals import HeardPacket
from telephony.pjsua.line_media import LineMedia
from telephony.rooms.protocol import LegAudio

ENDED = LegEnded(9.0, False, 200, "done", statistics(packets_received=7))
INFO = CallInfo("c-1", Direction.INBOUND, "+1", None, "t")


class Line:
    """A `PjsipLine` that records."""

    def __init__(self) -> None:
        self.media = LineMedia(0)
        self.done: list[tuple[object, ...]] = []
        self.on_end: Callable[[], None] = lambda: None
        self.failure: Exception | None = None

    def ring(self) -> None:
        self.done.append(("ring",))

    def answer(self, audio: LegAudio) -> None:
        self.done.append(("answer", audio))

    def end(self, sip_status: int, reason: str) -> None:
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        self.done.append(("end", sip_status, reason))
        self.on_end()

    def dial(self, key: str, duration_ms: int) -> None:
        self.done.append(("dial", key, duration_ms))

    def statistics(self) -> MediaStatistics | None:
        return statistics(packets_received=3)

    def finish(self, sip_status: int, reason: str) -> None:
        self.done.append(("finish", sip_status, reason))

    def heard(self, rtp: list[HeardPacket], rtcp: list[bytes]) -> None:
        self.done.append(("heard", rtp, rtcp))

    def stranger(self, source: Source, *, rtcp: bool) -> bool:
        return False


async def at_once(command: Callable[[], object]) -> object:
    return command()


def made() -> tuple[IncomingLeg, Line]:
    line = Line()
    leg = IncomingLeg(IncomingRequest("id", "100", "123", "", "100"), line, at_once, lambda command: None)
    line.on_end = lambda: leg.deliver(ENDED)
    return leg, line


async def test_info_is_given_by_who_knows():
    leg, _ = made()
    with pytest.raises(TelephonyMisuse):
        _ = leg.info
    leg.adopt(INFO)
    assert leg.info is INFO


async def test_events_end_with_leg_ended_and_have_one_consumer():
    leg, _ = made()
    leg.deliver(LegAnswered(1.0))
    leg.deliver(ENDED)
    leg.deliver(LegAnswered(10.0))
    leg.deliver(ENDED)
    assert [event async for event in leg.events()] == [LegAnswered(1.0), ENDED]
    with pytest.raises(TelephonyMisuse):
        await anext(leg.events())


async def test_keys_by_info_are_limited_to_what_a_hand_can_press_and_the_others_are_counted():
    leg, _ = made()
    for _ in range(200):
        leg.press_by_info("5", 90)
    figures = await leg.statistics()
    leg.deliver(ENDED)
    digits, ended = [], None
    async for event in leg.events():
        if isinstance(event, LegDigit):
            digits.append(event)
        elif isinstance(event, LegEnded):
            ended = event
    assert (digits[0].digit, digits[0].source, digits[0].duration_ms) == ("5", DigitSource.INFO, 90)
    assert 15 <= len(digits) <= 40
    for told in (figures, await leg.statistics(), ended and ended.statistics):
        assert told is not None and told.presses_dropped == 200 - len(digits)


async def test_hang_up_is_done_once():
    leg, line = made()
    await asyncio.gather(leg.hang_up("bye"), leg.hang_up("again"))
    await leg.hang_up()
    await leg.reject(486)
    assert line.done == [("end", 0, "bye")]


async def test_a_hang_up_that_failed_can_be_tried_again():
    leg, line = made()
    line.failure = PjsipError("hang up", 1, "no")
    with pytest.raises(PjsipError):
        await leg.hang_up()
    await leg.hang_up()
    assert line.done == [("end", 0, "")]


async def test_verbs_on_an_ended_leg():
    leg, _ = made()
    leg.deliver(ENDED)
    with pytest.raises(LegEndedError):
        await leg.ring()
    with pytest.raises(LegEndedError):
        await leg.send_digits("1")
    assert await leg.statistics() == ENDED.statistics


async def test_misuse():
    leg, line = made()
    with pytest.raises(TelephonyMisuse):
        await leg.reject(200)
    with pytest.raises(TelephonyMisuse):
        await leg.send_digits("1", duration_ms=20)
    assert line.done == []


class Room:
    def __init__(self) -> None:
        self.said: list[tuple[bytes, float]] = []

    def push(self, pcm: bytes, at: float) -> None:
        self.said.append((pcm, at))

    def pull(self, at: float) -> bytes:
        return bytes([len(self.said)]) * FRAME_BYTES


async def test_the_fake_leg_records_and_injects():
    leg = FakeLeg(INFO)
    as_leg: Leg = leg
    room = Room()
    await as_leg.ring()
    await as_leg.answer(room)
    leg.press("5#")
    sent = leg.say(SILENCE * 3, at=2.0)
    assert sent == bytes(FRAME_BYTES) + b"\x01" * FRAME_BYTES + b"\x02" * FRAME_BYTES
    assert [round(at, 2) for _, at in room.said] == [2.0, 2.02, 2.04]
    leg.failures["send_digits"] = PjsipError("dial", 1, "no")
    with pytest.raises(PjsipError):
        await leg.send_digits("1")
    await as_leg.send_digits("1w2")
    await as_leg.hang_up("bye")
    await as_leg.hang_up()
    events = [event async for event in as_leg.events()]
    assert [type(event) for event in events] == [LegAnswered, LegAcknowledged, LegDigit, LegDigit, LegEnded]
    assert leg.verbs == [
        ("ring",), ("answer",), ("send_digits", "1"), ("send_digits", "1w2"), ("hang_up", "bye"), ("hang_up", ""),
    ]  # fmt: skip
    with pytest.raises(TelephonyMisuse):
        leg.tick()


async def test_the_fake_leg_is_hung_up_by_its_peer():
    leg = FakeLeg()
    leg.end()
    leg.end(sip_status=487)
    (ended,) = [event async for event in leg.events()]
    assert isinstance(ended, LegEnded)
    assert (ended.by_peer, ended.sip_status) == (True, 200)
    with pytest.raises(LegEndedError):
        await leg.answer(Room())
