"""The shell: ports, misbehaving TCP connections, and impostors of workers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from edge_sipp import Running, running_edge, until

from telephony.edge import Edge, EdgeLimits, EdgeSettings, Refuse
from telephony.edge.fakes import FakeAdmitter
from telephony.errors import PortTaken, TelephonyMisuse

OPTIONS = (
    b"OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:9;branch=z9hG4bK%d\r\nFrom: <sip:a@b>;tag=1\r\n"
    b"To: <sip:c@d>\r\nCall-ID: o%d\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
)


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
async def test_a_taken_port_is_named_and_nothing_stays_open(kind: int) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        where = f"{'tcp' if kind == socket.SOCK_STREAM else 'udp'}://127.0.0.1:{taken.getsockname()[1]}"
        edge = Edge(EdgeSettings(("udp://127.0.0.1:0", where), ()), FakeAdmitter(Refuse(500, "")))
        with pytest.raises(PortTaken, match=where):
            await edge.start()
    first = edge.addresses[0]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind((first.host, first.port))


async def test_methods_before_start_are_misuse() -> None:
    edge = Edge(EdgeSettings(("udp://127.0.0.1:0",), ()), FakeAdmitter(Refuse(500, "")))
    with pytest.raises(TelephonyMisuse):
        edge.add_worker("w1", "127.0.0.1", 5)
    await edge.close()


async def test_tcp_answers_pings_and_requests_cut_anywhere() -> None:
    async with running_edge() as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port("tcp"))
        writer.write(b"\r\n\r\n")
        assert await reader.readexactly(2) == b"\r\n"
        request = OPTIONS % (1, 1)
        for part in (request[:7], request[7:100], request[100:]):
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        assert (await reader.readuntil(b"\r\n")).startswith(b"SIP/2.0 200")
        writer.close()
        await writer.wait_closed()
        await until(lambda: running.edge.tcp_connections == 0)


async def closed_by_peer(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(3):
            return await reader.read() == b""
    except ConnectionError:
        return True


async def test_half_a_message_and_idling_end_the_connection() -> None:
    limits = EdgeLimits(tcp_half_message_s=0.2, tcp_idle_s=0.4)
    async with running_edge(limits) as running:
        half, half_writer = await asyncio.open_connection("127.0.0.1", running.port("tcp"))
        idle, idle_writer = await asyncio.open_connection("127.0.0.1", running.port("tcp"))
        half_writer.write(b"OPTIONS sip:")
        assert await closed_by_peer(half)
        assert await closed_by_peer(idle)
        assert running.edge.counters["tcp.half_message"] == 1
        assert running.edge.counters["tcp.idle"] == 1
        for writer in (half_writer, idle_writer):
            writer.close()


async def test_a_stream_that_is_not_sip_is_cut() -> None:
    async with running_edge() as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port("tcp"))
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await closed_by_peer(reader)
        assert running.edge.counters["malformed.content-length"] == 1
        writer.close()


async def test_connections_above_the_limit_are_refused() -> None:
    async with running_edge(EdgeLimits(tcp_connections_per_source=2)) as running:
        pairs = [await asyncio.open_connection("127.0.0.1", running.port("tcp")) for _ in range(3)]
        assert await closed_by_peer(pairs[2][0])
        assert running.edge.tcp_connections == 2
        assert running.edge.counters["tcp.refused"] == 1
        for _, writer in pairs:
            writer.close()


async def test_a_peer_that_does_not_read_is_cut_and_others_go_on() -> None:
    limits = EdgeLimits(messages_per_second=1e6, message_burst=10**6, tcp_write_buffer_bytes=65_536)
    async with running_edge(limits) as running:
        stalled = socket.socket()
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(stalled, ("127.0.0.1", running.port("tcp")))
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port("tcp"))
        for n in range(60_000):
            try:
                await asyncio.wait_for(loop.sock_sendall(stalled, OPTIONS % (n, n)), 5)
            except ConnectionError:
                break
        assert running.edge.counters["tcp.overrun"] == 1
        writer.write(OPTIONS % (1, 1))
        async with asyncio.timeout(1):
            assert (await reader.readuntil(b"\r\n")).startswith(b"SIP/2.0 200")
        writer.close()
        stalled.close()


async def test_many_messages_at_once_are_answered_in_turn_with_others() -> None:
    async with running_edge(EdgeLimits(messages_per_second=1e6, message_burst=10**6)) as running:
        _, greedy = await asyncio.open_connection("127.0.0.1", running.port("tcp"))
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port("tcp"))
        greedy.write(b"".join(OPTIONS % (n, n) for n in range(600)))
        writer.write(OPTIONS % (1, 1))
        assert (await reader.readuntil(b"\r\n")).startswith(b"SIP/2.0 200")
        assert running.edge.counters["received.OPTIONS"] < 400  # not after all of the greedy one's
        await until(lambda: running.edge.counters["received.OPTIONS"] == 601)
        greedy.write(OPTIONS % (601, 601))  # and it is read again
        await until(lambda: running.edge.counters["received.OPTIONS"] == 602)
        for each in (greedy, writer):
            each.close()


async def test_pings_in_a_row_have_one_answer() -> None:
    async with running_edge() as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port("tcp"))
        writer.write(b"\r\n\r\n" * 10_000 + OPTIONS % (1, 1))
        answer = await reader.readuntil(b"SIP/2.0 200")
        assert 2 <= len(answer.removesuffix(b"SIP/2.0 200")) < 40
        writer.close()


async def test_strangers_connections_are_few_and_short_and_trunks_have_their_own() -> None:
    limits = EdgeLimits(
        stranger_tcp_connections=3, stranger_tcp_per_source=2, tcp_connections=2,
        stranger_tcp_idle_s=0.5, stranger_tcp_half_message_s=0.3,
    )  # fmt: skip
    async with running_edge(limits, allow=("127.0.0.1/32",)) as running:
        strangers = [
            await asyncio.open_connection("127.0.0.1", running.port("tcp"), local_addr=(f"127.9.0.{n // 3}", 0))
            for n in range(3, 9)
        ]
        await until(lambda: running.edge.counters["tcp.refused"] == 3)
        assert running.edge.tcp_connections == 3
        friends = [await asyncio.open_connection("127.0.0.1", running.port("tcp")) for _ in range(2)]
        strangers[0][1].write(b"OPTIONS sip:")
        for reader, writer in friends:
            writer.write(OPTIONS % (1, 1))
            assert (await reader.readuntil(b"\r\n")).startswith(b"SIP/2.0 200")
        for _ in range(4):
            strangers[1][1].write(b"\r\n\r\n")  # pings keep no place
            await asyncio.sleep(0.1)
        await until(lambda: running.edge.tcp_connections == 2)  # the friends
        assert running.edge.counters["tcp.half_message"] == 1
        assert running.edge.counters["tcp.idle"] == 2
        for _, writer in (*strangers, *friends):
            writer.close()


async def test_a_stranger_who_sends_much_is_cut() -> None:
    async with running_edge(allow=("192.0.2.0/24",)) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port("tcp"))
        writer.write(b"".join(OPTIONS % (n, n) for n in range(1000)))
        assert await closed_by_peer(reader)
        assert running.edge.counters["tcp.stranger"] == 1
        assert running.edge.counters["received.OPTIONS"] <= 100
        writer.close()


async def test_strangers_cannot_use_the_worker_socket() -> None:
    async with running_edge() as running:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(OPTIONS % (1, 1), running.edge.worker_address)
            await until(lambda: running.edge.counters["dropped.not_a_worker"] == 1)


@dataclass
class TcpCaller:
    """A caller over TCP and the worker that has answered its call, both by hand."""

    running: Running
    worker: socket.socket
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


@asynccontextmanager
async def tcp_caller(running: Running, contact: int) -> AsyncIterator[TcpCaller]:
    """`contact`: the port that the caller names as its own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as worker:
        worker.bind(("127.0.0.1", 0))
        worker.setblocking(False)
        running.worker_port = worker.getsockname()[1]
        running.edge.add_worker("w1", "127.0.0.1", running.worker_port)
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port("tcp"))
        invite = OPTIONS.replace(b"OPTIONS", b"INVITE") % (1, 1)
        writer.write(invite.replace(b"Max-F", b"Contact: <sip:me@127.0.0.1:%d;transport=tcp>\r\nMax-F" % contact))
        received = (await asyncio.get_running_loop().sock_recv(worker, 65_536)).decode()
        kept = [line for line in received.split("\r\n")[1:] if line.split(":")[0] in ("Via", "From", "Call-ID", "CSeq")]
        answer = "\r\n".join(["SIP/2.0 200 OK", *kept, "To: <sip:c@d>;tag=2", "Content-Length: 0", "", ""])
        worker.sendto(answer.encode(), running.edge.worker_address)
        await until(lambda: running.edge.counters["responses_out.2xx"] == 1)
        yield TcpCaller(running, worker, reader, writer)
        writer.close()


