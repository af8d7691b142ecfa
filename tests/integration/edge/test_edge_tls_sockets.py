"""TLS connections of the edge, as others make them: real sockets, real certificates, and peers that misbehave."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from edge_sipp import Running, running_edge, until
from test_edge_sockets import OPTIONS, closed_by_peer

from telephony.edge import EdgeLimits, TlsFilesError, TlsServer, Trunk, TrunkTls
from telephony.sip.probing import ProbePolicy
from telephony.sip.resolving import Target
from tests.certificates import Authority, Files

TLS_OPTIONS = OPTIONS.replace(b"/TCP", b"/TLS")
INVITE = TLS_OPTIONS.replace(b"OPTIONS", b"INVITE").replace(b"Max-F", b"Contact: <sip:me@127.0.0.1>\r\nMax-F")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def trusting(authority: Authority, own: Files | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.ca)
    if own is not None:
        context.load_cert_chain(own.certificate, own.key)
    return context


async def connected(
    running: Running, context: ssl.SSLContext, local: str = "127.0.0.1"
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", running.port("tls"), ssl=context, local_addr=(local, 0))


async def test_requests_and_pings_over_tls(authority: Authority) -> None:
    async with running_edge(tls=authority.issue("127.0.0.1").server()) as running:
        reader, writer = await connected(running, trusting(authority))
        writer.write(b"\r\n\r\n")
        assert await reader.readexactly(2) == b"\r\n"
        request = TLS_OPTIONS % (1, 1)
        for part in (request[:7], request[7:100], request[100:]):
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"SIP/2.0 200") and b"Via: SIP/2.0/TLS 127.0.0.1:9" in answer
        assert running.edge.counters["tls.established"] == 1
        writer.close()
        await until(lambda: running.edge.tcp_connections == 0)


async def test_a_call_over_tls_is_told_to_stay_there(authority: Authority) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as worker:
        worker.bind(("127.0.0.1", 0))
        worker.setblocking(False)
        async with running_edge(tls=authority.issue("127.0.0.1").server()) as running:
            running.worker_port = worker.getsockname()[1]
            running.edge.add_worker("w1", "127.0.0.1", running.worker_port)
            reader, writer = await connected(running, trusting(authority))
            writer.write((INVITE % (1, 1)).replace(b"INVITE sip:", b"INVITE sips:", 1))
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"SIP/2.0 100")
            got = (await asyncio.get_running_loop().sock_recv(worker, 65_536)).decode()
            kept = [line for line in got.split("\r\n")[1:] if line.split(":")[0] in ("Via", "From", "Call-ID", "CSeq")]
            headers = ["To: <sip:c@d>;tag=2", "Contact: <sip:127.0.0.1:9>", "Content-Length: 0", "", ""]
            worker.sendto("\r\n".join(["SIP/2.0 200 OK", *kept, *headers]).encode(), running.edge.worker_address)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert (
                b"Contact: <sips:127.0.0.1:%d>" % running.port("tls") in answer
            )  # as it was called (RFC 3261, 12.1.1)
            (dialog,) = running.edge.dialogs
            assert dialog.source.transport == "tls"
            running.edge.end_leg("c1")
            bye = await reader.readuntil(b"\r\n\r\n")  # over the caller's connection
            assert bye.startswith(b"BYE ") and b"Via: SIP/2.0/TLS 127.0.0.1:" in bye
            writer.close()


@pytest.mark.parametrize(("issued", "reached"), [("pbx.example", True), ("other.example", False)])
async def test_a_caller_whose_connection_is_gone_is_called_over_tls_and_not_otherwise(
    authority: Authority, issued: str, reached: bool
) -> None:
    async with carrier(authority.issue(issued, called="pbx")) as (contact, heard):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as worker:
            worker.bind(("127.0.0.1", 0))
            worker.setblocking(False)
            trunk = Trunk("local", ("127.0.0.0/8",), tls=TrunkTls(authority.ca, name="pbx.example"))
            async with running_edge(tls=authority.issue("127.0.0.1").server(), trunk=trunk) as running:
                running.worker_port = worker.getsockname()[1]
                running.edge.add_worker("w1", "127.0.0.1", running.worker_port)
                _, writer = await connected(running, trusting(authority))
                at = b"<sip:me@127.0.0.1:%d;transport=tls>" % contact
                writer.write((INVITE % (1, 1)).replace(b"<sip:me@127.0.0.1>", at))
                got = (await asyncio.get_running_loop().sock_recv(worker, 65_536)).decode()
                kept = [line for line in got.split("\r\n")[1:] if line.split(":")[0].encode() in KEPT]
                kept = [line for line in kept if not line.startswith("To")]
                answer = ["SIP/2.0 200 OK", *kept, "To: <sip:c@d>;tag=2", "Content-Length: 0", "", ""]
                worker.sendto("\r\n".join(answer).encode(), running.edge.worker_address)
                await until(lambda: running.edge.counters["responses_out.2xx"] == 1)
                writer.close()
                await until(lambda: running.edge.tcp_connections == 0)
                running.edge.end_leg("c1")
                await until(lambda: bool(heard or running.edge.trunks[0].tls_failures))
                assert [request.split(b" ")[0] for request in heard] == ([b"BYE"] if reached else [])


async def test_handshakes_that_hang_are_few_and_short(authority: Authority) -> None:
    limits = EdgeLimits(tls_handshake_s=0.3, tls_handshakes_per_source=2)
    async with running_edge(limits, tls=authority.issue("127.0.0.1").server()) as running:
        hanging = [await asyncio.open_connection("127.0.0.1", running.port("tls")) for _ in range(3)]
        for _, writer in hanging:
            writer.write(b"\x16\x03\x01")
        assert await closed_by_peer(hanging[2][0])
        assert running.edge.counters["tls.refused"] == 1
        for _ in range(5):  # a byte now and then keeps no place
            for _, writer in hanging[:2]:
                if not writer.is_closing():
                    writer.write(b"\x02")
            await asyncio.sleep(0.05)
        for reader, _ in hanging[:2]:
            assert await closed_by_peer(reader)
        assert running.edge.counters["tls.handshake_timeout"] == 2
        (trunk,) = running.edge.trunks
        assert [(failure.peer, failure.why) for failure in trunk.tls_failures] == [
            ("127.0.0.1", "no handshake in 0.3 s")  # the same again is no news
        ]
        reader, writer = await connected(running, trusting(authority))  # there is room again
        writer.write(TLS_OPTIONS % (1, 1))
        assert (await reader.readuntil(b"\r\n")).startswith(b"SIP/2.0 200")
        for _, each in (*hanging, (reader, writer)):
            each.close()


async def test_a_connection_that_ends_in_the_middle_or_is_not_tls(authority: Authority) -> None:
    async with running_edge(tls=authority.issue("127.0.0.1").server()) as running:
        for said, counter in ((b"\x16\x03\x01\x02", "tls.closed"), (TLS_OPTIONS % (1, 1), "tls.not_tls")):
            _, writer = await asyncio.open_connection("127.0.0.1", running.port("tls"))
            writer.write(said)
            writer.close()
            await until(lambda counter=counter: running.edge.counters[counter] == 1)
        _, writer = await asyncio.open_connection("127.0.0.1", running.port("tls"))  # a load balancer that looks
        writer.close()
        await until(lambda: running.edge.tcp_connections == 0 and running.edge.counters["tls.opened"] == 3)
        assert len(running.edge.trunks[0].tls_failures) == 2
        assert running.edge.counters["received.OPTIONS"] == 0


async def test_strangers_handshakes_are_few(authority: Authority) -> None:
    """Each costs us more than anything else that a stranger may send."""
    limits = EdgeLimits(stranger_handshakes_per_second=0.001, stranger_handshake_burst=2)
    async with running_edge(limits, ("192.0.2.0/24",), tls=authority.issue("127.0.0.1").server()) as running:
        for number in range(4):
            try:
                reader, writer = await connected(running, trusting(authority), f"127.7.0.{number + 1}")
            except (ConnectionError, ssl.SSLError):
                continue
            writer.write(INVITE % (number, number))
            assert (await reader.readuntil(b"\r\n")).startswith(b"SIP/2.0 403")
            writer.close()
        assert running.edge.counters["tls.established"] == 2 and running.edge.counters["tls.refused"] == 2


# Client certificates


def certified(authority: Authority, allow: tuple[str, ...]) -> Trunk:
    return Trunk("local", allow, tls=TrunkTls(authority.ca, callers=("pbx.example",)))


def admitted(running: Running) -> list[str | None]:
    return [invite.trunk for invite in running.admitter.invites]


async def test_a_trunk_is_known_by_its_certificate_wherever_it_calls_from(authority: Authority) -> None:
    server = authority.issue("127.0.0.1").server(authority.ca)
    async with running_edge(tls=server, trunk=certified(authority, ("192.0.2.0/24",))) as running:
        for own, status in (
            (authority.issue("PBX.example"), 503),
            (authority.issue("other.example"), 403),
            (None, 403),
        ):
            reader, writer = await connected(running, trusting(authority, own))
            writer.write(INVITE % (status, 0 if own is None else status))
            assert (await reader.readuntil(b"\r\n")).startswith(b"SIP/2.0 %d" % status)  # 503: it has no worker
            writer.close()
        assert admitted(running) == ["local"]


async def test_a_trunk_that_must_show_one_is_refused_without_it(authority: Authority) -> None:
    server = authority.issue("127.0.0.1").server(authority.ca)
    async with running_edge(tls=server, trunk=certified(authority, ("127.0.0.0/8",))) as running:
        reader, writer = await connected(running, trusting(authority))
        writer.write(INVITE % (1, 1))
        assert (await reader.readuntil(b"\r\n")).startswith(b"SIP/2.0 403 Client certificate required")
        writer.close()
        plain, plain_writer = await asyncio.open_connection("127.0.0.1", running.port("tcp"))
        plain_writer.write((INVITE % (2, 2)).replace(b"/TLS", b"/TCP"))
        assert (await plain.readuntil(b"\r\n")).startswith(b"SIP/2.0 403")
        plain_writer.close()
        await until(lambda: len(running.refused) == 2)
        assert {refused.rule for refused in running.refused} == {"certificate"}
        assert admitted(running) == []


async def test_a_certificate_of_an_unknown_authority_ends_the_handshake(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    own = Authority(tmp_path / "other").issue("pbx.example")
    server = authority.issue("127.0.0.1").server(authority.ca)
    async with running_edge(tls=server, trunk=certified(authority, ("127.0.0.0/8",))) as running:
        reader, writer = await connected(running, trusting(authority, own))
        writer.write(INVITE % (1, 1))
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            await reader.readuntil(b"\r\n")
        writer.close()
        (failure,) = running.edge.trunks[0].tls_failures
        assert "its certificate is not accepted" in failure.why


# Files


async def test_a_key_that_is_missing_ends_the_start(authority: Authority) -> None:
    files = authority.issue("127.0.0.1")
    files.key.unlink()
    with pytest.raises(TlsFilesError, match=r"127\.0\.0\.1\.key.*No such file"):
        async with running_edge(tls=files.server()):
            pass


async def test_a_new_certificate_is_shown_and_old_connections_stay(authority: Authority) -> None:
    files = authority.issue("127.0.0.1", called="ours")
    limits = EdgeLimits(certificates_checked_s=0.05)
    async with running_edge(limits, tls=files.server()) as running:
        reader, writer = await connected(running, trusting(authority))
        first = writer.get_extra_info("peercert")["serialNumber"]
        files.certificate.write_text("cut off")
        await until(lambda: running.edge.counters["tls.not_reloaded"] == 1)
        authority.issue("127.0.0.1", called="ours", expires_in_days=60)
        await until(lambda: running.edge.counters["tls.reloaded"] >= 1)
        other_reader, other_writer = await connected(running, trusting(authority))
        assert other_writer.get_extra_info("peercert")["serialNumber"] != first
        for each, each_writer in ((reader, writer), (other_reader, other_writer)):
            each_writer.write(TLS_OPTIONS % (1, 1))
            assert (await each.readuntil(b"\r\n")).startswith(b"SIP/2.0 200")
            each_writer.close()
        assert running.edge.certificates[0].file == str(files.certificate)


# Connections that we make


@asynccontextmanager
async def carrier(
    files: Files, *, asks_for: Path | None = None, hangs: bool = False, plain: bool = False
) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A host that answers each OPTIONS, and what it has been sent. `asks_for`: an authority of client certificates."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                heard.append(request)
                kept = [line for line in request.split(b"\r\n")[1:] if line.split(b":")[0] in KEPT]
                writer.write(b"\r\n".join([b"SIP/2.0 200 OK", *kept, b"Content-Length: 0", b"", b""]))
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            writer.close()

    context: ssl.SSLContext | None = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=asks_for)
    assert context is not None
    context.load_cert_chain(files.certificate, files.key)
    if asks_for is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=None if hangs or plain else context)
    try:
        yield server.sockets[0].getsockname()[1], heard
    finally:
        server.close()


KEPT = (b"Via", b"From", b"To", b"Call-ID", b"CSeq")


def probed(authority: Authority, port: int, **tls: object) -> Trunk:
    return Trunk(
        "local",
        ("127.0.0.0/8",),
        hosts=(Target("127.0.0.1", port, "tls"),),
        probe=ProbePolicy(every_s=0.2, retry_s=0.2, answer_s=2.0, down_after=1),
        tls=replace(TrunkTls(authority.ca), **tls),  # type: ignore[arg-type]
    )


def state_of(running: Running) -> Callable[[], str]:
    def state() -> str:
        probes = [place.probe for place in running.edge.trunks[0].places]
        return probes[0].reachability.value if probes and probes[0] else ""

    return state


@asynccontextmanager
async def dialing(authority: Authority, port: int, **tls: object) -> AsyncIterator[Running]:
    limits = EdgeLimits(tls_handshake_s=0.5)
    server = TlsServer(authority.issue("127.0.0.1").identity)
    async with running_edge(limits, tls=server, trunk=probed(authority, port, **tls)) as running:
        yield running


async def test_a_host_is_asked_over_one_connection(authority: Authority) -> None:
    async with carrier(authority.issue("127.0.0.1", called="carrier")) as (port, heard), dialing(authority, port) as on:
        await until(lambda: len(heard) >= 3)
        assert state_of(on)() == "up" and on.edge.counters["tls.opened"] == 1
        assert b"Via: SIP/2.0/TLS 127.0.0.1:%d" % on.port("tls") in heard[0]
        assert b"Contact: <sip:127.0.0.1:%d;transport=tls>" % on.port("tls") in heard[0]


async def test_sips_uris_are_written_where_wanted(authority: Authority) -> None:
    async with (
        carrier(authority.issue("127.0.0.1", called="carrier")) as (port, heard),
        dialing(authority, port, sips=True) as on,
    ):
        await until(lambda: bool(heard))
        assert heard[0].startswith(b"OPTIONS sips:127.0.0.1 SIP/2.0")
        assert b"Contact: <sips:127.0.0.1:%d>" % on.port("tls") in heard[0]


async def test_a_certificate_may_have_a_name_that_is_said(authority: Authority) -> None:
    async with (
        carrier(authority.issue("sip.carrier.example")) as (port, heard),
        dialing(authority, port, name="sip.carrier.example"),
    ):
        await until(lambda: bool(heard))


@pytest.mark.parametrize(
    ("issued", "days", "said"),
    [
        ("127.0.0.1", -1, "certificate has expired"),
        ("other.example", 30, "IP address mismatch, certificate is not valid for '127.0.0.1'"),
    ],
)
async def test_a_host_whose_certificate_will_not_do_is_down_and_says_why(
    authority: Authority, issued: str, days: float, said: str
) -> None:
    files = authority.issue(issued, expires_in_days=days, called="carrier")
    async with carrier(files) as (port, heard), dialing(authority, port) as on:
        await until(lambda: state_of(on)() == "down")
        (failure,) = on.edge.trunks[0].tls_failures
        assert failure.peer == f"127.0.0.1:{port}" and said in failure.why
        assert heard == []  # nothing was sent in the clear, and nothing to whom we do not know
        assert on.edge.counters["tls.certificate"] >= 1


async def test_a_self_signed_certificate_will_not_do(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    files = Authority(tmp_path / "other").issue("127.0.0.1")
    async with carrier(files) as (port, _), dialing(authority, port) as on:
        await until(lambda: state_of(on)() == "down")
        assert "unable to get local issuer certificate" in on.edge.trunks[0].tls_failures[0].why


async def test_a_host_that_wants_our_certificate(authority: Authority) -> None:
    files = authority.issue("127.0.0.1", called="carrier")
    async with carrier(files, asks_for=authority.ca) as (port, heard):
        async with dialing(authority, port) as on:
            await until(lambda: state_of(on)() == "down")
            assert "may require another certificate from us" in on.edge.trunks[0].tls_failures[0].why
        assert heard == []
        async with dialing(authority, port, identity=authority.issue("edge.example").identity) as on:
            await until(lambda: state_of(on)() == "up")


@pytest.mark.parametrize(("how", "said"), [("hangs", "no handshake in 0.5 s"), ("plain", "not TLS")])
async def test_a_host_that_does_not_shake_hands(authority: Authority, how: str, said: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if how == "plain":
            writer.write(b"SIP/2.0 400 Bad Request\r\n\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with dialing(authority, server.sockets[0].getsockname()[1]) as on:
        await until(lambda: state_of(on)() == "down")
        assert said in on.edge.trunks[0].tls_failures[0].why
    server.close()
    await server.wait_closed()


async def test_a_host_that_closes_in_the_middle(authority: Authority) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with dialing(authority, server.sockets[0].getsockname()[1]) as on:
        await until(lambda: state_of(on)() == "down")
        why = on.edge.trunks[0].tls_failures[0].why
        assert "closed the connection" in why
    server.close()
    await server.wait_closed()
