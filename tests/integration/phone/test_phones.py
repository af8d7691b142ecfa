"""Two phones, and phones against peers that lose, repeat and challenge."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest

from telephony.errors import TelephonyMisuse
from telephony.media.tones import tone
from telephony.phone import CallFailed, Phone, PhoneCall, analysis
from telephony.phone.dialog import Received, respond
from telephony.phone.sdp import describe
from telephony.phone.transport import TransportName, open_transport
from telephony.sip.new_request import NewRequest
from telephony.sip.parse import Request, Response, parse


async def connected(caller: Phone, callee: Phone) -> tuple[PhoneCall, PhoneCall]:
    call = await caller.dial(callee.uri, caller="+15551234567", headers={"X-Campaign": "7"})
    incoming = await callee.incoming()
    await incoming.ring()
    await incoming.answer()
    await call.answered()
    return call, incoming


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("codec", ["PCMU", "PCMA"])
async def test_both_hear_each_other_and_keys(transport: str, codec: str) -> None:
    tcp = transport == "tcp"
    async with (
        Phone(transport="tcp" if tcp else "udp", codec="PCMA" if codec == "PCMA" else "PCMU") as a,
        Phone(transport="tcp" if tcp else "udp", codec=("PCMU", "PCMA")) as b,
    ):
        call, incoming = await connected(a, b)
        assert incoming.asked is not None and incoming.asked.value("X-Campaign") == "7"
        assert "+15551234567" in incoming.asked.value("From")
        assert call.audio.codec.name == incoming.audio.codec.name == codec
        clips = call.play(tone(440, 200)), incoming.play(tone(600, 200))
        assert all([await clip.done for clip in clips])
        await call.send_digits("1w#", duration_ms=100, gap_ms=60)
        ended = await incoming.hang_up()
        assert (ended.by, ended.status) == ("us", 200)
        assert (await call.wait_bye()).by == "peer"
    for side in (call, incoming):
        onset = analysis.onset_after(side.received, 0)
        assert onset is not None
        spans = analysis.loud_spans(side.received)
        assert spans[0][1] - spans[0][0] == pytest.approx(0.2, abs=0.08)
        assert analysis.packet_counts(side.received).lost == 0
    keys = analysis.digits_heard(incoming.received)
    assert [(key.digit, key.duration_ms) for key in keys] == [("1", 100), ("#", 100)]
    assert keys[1].at - keys[0].at == pytest.approx(0.1 + 0.04 + 0.06 + 0.5, abs=0.08)


async def test_hold_and_resume() -> None:
    async with Phone() as a, Phone() as b:
        call, incoming = await connected(a, b)
        await call.hold("inactive")
        assert incoming.direction == "inactive"
        await asyncio.sleep(0.05)
        before = len(call.received), len(incoming.received)
        await asyncio.sleep(0.1)
        assert (len(call.received), len(incoming.received)) == before
        await call.resume()
        await asyncio.sleep(0.1)
        assert len(call.received) > before[0] and len(incoming.received) > before[1]
        assert [request.method for request in incoming.requests] == ["ACK", "INVITE", "ACK", "INVITE", "ACK"]
        await call.hang_up()


async def test_with_dtx_only_clips_are_sent() -> None:
    async with Phone(dtx=True) as a, Phone(dtx=True) as b:
        call, incoming = await connected(a, b)
        await asyncio.sleep(0.1)
        assert len(incoming.received) == 0
        await call.play(tone(440, 100)).done
        await asyncio.sleep(0.05)
        await call.hang_up()
        await incoming.wait_bye()
        assert [packet.marker for packet in incoming.received] == [True] + [False] * 4


async def test_a_clip_can_be_stopped_and_ends_with_the_call() -> None:
    async with Phone() as a, Phone() as b:
        call, _ = await connected(a, b)
        first, second = call.play(tone(440, 5000)), call.play(tone(440, 5000))
        await asyncio.sleep(0.05)
        first.stop()
        assert await first.done is False
        await call.hang_up()
        assert await second.done is False
        with pytest.raises(TelephonyMisuse, match="ended"):
            call.play(tone(440, 20))


async def test_cancel_reject_and_timeout() -> None:
    async with Phone() as a, Phone() as b:
        call = await a.dial(b.uri)
        incoming = await b.incoming()
        await incoming.ring()
        assert (await call.cancel()).status == 487
        ended = await incoming.wait_bye()
        assert (ended.by, ended.status) == ("peer", 487)
        with pytest.raises(TelephonyMisuse):
            call.play(b"")
        call = await a.dial(b.uri)
        await (await b.incoming()).reject(486, "Busy Here")
        with pytest.raises(CallFailed, match="486 Busy Here"):
            await call.answered()
        with pytest.raises(CallFailed, match=r"not answered in 0\.1 s"):
            await a.call(b.uri, timeout=0.1)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_nobody_listens(transport: TransportName) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with Phone(transport=transport) as phone:
        async with asyncio.timeout(10):  # not the 32 s of a lost message
            with pytest.raises(CallFailed) as failed:
                await phone.call(f"sip:x@127.0.0.1:{port}")
    assert failed.value.status == 503
    assert str(port) in str(failed.value)


@pytest.mark.parametrize("host", ["nosuch.invalid", "[::1]"])
async def test_a_host_without_an_address_for_this_phone_is_said_at_once(host: str) -> None:
    async with Phone() as phone:
        async with asyncio.timeout(10):
            with pytest.raises(CallFailed) as failed:
                await phone.call(f"sip:x@{host}:5060")
    assert failed.value.status == 503
    assert host.strip("[]") in str(failed.value)


async def test_a_peer_that_is_not_there_yet_is_found_half_a_second_later_and_others_are_not_disturbed() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with Phone() as a, Phone() as b:
        call, incoming = await connected(a, b)
        late = await a.dial(f"sip:x@127.0.0.1:{port}")
        async with Phone(port=port) as c:
            there = await c.incoming()
            await there.answer()
            await late.answered()
            assert (await call.hang_up()).status == 200
            assert (await late.hang_up()).status == 200
        await incoming.wait_bye()


@dataclass
class Listener:
    """Takes TCP connections and keeps what comes over each."""

    port: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    heads: asyncio.Queue[tuple[int, bytes]] = field(default_factory=asyncio.Queue)  # connection, message

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        async with await asyncio.start_server(self._accepted, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            yield
            for writer in self.writers:
                writer.close()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(self.writers)
        self.writers.append(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                self.heads.put_nowait((number, await reader.readuntil(b"\r\n\r\n")))


async def test_calls_that_begin_together_share_one_tcp_connection() -> None:
    """Two were made and one of them kept: when the other was closed as idle, the phone lost the one that it used."""
    listener = Listener()
    async with listener.open():
        transport = await open_transport("tcp", "127.0.0.1", 0, lambda message, source: None)
        peer = ("127.0.0.1", listener.port)
        await asyncio.gather(*(transport.connect(peer) for _ in range(3)))
        transport.send(b"BYE\r\n\r\n", peer)
        assert await listener.heads.get() == (0, b"BYE\r\n\r\n")
        assert len(listener.writers) == 1
        await transport.close()


async def test_over_tcp_a_connection_that_was_lost_is_made_again() -> None:
    listener = Listener()
    async with listener.open():
        transport = await open_transport("tcp", "127.0.0.1", 0, lambda message, source: None)
        peer = ("127.0.0.1", listener.port)
        await transport.connect(peer)
        transport.send(b"INVITE\r\n\r\n", peer)
        assert await listener.heads.get() == (0, b"INVITE\r\n\r\n")
        listener.writers[0].transport.abort()
        number = 0
        async with asyncio.timeout(5):
            while number == 0:  # what is sent before the phone notices is lost with the connection
                transport.send(b"BYE\r\n\r\n", peer)
                await asyncio.sleep(0)
                number = (await listener.heads.get())[0] if not listener.heads.empty() else 0
        assert number == 1
        await transport.close()


class Peer(asyncio.DatagramProtocol):
    """A SIP peer by hand."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[tuple[Request | Response, tuple[str, int]]] = asyncio.Queue()
        self.transport: asyncio.DatagramTransport | None = None

    async def open(self) -> str:
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        return f"sip:bot@127.0.0.1:{self.transport.get_extra_info('sockname')[1]}"

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.messages.put_nowait((parse(data), addr))

    async def request(self, method: str) -> tuple[Request, tuple[str, int]]:
        async with asyncio.timeout(3):
            while True:
                message, addr = await self.messages.get()
                if isinstance(message, Request) and message.method == method:
                    return message, addr

    def answer(self, request: Request, addr: tuple[str, int], status: int, reason: str, **headers: str) -> None:
        assert self.transport is not None
        port = self.transport.get_extra_info("sockname")[1]
        body = describe("127.0.0.1", 40000, ["PCMU"]) if (request.method, status) == ("INVITE", 200) else b""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        contact = f"<sip:bot@127.0.0.1:{port}>"
        asked = Received(request, addr)
        answer = respond(asked, status, reason, to_tag="peer", contact=contact, body=body, headers=more)
        self.transport.sendto(answer, addr)

    def close(self) -> None:
        assert self.transport is not None
        self.transport.close()