async def test_a_connection_that_carries_a_call_is_not_idle() -> None:
    """A TCP call without a message for more than ten minutes used to lose its connection, and with it the BYE."""
    async with running_edge(EdgeLimits(tcp_idle_s=0.2)) as running, tcp_caller(running, 9) as caller:
        idle, idle_writer = await asyncio.open_connection("127.0.0.1", running.port("tcp"))
        for _ in range(2):
            assert await closed_by_peer(idle)
            idle_writer.close()
            idle, idle_writer = await asyncio.open_connection("127.0.0.1", running.port("tcp"))
        assert not caller.reader.at_eof()
        assert running.edge.end_leg("c1")
        async with asyncio.timeout(2):
            while b" BYE\r\n" not in await caller.reader.readuntil(b"\r\n\r\n"):
                pass
        assert await closed_by_peer(caller.reader)
        idle_writer.close()


async def test_a_caller_whose_connection_is_gone_is_called_at_its_contact() -> None:
    async with running_edge() as running:
        heard: asyncio.Queue[bytes] = asyncio.Queue()

        async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.put_nowait(await reader.readuntil(b"\r\n\r\n"))
            writer.close()

        server = await asyncio.start_server(listen, "127.0.0.1", 0)
        contact = server.sockets[0].getsockname()[1]
        async with tcp_caller(running, contact):
            pass
        await until(lambda: running.edge.tcp_connections == 0)
        assert running.edge.end_worker_legs("w1") == ["c1"]
        async with asyncio.timeout(2):
            bye = await heard.get()
        assert bye.startswith(b"BYE sip:me@127.0.0.1:%d;transport=tcp SIP/2.0\r\n" % contact)
        server.close()
