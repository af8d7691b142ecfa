"""Audio, digits, hold and statistics through PJSIP."""

from __future__ import annotations

import asyncio
import base64
import math
import random
import struct
import time
from itertools import pairwise

import pytest
from pjsua_bench import Bench, Taken
from pjsua_phone import MULAW_SILENCE, Phone

from telephony.call import DigitSource, FirstMedia, LegDigit, LegHeld, LegResumed, MediaStatistics
from telephony.errors import DigitsNotSent, LegEndedError, TelephonyMisuse
from telephony.keys import KeyFigures, KeyTerms
from telephony.media.dtmf import dtmf
from telephony.media.dtmf_detector import DtmfDetector
from telephony.media.frames import FRAME_BYTES, SILENCE
from telephony.media.g711 import decode_ulaw, encode_ulaw

LOUD = {"PCMU": b"\x90" * 80 + b"\x10" * 80, "PCMA": b"\xba" * 80 + b"\x3a" * 80}


def peak(pcm: bytes) -> int:
    return max(abs(sample) for sample in struct.unpack(f"<{len(pcm) // 2}h", pcm))


async def switch(phone: Phone, direction: str) -> str:
    """A re-INVITE; returns the answer's direction."""
    phone.send("INVITE", phone.sdp("PCMU", direction=direction))
    final = await phone.response()
    phone.send("ACK")
    assert final.status == 200
    return next(line for line in final.body.split("\r\n") if line in ("a=sendrecv", "a=recvonly", "a=inactive"))


async def test_echo_comes_back_within_two_frames_and_a_bit(bench: Bench):
    phone, _ = await bench.answered()
    delays = []
    await phone.talk(0.3)
    for _ in range(5):
        sent_at = time.monotonic()
        await phone.talk(0.06, LOUD["PCMU"])
        await phone.talk(0.14)
        loud = [packet.at for packet in phone.packets if packet.at > sent_at and packet.payload != MULAW_SILENCE]
        delays.append(loud[0] - sent_at)
    assert 0.015 < sorted(delays)[2] < 0.045
    await phone.hang_up()


