"""Who may speak to a leg, and to whom it speaks, through PJSIP and the kernel."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Iterator
from ipaddress import ip_network

import pytest
from pjsua_bench import Bench
from pjsua_phone import MULAW_SILENCE, Phone

from telephony.call import FirstMedia, LegAcknowledged, LegDigit, MediaStatistics

LOUD = bytes([0x00, 0x80] * 80)


class Stranger:
    """Sends RTP from an address of its own; `got` is what came to it."""

    def __init__(self, target: tuple[str, int], address: str = "127.0.0.9") -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((address, 0))
        self.sock.setblocking(False)
        self.target = target
        self.sent = 0

    def send(self, payload: bytes = LOUD, payload_type: int = 0, count: int = 1) -> None:
        for _ in range(count):
            head = struct.pack("!BBHII", 0x80, payload_type, self.sent & 0xFFFF, self.sent * 160, 666)
            self.sock.sendto(head + payload, self.target)
            self.sent += 1

    async def flood(self, seconds: float) -> None:
        """700 packets a second."""
        due = time.monotonic()
        for _ in range(round(seconds * 50)):
            self.send(count=14)
            due += 0.02
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    @property
    def got(self) -> int:
        count = 0
        try:
            while self.sock.recv(2048):
                count += 1
        except BlockingIOError:
            return count
        return count


@pytest.fixture
def sockets() -> Iterator[list[Stranger]]:
    made: list[Stranger] = []
    yield made
    for each in made:
        each.sock.close()


def at_leg(phone: Phone, sockets: list[Stranger], address: str = "127.0.0.9", port: int = 0) -> Stranger:
    assert phone.media_at is not None
    sockets.append(Stranger((phone.media_at[0], phone.media_at[1] + port), address))
    return sockets[-1]


async def figures(taken) -> MediaStatistics:
    found = await taken.leg.statistics()
    assert found is not None
    return found


async def test_a_flood_of_a_stranger_is_heard_by_nobody(bench: Bench, sockets: list[Stranger]):
    phone, taken = await bench.answered()
    stranger = at_leg(phone, sockets)
    await phone.talk(0.2)
    before, pushed = len(phone.packets), len(taken.audio.pushed)
    await asyncio.gather(phone.talk(1.0), stranger.flood(1.0))
    assert len(phone.packets) - before >= 45
    assert stranger.got == 0
    assert all(pcm == bytes(len(pcm)) or max(pcm) < 0x60 for _, pcm in taken.audio.pushed[pushed:])
    await phone.hang_up()
    found = (await taken.ended()).statistics
    assert (found.packets_received, found.packets_from_strangers) == (60, stranger.sent)
    assert (found.packets_lost, found.packets_discarded) == (0, 0)


async def test_a_stranger_gets_nothing_while_the_peer_is_silent(bench: Bench, sockets: list[Stranger]):
    phone, taken = await bench.answered()
    stranger = at_leg(phone, sockets)
    for _ in range(20):
        stranger.send()
        stranger.send(struct.pack("!BBH", 5, 10, 160), 101)
        await asyncio.sleep(0.02)
    assert stranger.got == 0
    assert len(phone.packets) > 15
    assert not taken.of(FirstMedia)
    assert not taken.of(LegDigit)
    assert (await figures(taken)).packets_received == 0


async def test_a_peer_behind_nat_is_answered_where_its_packets_come_from(bench: Bench, sockets: list[Stranger]):
    phone = await bench.phone()
    call = asyncio.create_task(phone.call())
    taken = await bench.leg()
    taken.leg.trust_media([ip_network("127.0.0.8/31")])
    await taken.leg.answer(taken.audio)
    await call
    outsider = at_leg(phone, sockets, "127.0.0.66")
    outsider.send()
    peer = at_leg(phone, sockets, "127.0.0.8")
    for _ in range(30):
        peer.send(MULAW_SILENCE)
        outsider.send()
        await asyncio.sleep(0.02)
    late = at_leg(phone, sockets, "127.0.0.9")  # of the same network, but second
    for _ in range(20):
        late.send()
        peer.send(MULAW_SILENCE)
        await asyncio.sleep(0.02)
    assert peer.got >= 30
    assert (outsider.got, late.got) == (0, 0)
    found = await figures(taken)
    assert found.packets_received >= 48  # its first packets told who it is
    assert found.packets_from_strangers in range(outsider.sent + late.sent, outsider.sent + late.sent + 3)


async def test_rtcp_and_comfort_noise_are_signs_of_life_and_other_payload_types_are_counted(
    bench: Bench, sockets: list[Stranger]
):
    phone, taken = await bench.answered()
    await phone.talk(0.3)
    report = struct.pack("!BBHIIIIII", 0x80, 200, 6, 4711, 1, 2, 3, 50, 8000)
    peer = at_leg(phone, sockets, "127.0.0.1", port=1)
    stranger = at_leg(phone, sockets, "127.0.0.9", port=1)
    for _ in range(3):
        stranger.sock.sendto(report, stranger.target)
        peer.sock.sendto(report, peer.target)
        phone.send_rtp(b"\x40", 13)
        phone.send_rtp(b"\xd5" * 160, 8)
        await asyncio.sleep(0.03)
    found = await figures(taken)
    assert (found.packets_rtcp, found.packets_comfort_noise, found.packets_unknown_payload) == (3, 3, 3)
    assert (found.packets_received, found.packets_lost, found.packets_from_strangers) == (21, 0, 3)


async def test_key_presses_leave_no_gap_in_the_figures(bench: Bench):
    phone, taken = await bench.answered()
    await phone.talk(0.3)
    await phone.press("1")
    await phone.talk(0.3)
    await taken.seen(LegDigit)
    found = await figures(taken)
    assert (found.packets_received, found.packets_lost) == (38, 0)


async def test_more_presses_than_a_hand_can_do_are_dropped(bench: Bench):
    phone, taken = await bench.answered()
    await phone.talk(0.1)
    for _ in range(200):
        await phone.press("7", packets=1)
    found = await figures(taken)
    assert 20 <= len(taken.of(LegDigit)) <= 120
    assert found.presses_dropped == 200 - len(taken.of(LegDigit))


async def test_who_does_not_acknowledge_gets_a_moment_of_audio(bench: Bench):
    phone = await bench.phone()
    phone.send("INVITE", phone.sdp("PCMU"))
    taken = await bench.leg()
    await taken.leg.answer(taken.audio)
    phone.learn(await phone.response())
    await asyncio.sleep(1.2)
    assert 10 <= len(phone.packets) <= 30
    assert not taken.of(LegAcknowledged)
    phone.send("ACK")
    await taken.seen(LegAcknowledged)
    came = len(phone.packets)
    await asyncio.sleep(0.3)
    assert len(phone.packets) - came >= 10


async def test_a_packet_from_there_is_as_good_as_an_ack(bench: Bench):
    phone = await bench.phone()
    phone.send("INVITE", phone.sdp("PCMU"))
    taken = await bench.leg()
    await taken.leg.answer(taken.audio)
    phone.learn(await phone.response())
    await phone.talk(1.0)
    await taken.seen(LegAcknowledged)
    assert len(phone.packets) >= 45
    phone.send("ACK")
