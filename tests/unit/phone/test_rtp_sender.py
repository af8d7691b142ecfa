"""What a phone sends every 20 ms, and how it reads what it receives."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.phone.rtp import Clip, Digit, ReceivedPackets, RtpPacket, RtpSender, parse_rtp


def sender(*, dtx: bool = False, sequence: int = 65534, timestamp: int = 0xFFFFFF60) -> RtpSender:
    return RtpSender(0, b"\xff" * 160, 7, sequence, timestamp, dtx)


def drawn(source: RtpSender, count: int) -> list[tuple[int, int, bool, int, bytes] | None]:
    packets = []
    for _ in range(count):
        packet, told = source.next_packet()
        if told is not None:
            told()
        packets.append(parse_rtp(packet) if packet is not None else None)
    return packets


def test_silence_with_numbers_that_wrap() -> None:
    assert drawn(sender(), 3) == [
        (65534, 0xFFFFFF60, True, 0, b"\xff" * 160),
        (65535, 0, False, 0, b"\xff" * 160),
        (0, 160, False, 0, b"\xff" * 160),
    ]


def test_clips_one_after_the_other_and_their_first_and_last_packet() -> None:
    source = sender()
    sent: list[tuple[str, bool, bool]] = []
    source.clips.append(Clip([b"a", b"b", b"c"], lambda first, last: sent.append(("one", first, last))))
    source.clips.append(Clip([b"d"], lambda first, last: sent.append(("two", first, last))))
    payloads = [packet[4] for packet in drawn(source, 5) if packet]
    assert payloads == [b"a", b"b", b"c", b"d", b"\xff" * 160]
    assert sent == [("one", True, False), ("one", False, False), ("one", False, True), ("two", True, True)]


def test_dtx_sends_nothing_between_clips_but_time_goes_on() -> None:
    source = sender(dtx=True, sequence=1, timestamp=0)
    assert drawn(source, 2) == [None, None]
    source.clips.append(Clip([b"a", b"b"], lambda first, last: None))
    assert drawn(source, 3) == [(1, 320, True, 0, b"a"), (2, 480, False, 0, b"b"), None]


def test_a_key_press_by_rfc_4733() -> None:
    source = sender(sequence=10, timestamp=1000)
    done: list[str] = []
    pause = Digit.pause(40)
    pause.on_sent = lambda: done.append("done")
    source.digits.extend([Digit.press("#", 60), pause])
    source.clips.append(Clip([b"a"], lambda first, last: done.append("clip")))
    packets = drawn(source, 8)
    events = [packet for packet in packets if packet and packet[3] == 101]
    assert [packet[0] for packet in packets if packet] == list(range(10, 18))
    assert [(packet[1], packet[2]) for packet in events] == [(1000, True)] + [(1000, False)] * 4
    assert [struct.unpack("!BBH", packet[4]) for packet in events] == [
        (11, 10, 160),
        (11, 10, 320),
        (11, 0x8A, 480),
        (11, 0x8A, 480),
        (11, 0x8A, 480),
    ]
    assert packets[5] is not None and packets[5][1] == 1000 + 5 * 160 and packets[5][4] == b"a"  # held up, not cut
    assert done == ["clip", "done"]


def test_a_pause_without_audio_still_tells() -> None:
    source = sender(dtx=True)
    done: list[bool] = []
    pause = Digit.pause(20)
    pause.on_sent = lambda: done.append(True)
    source.digits.append(pause)
    assert drawn(source, 1) == [None]
    assert done == [True]


def test_other_characters_are_no_keys() -> None:
    assert Digit.press("d", 20).event == 15
    with pytest.raises(ValueError, match="substring"):
        Digit.press("x", 20)


def test_extension_csrc_and_padding_are_taken_off() -> None:
    head = struct.pack("!BBHII", 0x80 | 0x20 | 0x10 | 2, 0x80, 5, 6, 7)
    data = head + bytes(8) + b"\xbe\xde\x00\x01" + bytes(4) + b"audio" + b"\0\0\3"
    assert parse_rtp(data) == (5, 6, True, 0, b"audio")


@given(st.binary(max_size=64))
def test_no_bytes_break_the_parser(data: bytes) -> None:
    parsed = parse_rtp(data)
    assert parsed is None or len(parsed[4]) <= len(data) - 12


def test_received_packets_are_a_sequence() -> None:
    received = ReceivedPackets()
    packets = [RtpPacket(1.5 + n, n, 160 * n, n == 0, 0, bytes([n])) for n in range(3)]
    for packet in packets:
        received.append(packet)
    assert len(received) == 3 and list(received) == packets and received[-1] == packets[2]
    with pytest.raises(IndexError):
        received[3]


def test_a_pause_that_ends_while_a_clip_plays_tells_both() -> None:
    source = sender()
    told: list[str] = []
    pause = Digit.pause(20)
    pause.on_sent = lambda: told.append("digits")
    source.digits.append(pause)
    source.clips.append(Clip([b"a", b"b", b"c"], lambda first, last: told.append("clip")))
    drawn(source, 3)
    assert sorted(told) == ["clip", "clip", "clip", "digits"]