async def test_frames_tick_every_20_ms_in_pull_push_order(bench: Bench):
    phone, taken = await bench.answered()
    await phone.talk(0.5)
    await phone.hang_up()
    await taken.ended()
    pulls, pushes = taken.audio.pulled, [at for at, _ in taken.audio.pushed]
    assert abs(len(pulls) - 25) <= 5
    assert abs(len(pulls) - len(pushes)) <= 1
    assert all(len(pcm) == FRAME_BYTES for _, pcm in taken.audio.pushed)
    gaps = sorted(later - earlier for earlier, later in pairwise(pushes))
    assert 0.018 < gaps[len(gaps) // 2] < 0.022
    assert all(push - pull < 0.01 for pull, push in zip(pulls[2:], pushes[-len(pulls[2:]) :], strict=False))


@pytest.mark.parametrize(
    ("codec", "number", "quiet"), [("PCMU", 0, b"\xff"), ("PCMA", 8, b"\xd5"), ("G722", 9, b"\xfa")]
)
async def test_codecs(bench: Bench, codec: str, number: int, quiet: bytes):
    phone, taken = await bench.answered(codec)
    await phone.talk(0.3, quiet * 160, number)
    statistics = await taken.leg.statistics()
    assert statistics is not None
    assert statistics.codec == codec
    assert {packet.payload_type for packet in phone.packets} == {number}
    if codec in LOUD:
        await phone.talk(0.1, LOUD[codec], number)
        assert max(peak(pcm) for _, pcm in taken.audio.pushed) > 1000
    await phone.hang_up()


async def test_the_peers_order_of_codecs_is_followed(bench: Bench):
    _, taken = await bench.answered("GSM", "PCMA", "PCMU")
    statistics = await taken.leg.statistics()
    assert statistics is not None
    assert statistics.codec == "PCMA"


async def test_what_the_room_says_reaches_the_phone_unchanged(bench: Bench):
    phone, taken = await bench.answered()
    tone = struct.pack("<160h", *(round(8000 * math.sin(index * math.pi / 8)) for index in range(160)))
    taken.audio.pull = lambda at: tone
    await phone.talk(0.3)
    payloads = {packet.payload for packet in phone.packets[-5:]}
    assert len(payloads) == 1
    assert payloads != {MULAW_SILENCE}


async def test_hold_and_resume_while_the_clock_ticks_on(bench: Bench):
    phone, taken = await bench.answered()
    await phone.talk(0.2, LOUD["PCMU"])
    assert await switch(phone, "sendonly") == "a=recvonly"
    await taken.seen(LegHeld)
    ticks = len(taken.audio.pulled), len(taken.audio.pushed)
    await phone.talk(0.4, LOUD["PCMU"])  # hold music
    assert len(taken.audio.pulled) - ticks[0] >= 17
    assert len(taken.audio.pushed) - ticks[1] >= 17
    assert taken.audio.pushed[-1][1] == SILENCE
    phone.packets.clear()
    await switch(phone, "sendrecv")
    await taken.seen(LegResumed)
    await phone.talk(0.3, LOUD["PCMU"])
    assert peak(taken.audio.pushed[-1][1]) > 1000
    assert len(phone.packets) >= 10
    await switch(phone, "inactive")
    await taken.seen(LegHeld, 2)
    ticks = len(taken.audio.pulled), len(taken.audio.pushed)
    await asyncio.sleep(0.2)
    assert len(taken.audio.pulled) - ticks[0] >= 7
    await phone.hang_up()
    ended = await taken.ended()
    assert ended.statistics is not None
    assert ended.statistics.packets_received >= 24  # over all streams of the call


async def test_the_clock_ticks_although_no_rtp_comes(bench: Bench):
    phone, taken = await bench.answered()
    await asyncio.sleep(0.3)
    assert len(taken.audio.pulled) >= 12
    assert {pcm for _, pcm in taken.audio.pushed} == {SILENCE}
    assert taken.of(FirstMedia) == []
    phone.send_rtp()
    await taken.seen(FirstMedia)


async def figures(bench: Bench, sequences: list[int]) -> MediaStatistics:
    """What a call's end says of packets with these sequence numbers."""
    phone, taken = await bench.answered()
    for sequence in sequences:
        header = struct.pack("!BBHII", 0x80, 0, 1000 + sequence, 160 * sequence, 1)
        phone.rtp.sendto(header + MULAW_SILENCE, phone.media_at)
        await asyncio.sleep(0.02)
    await taken.leg.hang_up()
    statistics = (await taken.ended()).statistics
    assert statistics is not None
    return statistics


async def test_statistics_of_a_line_that_loses_packets(bench: Bench):
    statistics = await figures(bench, [1, 2, 3, 4, 7, 8, 9, 10, 11])
    assert (statistics.codec, statistics.packets_received, statistics.packets_lost) == ("PCMU", 9, 2)
    assert (statistics.packets_duplicated, statistics.packets_reordered) == (0, 0)
    assert statistics.packets_sent >= 7
    assert statistics.jitter_ms <= statistics.jitter_max_ms < 20
    assert 0 < statistics.jitter_buffer_ms <= statistics.jitter_buffer_max_ms <= 200


async def test_statistics_of_a_line_that_mixes_packets_up(bench: Bench):
    statistics = await figures(bench, [1, 2, 3, 4, 6, 5, 7, 8, 8, 9])
    assert (statistics.packets_duplicated, statistics.packets_reordered) == (1, 1)


async def test_a_burst_beyond_the_jitter_buffer_is_discarded_and_its_delay_is_worked_off(bench: Bench):
    phone, taken = await bench.answered()
    await phone.talk(0.2)
    for _ in range(40):
        phone.send_rtp()
    await phone.talk(0.2)
    await phone.hang_up()
    statistics = (await taken.ended()).statistics
    assert statistics is not None
    assert statistics.packets_discarded >= 10


async def test_jitter_makes_the_buffer_deeper_and_loses_nothing(bench: Bench):
    phone, taken = await bench.answered()
    loop, dice, due = asyncio.get_running_loop(), random.Random(7), 0.0
    start = loop.time()
    for index in range(50):
        due = max(due + 0.001, 0.02 * index + 0.06 * dice.random())  # late, but in order
        loop.call_at(start + due, phone.send_rtp)
    await asyncio.sleep(1.1)
    await taken.leg.hang_up()
    statistics = (await taken.ended()).statistics
    assert statistics is not None
    assert (statistics.packets_received, statistics.packets_discarded) == (50, 0)
    assert statistics.jitter_ms > 3
    assert 20 < statistics.jitter_buffer_ms < 100


async def test_rfc4733_digits_once_a_press(bench: Bench):
    phone, taken = await bench.answered()
    await phone.talk(0.1)
    await phone.press("1")
    await phone.press("1")
    await phone.press("#", order=(0, 2))  # copies of its first packets, late and with numbers of their own
    await phone.press("D")
    digits = [taken.of(LegDigit) and await taken.seen(LegDigit, count) for count in (1, 2, 3, 4)]
    await phone.talk(0.1)
    assert "".join(event.digit for event in taken.of(LegDigit)) == "11#D"
    assert {event.source for event in digits if event} == {DigitSource.RTP}


async def test_keys_in_band_are_heard_of_a_peer_that_sends_no_events(bench: Bench):
    phone = await bench.phone()
    phone.send("INVITE", phone.sdp("PCMU", events=False))
    taken = await bench.leg()
    await taken.leg.answer(taken.audio)
    await phone.established()
    await play(phone, dtmf("4711#", on_ms=80, off_ms=80))
    await taken.seen(LegDigit, 5)
    assert "".join(event.digit for event in taken.of(LegDigit)) == "4711#"
    assert {event.source for event in taken.of(LegDigit)} == {DigitSource.INBAND}


async def test_tones_beside_events_are_no_keys_of_their_own(bench: Bench):
    phone, taken = await bench.answered()
    taken.leg.use_keys(KeyTerms(events_work=True))
    await play(phone, dtmf("47", on_ms=80, off_ms=80))
    await phone.press("4")
    await taken.seen(LegDigit)
    await phone.talk(0.1)
    assert [(event.digit, event.source) for event in taken.of(LegDigit)] == [("4", DigitSource.RTP)]


async def play(phone: Phone, pcm: bytes) -> None:
    due = time.monotonic()
    for at in range(0, len(pcm), 320):
        phone.send_rtp(encode_ulaw(pcm[at : at + 320].ljust(320, bytes(1))))
        due += 0.02
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    await phone.talk(0.2)


async def test_sending_digits(bench: Bench):
    phone, taken = await bench.answered()
    started = time.monotonic()
    await taken.leg.send_digits("1w#", duration_ms=100, gap_ms=60)
    assert 0.8 < time.monotonic() - started < 1.2
    events = [packet for packet in phone.packets if packet.payload_type == 101]
    presses = sorted({(packet.timestamp, packet.payload[0]) for packet in events})
    assert [number for _, number in presses] == [1, 11]
    assert 0.6 * 8000 < presses[1][0] - presses[0][0] < 0.8 * 8000
    for timestamp, _ in presses:
        packets = [packet for packet in events if packet.timestamp == timestamp]
        assert packets[0].marker
        assert [packet.marker for packet in packets[1:]].count(True) == 0
        assert struct.unpack("!H", packets[-1].payload[2:])[0] == 800
        assert sum(packet.payload[1] >> 7 for packet in packets) == 3  # the end, three times


async def test_digits_in_band_for_a_peer_without_events_replace_the_agents_audio(bench: Bench):
    phone = await bench.phone()
    phone.send("INVITE", phone.sdp("PCMU", events=False))
    taken = await bench.leg()
    await taken.leg.answer(taken.audio)
    await phone.established()
    await phone.talk(0.1)
    await taken.leg.send_digits("17w#", duration_ms=100, gap_ms=60)
    await phone.talk(0.2)
    pcm = b"".join(decode_ulaw(packet.payload) for packet in phone.packets if packet.payload_type == 0)
    assert "".join(hit.digit for hit in DtmfDetector().push(pcm)) == "17#"
    await taken.leg.send_digits("5", way=DigitSource.INBAND)


async def test_tones_of_a_carrier_that_agreed_to_events_are_keys_until_an_event_comes(bench: Bench):
    phone, taken = await bench.answered()
    await play(phone, dtmf("47", on_ms=80, off_ms=80))
    await taken.seen(LegDigit, 2)
    assert {event.source for event in taken.of(LegDigit)} == {DigitSource.INBAND}
    await phone.press("5")
    await taken.seen(LegDigit, 3)
    await play(phone, dtmf("99", on_ms=80, off_ms=80))
    await phone.talk(0.1)
    assert [(event.digit, event.source) for event in taken.of(LegDigit)][2:] == [("5", DigitSource.RTP)]
    statistics = await taken.leg.statistics()
    assert statistics is not None
    assert statistics.keys == KeyFigures(rfc4733=1, inband=2, first="inband", agreed=True)


async def test_digits_that_cannot_be_sent(bench: Bench):
    phone = await bench.phone()
    phone.send("INVITE", phone.sdp("PCMU", events=False))
    taken = await bench.leg()
    await taken.leg.answer(taken.audio)
    await phone.established()
    with pytest.raises(TelephonyMisuse):
        await taken.leg.send_digits("12x")
    with pytest.raises(DigitsNotSent):  # the peer takes no telephone-event
        await taken.leg.send_digits("12", way=DigitSource.RTP)
    with pytest.raises(DigitsNotSent):  # nobody is there to send it
        await taken.leg.send_digits("12", way=DigitSource.INFO)
    await phone.hang_up()
    await taken.ended()
    with pytest.raises(LegEndedError):
        await taken.leg.send_digits("12")


class Broken:
    """A room that fails in every way it can."""

    def __init__(self) -> None:
        self.pulls = 0

    def push(self, pcm: bytes, at: float) -> None:
        raise ValueError("push fails")

    def pull(self, at: float) -> bytes:
        self.pulls += 1
        if self.pulls % 2:
            return b"short"
        raise KeyError("pull fails")


async def test_a_broken_room_costs_silence_and_nothing_else(bench: Bench, caplog):
    phone = await bench.phone()
    call = asyncio.create_task(phone.call())
    taken = await bench.leg()
    broken = Broken()
    await taken.leg.answer(broken)
    await call
    await phone.talk(0.3)
    assert {packet.payload for packet in phone.packets} == {MULAW_SILENCE}
    assert broken.pulls >= 10
    await phone.hang_up()
    await taken.ended()
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1


async def test_srtp_is_taken_when_offered(bench: Bench):
    phone = await bench.phone()
    key = base64.b64encode(bytes(range(30))).decode()
    crypto = f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}\r\n"
    phone.send("INVITE", phone.sdp("PCMU").replace("RTP/AVP", "RTP/SAVP") + crypto)
    taken = await bench.leg()
    await taken.leg.answer(taken.audio)
    final = await phone.established()
    assert "RTP/SAVP" in final.body
    assert "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" in final.body
    await asyncio.sleep(0.2)
    assert {len(packet.payload) for packet in phone.packets} == {170}  # 160 and the authentication tag
    await phone.hang_up()