async def test_a_lost_invite_a_lost_ack_and_a_lost_bye_are_repeated() -> None:
    peer = Peer()
    uri = await peer.open()
    async with Phone() as phone:
        call = await phone.dial(uri)
        first, _ = await peer.request("INVITE")
        again, addr = await peer.request("INVITE")
        assert first.lines == again.lines and first.body == again.body
        peer.answer(again, addr, 200, "OK")
        ack, _ = await peer.request("ACK")
        peer.answer(again, addr, 200, "OK")  # as if the ACK had been lost
        assert (await peer.request("ACK"))[0].lines == ack.lines
        await call.answered()
        ending = asyncio.create_task(call.hang_up())
        bye, _ = await peer.request("BYE")
        same, addr = await peer.request("BYE")
        assert bye.lines == same.lines
        peer.answer(same, addr, 200, "OK")
        assert (await ending).status == 200
    peer.close()


async def test_requests_follow_the_route_set() -> None:
    peer, proxy = Peer(), Peer()
    uri, proxy_uri = await peer.open(), await proxy.open()
    route = f"<{proxy_uri};lr>"
    async with Phone() as phone:
        call = await phone.dial(uri)
        invite, addr = await peer.request("INVITE")
        peer.answer(invite, addr, 200, "OK", Record_Route=route)
        ack, _ = await proxy.request("ACK")
        assert ack.value("Route") == route and ack.uri_text == uri
        ending = asyncio.create_task(call.hang_up())
        bye, addr = await proxy.request("BYE")
        proxy.answer(bye, addr, 200, "OK")
        await ending
    peer.close()
    proxy.close()


