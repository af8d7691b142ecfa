"""One press is one digit, however its packets look; two presses are two."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.media.rtp import is_rtcp, read_rtp
from telephony.media.telephone_events import KEYS, PressLimit, TelephoneEvents

START = 0xFFFFFF00  # wraps within the first press


class Sender:
    """Packets of a phone: (bytes, seconds)."""

    def __init__(self, rate: int = 8000, payload_type: int = 101) -> None:
        self.rate, self.payload_type = rate, payload_type
        self.sequence, self.clock, self.at = 65533, START, 10.0

    def packet(self, code: int, duration: int, *, timestamp: int, ended=False, marker=False, source=7, more=b""):
        head = struct.pack(
            "!BBHII", 0x80, marker << 7 | self.payload_type, self.sequence & 0xFFFF, timestamp & 0xFFFFFFFF, source
        )
        made = (head + struct.pack("!BBH", code, ended << 7 | 10, duration) + more, self.at)
        self.sequence += 1
        self.at += 0.02
        return made

    def press(self, key: str, ms: int = 100, *, gap_ms: int = 60, timestamp: int | None = None, step_ms: int = 20):
        """All packets of a press as RFC 4733 has them: marker first, three ends."""
        step = self.rate * step_ms // 1000
        count = ms // step_ms
        timestamp = self.clock if timestamp is None else timestamp
        code = KEYS.index(key)
        packets = [
            self.packet(code, min(step * (i + 1), 0xFFFF), timestamp=timestamp, marker=i == 0) for i in range(count)
        ]
        packets += [self.packet(code, min(step * count, 0xFFFF), timestamp=timestamp, ended=True) for _ in range(3)]
        self.clock += step * count + self.rate * gap_ms // 1000
        self.at += gap_ms / 1000
        return packets


def digits(packets: Sequence[tuple[bytes, float]]) -> str:
    events = TelephoneEvents()
    found = ""
    for data, at in packets:
        packet = read_rtp(data)
        assert packet is not None
        found += events.packet(packet, at)
    return found


def without(packets, *places):
    return [packet for place, packet in enumerate(packets) if place not in places]


def test_a_press_is_one_digit_and_the_same_key_twice_is_two():
    phone = Sender()
    assert digits(phone.press("5") + phone.press("5") + phone.press("#") + phone.press("D")) == "55#D"


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
@pytest.mark.parametrize("payload_type", [96, 101, 127])
def test_any_clock_and_payload_type(rate: int, payload_type: int):
    phone = Sender(rate, payload_type)
    assert digits(phone.press("1") + phone.press("1", gap_ms=40) + phone.press("1")) == "111"


@pytest.mark.parametrize(
    ("name", "lost"),
    [
        ("the marker", (0,)),
        ("the first four", (0, 1, 2, 3)),
        ("the ends", (5, 6, 7)),
        ("all but the ends", (0, 1, 2, 3, 4)),
        ("all but the last", (0, 1, 2, 3, 4, 5, 6)),
        ("all but one in the middle", (0, 1, 3, 4, 5, 6, 7)),
    ],
)
def test_what_is_lost_of_one_or_both_presses(name: str, lost: tuple[int, ...]):
    phone = Sender()
    first, second, other = phone.press("4"), phone.press("4"), phone.press("8")
    assert digits(without(first, *lost) + second + other) == "448", name
    assert digits(first + without(second, *lost) + other) == "448", name
    assert digits(without(first, *lost) + without(second, *lost) + without(other, *lost)) == "448", name


def test_every_packet_twice():
    phone = Sender()
    packets = phone.press("7") + phone.press("7") + phone.press("9")
    assert digits([packet for packet in packets for _ in range(2)]) == "779"
    assert digits(packets + packets) == "779"  # a second copy of everything, late


def test_packets_that_overtake_each_other():
    phone = Sender()
    first, second = phone.press("2"), phone.press("2")
    packets = first + second
    assert digits([*packets[:6], packets[8], packets[6], packets[9], packets[7], *packets[10:]]) == "22"
    assert digits(list(reversed(first)) + list(reversed(second))) == "22"
    assert digits([second[0], *first, *second[1:]]) == "22"  # all of a press after the next one's first packet


def test_copies_of_early_packets_after_the_end_with_numbers_of_their_own():
    phone = Sender()
    press = phone.press("6")
    code = KEYS.index("6")
    late = [phone.packet(code, duration, timestamp=START)[0] for duration in (160, 480, 320)]
    at = press[-1][1]
    assert digits([*press, *((data, at + 0.005 * place) for place, data in enumerate(late, 1))]) == "6"
    updates = [phone.packet(code, duration, timestamp=9000) for duration in (160, 480, 320, 640)]
    assert digits(updates) == "6"


def test_a_timestamp_that_stands_still():
    phone = Sender()
    packets = [p for key in "1121" for p in phone.press(key, timestamp=4000)]
    assert digits(packets) == "1121"
    assert digits([packet for place, packet in enumerate(packets) if place % 8]) == "1121"  # no marker
    assert digits([packet for place, packet in enumerate(packets) if place % 8 < 5]) == "1121"  # no end
    phone = Sender()
    shorter = phone.press("1", 120, timestamp=4000) + without(phone.press("1", 80, timestamp=4000), 0, 1, 2, 3)
    assert digits(shorter) == "11"  # of the second one only the ends are left
    phone = Sender()
    later = phone.press("1", timestamp=4000, gap_ms=700) + without(phone.press("1", timestamp=4000), 0, 1, 2, 3, 4)
    assert digits(later) == "11"


def test_a_timestamp_that_moves_while_the_key_is_down():
    phone = Sender()

    def moving(key: str):
        code = KEYS.index(key)
        packets = [phone.packet(code, 160 * (i + 1), timestamp=phone.clock + 160 * i, marker=i == 0) for i in range(6)]
        packets += [phone.packet(code, 960, timestamp=phone.clock + 160 * (5 + i), ended=True) for i in range(3)]
        phone.clock += 160 * 20
        phone.at += 0.2
        return packets

    assert digits(moving("3") + moving("3") + moving("6")) == "336"


def test_a_marker_on_every_packet():
    phone = Sender()
    packets = [(bytes([d[0], d[1] | 0x80]) + d[2:], at) for d, at in phone.press("3") + phone.press("3")]
    assert digits(packets) == "33"


def test_a_key_held_for_ten_seconds_in_segments():
    phone = Sender()
    packets, timestamp = [], 1000
    for segment in range(2):
        packets += [
            phone.packet(1, min(0xFFFF, 400 * (i + 1)), timestamp=timestamp, marker=not (segment or i))
            for i in range(164)
        ]
        timestamp += 0xFFFF
    packets += [phone.packet(1, 4000, timestamp=timestamp, ended=True) for _ in range(3)]
    assert digits(packets) == "1"
    assert digits(packets[:150] + packets[170:]) == "1"


@pytest.mark.parametrize("full", ["it starts from zero", "it stays full"])
def test_a_key_held_longer_than_the_duration_field(full: str):
    phone = Sender()
    durations = [160 * (i + 1) for i in range(600)]
    shown = [d & 0xFFFF if full == "it starts from zero" else min(d, 0xFFFF) for d in durations]
    packets = [phone.packet(1, d, timestamp=1000, marker=i == 0) for i, d in enumerate(shown)]
    packets += [phone.packet(1, shown[-1], timestamp=1000, ended=True) for _ in range(3)]
    assert digits(packets) == "1"


def test_several_events_in_a_packet():
    phone = Sender()
    more = struct.pack("!BBH", 2, 0x80 | 10, 800) + struct.pack("!BBH", 2, 10, 160)
    assert digits([phone.packet(1, 800, timestamp=0, ended=True, more=more)] * 2) == "122"


def test_a_new_source_starts_anew():
    phone = Sender()
    assert digits([phone.packet(1, 160, timestamp=5), phone.packet(1, 320, timestamp=5, source=8)]) == "11"


def test_events_that_are_no_keys_and_broken_packets():
    phone = Sender()
    assert digits([phone.packet(16, 160, timestamp=0), phone.packet(36, 160, timestamp=0)]) == ""
    assert digits([(phone.packet(1, 0, timestamp=0)[0][:14], 0.0)]) == ""  # half an event


@given(st.binary(max_size=80))
def test_any_bytes(data: bytes):
    packet = read_rtp(data)
    if packet is not None:
        assert set(TelephoneEvents().packet(packet, 0.0)) <= set(KEYS)
    assert is_rtcp(data) in (True, False)


@given(st.randoms(use_true_random=False), st.text(KEYS, min_size=1, max_size=8))
def test_any_line_that_loses_repeats_and_reorders(random, keys: str):
    """All digits arrive if at least one packet of each press is left and none is overtaken by another press."""
    phone = Sender()
    packets = []
    for key in keys:
        press = phone.press(key, random.choice((40, 60, 100, 260)), gap_ms=random.choice((40, 80, 500)))
        left = random.sample(press, random.randint(1, len(press)))
        packets += left + random.sample(left, random.randint(0, len(left)))
    assert digits(packets) == keys


def test_as_many_presses_as_a_hand_can_do():
    limit = PressLimit(per_second=15, burst=20)
    taken = sum(limit.allows(at / 1000) for at in range(8000))
    assert 130 <= taken <= 140
    assert limit.dropped == 8000 - taken
    assert all(limit.allows(20 + at / 12) for at in range(200))  # a dialler with 40 ms on, 43 ms off


def test_what_is_rtcp():
    report = struct.pack("!BBHIIIIII", 0x80, 200, 6, 1, 2, 3, 4, 5, 6)
    assert is_rtcp(report)
    assert not is_rtcp(report[:20])
    assert not is_rtcp(struct.pack("!BBHII", 0x80, 0, 1, 2, 3) + b"\xff" * 160)
