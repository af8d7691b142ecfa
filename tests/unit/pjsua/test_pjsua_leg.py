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
from telephony.errors import DigitsNotSent, LegEndedError, PjsipError, TelephonyMisuse
from telephony.fakes import FakeLeg, statistics
from telephony.keys import KeyFigures, KeyTerms
from telephony.media.dtmf import dtmf
from telephony.media.dtmf_detector import DtmfDetector
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


async def answered(*, agreed: bool) -> tuple[IncomingLeg, Line, LegAudio]:
    """`agreed`: to telephone-event."""
    leg, line = made()
    room = Room()
    await leg.answer(room)
    leg.keys.describe(agreed=agreed)
    (_, audio) = line.done.pop()
    assert not isinstance(audio, str | int)
    return leg, line, audio  # type: ignore[return-value]


async def frames_while(sending: asyncio.Task[None], audio: LegAudio) -> list[bytes]:
    """What the peer hears until all is sent, frame by frame."""
    heard: list[bytes] = []
    while not sending.done() and len(heard) < 500:
        await asyncio.sleep(0)
        heard.append(audio.pull(len(heard) / 50))
        await asyncio.sleep(0)
    await sending
    return heard


async def test_without_events_keys_are_tones_in_place_of_the_agents_audio():
    leg, line, audio = await answered(agreed=False)
    audio.push(SILENCE, 0.0)  # from here on the room's frames are not silence
    sending = asyncio.create_task(leg.send_digits("4w7#", duration_ms=100, gap_ms=60))
    heard = b"".join(await frames_while(sending, audio))
    assert line.done == [], "nothing goes by PJSIP"
    assert [hit.digit for hit in DtmfDetector().push(heard)] == ["4", "7", "#"]
    tones = dtmf("4w7#", on_ms=100, off_ms=60)
    assert tones in heard and b"\x01" * FRAME_BYTES not in heard.strip(bytes(1))[: len(tones)]
    assert audio.pull(9.0) == b"\x01" * FRAME_BYTES, "afterwards the agent is heard again"


async def test_while_events_are_sent_the_agent_is_not_heard():
    leg, line, audio = await answered(agreed=True)
    audio.push(SILENCE, 0.0)
    sending = asyncio.create_task(leg.send_digits("1", duration_ms=40, gap_ms=0))
    await asyncio.sleep(0)
    assert audio.pull(0.0) == SILENCE
    await sending
    assert audio.pull(0.1) == b"\x01" * FRAME_BYTES
    assert line.done == [("dial", "1", 40)]


async def test_a_leg_that_ends_ends_its_keys():
    leg, _, audio = await answered(agreed=False)
    sending = asyncio.create_task(leg.send_digits("1234"))
    await asyncio.sleep(0)
    audio.pull(0.0)
    leg.deliver(ENDED)
    with pytest.raises(LegEndedError):
        await sending


async def test_keys_by_info_are_sent_by_whoever_can():
    leg, line, _ = await answered(agreed=True)
    sent: list[tuple[str, int]] = []

    async def send(key: str, duration_ms: int) -> None:
        if key == "#":
            raise DigitsNotSent("refused", "415", sip_status=415)
        sent.append((key, duration_ms))

    leg.use_keys(KeyTerms(DigitSource.INFO), send)
    await leg.send_digits("12", duration_ms=90, gap_ms=0)
    assert (sent, line.done) == ([("1", 90), ("2", 90)], [])
    with pytest.raises(DigitsNotSent) as caught:
        await leg.send_digits("#", gap_ms=0)
    assert (caught.value.kind, caught.value.sip_status) == ("refused", 415)


async def test_two_strings_of_keys_do_not_mix():
    leg, line, _ = await answered(agreed=True)
    await asyncio.gather(*(leg.send_digits(keys, duration_ms=40, gap_ms=0) for keys in ("12", "34")))
    assert "".join(str(done[1]) for done in line.done) == "1234"


async def test_our_own_tones_coming_back_are_no_keys():
    leg, _, audio = await answered(agreed=False)
    leg.use_keys(KeyTerms())
    sending = asyncio.create_task(leg.send_digits("4", duration_ms=100))
    now = 0.0
    while not sending.done():
        await asyncio.sleep(0)
        audio.push(audio.pull(now), now)
        now += 0.02
    await sending
    statistics = await leg.statistics()
    assert statistics is not None and statistics.keys == KeyFigures()


async def test_presses_are_counted_by_way_and_an_event_ends_the_listening():
    leg, _, _ = await answered(agreed=True)
    leg.use_keys(KeyTerms())
    assert leg.in_band.listens
    leg.deliver(LegDigit("1", 1.0, DigitSource.INBAND))
    assert leg.in_band.listens
    leg.deliver(LegDigit("1", 1.1, DigitSource.RTP))
    assert not leg.in_band.listens
    statistics = await leg.statistics()
    assert statistics is not None
    assert statistics.keys == KeyFigures(rfc4733=1, inband=1, first="inband", agreed=True)


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