async def test_a_challenge_is_answered_once() -> None:
    peer = Peer()
    uri = await peer.open()
    async with Phone(credentials=("alice", "secret")) as phone:
        call = await phone.dial(uri, headers={"X-Campaign": "7"})
        invite, addr = await peer.request("INVITE")
        peer.answer(invite, addr, 401, "Unauthorized", WWW_Authenticate='Digest realm="r", nonce="n", qop="auth"')
        await peer.request("ACK")
        again, addr = await peer.request("INVITE")
        assert 'username="alice"' in again.value("Authorization")
        assert again.value("X-Campaign") == "7"
        assert again.call_id == invite.call_id and again.value("CSeq") == "2 INVITE"
        peer.answer(again, addr, 401, "Unauthorized", WWW_Authenticate='Digest realm="r", nonce="n2", qop="auth"')
        with pytest.raises(CallFailed, match="401"):
            await call.answered()
    peer.close()


async def test_a_cancel_that_crosses_the_answer_hangs_up() -> None:
    peer = Peer()
    uri = await peer.open()
    async with Phone() as phone:
        call = await phone.dial(uri)
        invite, addr = await peer.request("INVITE")
        ending = asyncio.create_task(call.cancel())  # must wait for a provisional, which never comes
        await asyncio.sleep(0)
        peer.answer(invite, addr, 200, "OK")
        bye, addr = await peer.request("BYE")
        peer.answer(bye, addr, 200, "OK")
        assert (await ending).by == "us"
    peer.close()


async def test_in_dialog_requests_are_answered_and_kept() -> None:
    peer = Peer()
    uri = await peer.open()
    async with Phone() as phone:
        call = await phone.dial(uri)
        invite, addr = await peer.request("INVITE")
        peer.answer(invite, addr, 200, "OK")
        await call.answered()
        replies = {}
        for number, method in enumerate(("OPTIONS", "INFO", "REFER", "UPDATE", "BYE"), 1):
            request = NewRequest(method, phone.uri)
            request.add("Via", f"SIP/2.0/UDP 127.0.0.1:{uri.rpartition(':')[2]};branch=z9hG4bKx{number}")
            request.add("From", f"{invite.value('To')};tag=peer")
            request.add("To", invite.value("From"))
            request.add("Call-ID", invite.call_id)
            request.add("CSeq", f"{number} {method}")
            assert peer.transport is not None
            for _ in range(2):  # once more, as if the answer had been lost
                peer.transport.sendto(bytes(request), addr)
                async with asyncio.timeout(2):
                    while True:
                        response, _ = await peer.messages.get()
                        if isinstance(response, Response):
                            replies[method] = response.status
                            break
        assert replies == {"OPTIONS": 200, "INFO": 200, "REFER": 202, "UPDATE": 200, "BYE": 200}
        assert [request.method for request in call.requests] == ["OPTIONS", "INFO", "REFER", "UPDATE", "BYE"]
        assert (await call.wait_bye()).by == "peer"
    peer.close()