async def test_an_idle_endpoint_has_no_media_clock(bench: Bench):
    phone, taken = await bench.answered()
    bridge = bench.endpoint._engine._bridge
    assert bridge is not None
    assert bridge.ticking
    await phone.hang_up()
    await taken.ended()
    async with asyncio.timeout(2):
        while bridge.ticking:
            await asyncio.sleep(0.05)
    again, second = await bench.answered()
    await again.talk(0.2, LOUD["PCMU"])
    assert max(peak(pcm) for _, pcm in second.audio.pushed) > 1000
    assert isinstance(second, Taken)


@pytest.mark.parametrize("packet_ms", [10, 30, 60])
async def test_packets_are_as_long_as_the_peer_asks(bench: Bench, packet_ms: int):
    phone = await bench.phone()
    phone.send("INVITE", phone.sdp("PCMU").replace("a=ptime:20", f"a=ptime:{packet_ms}"))
    taken = await bench.leg()
    await taken.leg.answer(taken.audio)
    assert (await phone.established()).status == 200
    await asyncio.sleep(0.6)
    assert {len(packet.payload) for packet in phone.packets} == {8 * packet_ms}
    assert abs(len(phone.packets) * packet_ms - 600) <= 120


async def test_a_peer_that_takes_several_codecs_of_our_offer_is_asked_for_one(bench: Bench):
    phone = await bench.phone()
    phone.send("INVITE")
    taken = await bench.leg()
    await taken.leg.answer(taken.audio)
    offer = await phone.established(phone.sdp("PCMA", "PCMU"))
    assert "m=audio" in offer.body
    narrower = await phone.request("INVITE")
    media = next(line for line in narrower.body.split("\r\n") if line.startswith("m=audio"))
    assert media.split()[3:4] == ["8"] and "0" not in media.split()[4:]
    phone.accept(narrower, phone.sdp("PCMA"))
    await phone.request("ACK")
    await phone.talk(0.3, b"\xd5" * 160, 8)
    found = await taken.leg.statistics()
    assert found is not None
    assert (found.codec, found.packets_received, found.packets_unknown_payload) == ("PCMA", 15, 0)
