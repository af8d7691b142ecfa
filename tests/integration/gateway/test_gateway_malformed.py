"""RFC 4475's messages and thousands of broken ones at a running gateway: it stays up, and the next call works."""

from __future__ import annotations

import asyncio
import random
import socket
from pathlib import Path

import psutil
import pytest
from gateway_process import RunningGateway, until
from raw_sip import raw_sip, sdp

from telephony.phone import Phone

TORTURE = sorted((Path(__file__).parents[2] / "unit" / "edge" / "rfc4475").glob("*.dat"))
BROKEN = 4000


def _mutated(chooser: random.Random, seeds: list[bytes]) -> bytes:
    """A message with some of its bytes, lines or numbers changed; some are just noise."""
    kind = chooser.randrange(8)
    if kind == 0:
        return chooser.randbytes(chooser.randrange(1, 1400))
    data = bytearray(chooser.choice(seeds))
    if kind == 1:
        return bytes(data[: chooser.randrange(1, len(data))])
    if kind == 2:
        lines = bytes(data).split(b"\r\n")
        chooser.shuffle(lines)
        return b"\r\n".join(lines)
    if kind == 3:
        lines = bytes(data).split(b"\r\n")
        del lines[chooser.randrange(len(lines))]
        return b"\r\n".join(lines)
    if kind == 4:
        lines = bytes(data).split(b"\r\n")
        lines.insert(chooser.randrange(len(lines)), chooser.choice(lines))
        return b"\r\n".join(lines)
    if kind == 5:
        return bytes(data).replace(b"SIP/2.0", chooser.choice([b"SIP/9", b"", b"HTTP/1.1", b"SIP/2.0\x00"]), 1)
    for _ in range(chooser.randrange(1, 12)):
        data[chooser.randrange(len(data))] = chooser.randrange(256)
    if kind == 7:
        data[chooser.randrange(len(data)) : 0] = chooser.randbytes(chooser.randrange(300))
    return bytes(data)


def _seeds(gateway: RunningGateway) -> list[bytes]:
    """Valid requests and responses of unknown dialogs."""
    from raw_sip import RawCall, RawSip

    sip = RawSip("udp", "127.0.0.1", gateway.udp)
    sip.local = ("127.0.0.1", 9)
    call = RawCall(sip, "+15559999999", "+15552108999")  # a number without a route: no worker must ever see it
    requests = [call.request(name, sdp() if name == "INVITE" else "") for name in ("INVITE", "BYE", "OPTIONS", "ACK")]
    answers = ["SIP/2.0 200 OK\r\n" + "\r\n".join(request.split("\r\n")[1:]) for request in requests[:2]]
    return [text.encode() for text in (*requests, *answers)] + [path.read_bytes() for path in TORTURE]


async def _send_all(gateway: RunningGateway, transport: str, messages: list[bytes]) -> None:
    if transport == "udp":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            for index, message in enumerate(messages):
                await asyncio.get_running_loop().sock_sendto(sock, message[:60_000], ("127.0.0.1", gateway.udp))
                if index % 50 == 49:
                    await _digested(gateway)
        return
    for start in range(0, len(messages), 4):
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.tcp)
        try:
            for message in messages[start : start + 4]:
                writer.write(message)
            await writer.drain()
        except ConnectionError:
            pass  # it may close on what is no SIP
        writer.close()
        if start % 40 == 0:
            await _digested(gateway)


async def _digested(gateway: RunningGateway) -> None:
    """The gateway has read what was sent before: it answers an OPTIONS."""
    async with raw_sip(gateway.udp) as sip:
        sip.send(sip.call("ping", "pinger").request("OPTIONS"))
        await sip.expect(200)


def _handles(gateway: RunningGateway) -> dict[int, int]:
    processes = [psutil.Process(gateway.pid), *psutil.Process(gateway.pid).children(recursive=True)]
    return {process.pid: process.num_fds() for process in processes}


def _at_workers(gateway: RunningGateway) -> float:
    names = ("forwarded_in_INVITE", "forwarded_in_BYE", "forwarded_in_CANCEL", "forwarded_in_other")
    metrics = gateway.metrics()
    return sum(metrics.get(f"trunkline_edge_{name}_total", 0) for name in names)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_thousands_of_broken_messages(gateway: RunningGateway, transport: str, caller: str) -> None:
    await gateway.idle()
    await _digested(gateway)
    before, seen_before = _handles(gateway), _at_workers(gateway)
    malformed_before = _malformed(gateway)
    chooser = random.Random(f"trunkline {transport}")
    seeds = _seeds(gateway)
    async with Phone() as phone:
        beside = await phone.call(gateway.uri("+15550101"), caller=caller)  # a call that must not notice
        await until(lambda: len(beside.received) > 25)
        await _send_all(gateway, transport, [_mutated(chooser, seeds) for _ in range(BROKEN)])
        await _digested(gateway)
        await until(lambda: len(beside.received) > 50)
        assert not beside.ended.done()
        gaps = [b - a for a, b in zip(beside.received.at[5:-1], beside.received.at[6:], strict=False)]
        assert max(gaps) < 0.25
        await beside.hang_up()
        record = await gateway.record(beside.call_id)
        assert (record["outcome"], record["media"]["packets_lost"]) == ("answered", 0)
    assert _malformed(gateway) - malformed_before > BROKEN / 10
    # What was admitted and forwarded is the one call; a mutation may by chance be a valid call to a valid number.
    assert _at_workers(gateway) - seen_before <= 2 + _admitted_by_chance(gateway, caller)
    assert gateway.metrics().get("trunkline_edge_internal_errors_total", 0) == 0
    assert gateway.metrics().get("trunkline_edge_malformed_from_worker_total", 0) == 0
    await until(lambda: _grown(before, _handles(gateway)) <= 2, 15, what="no more file handles than before")
    async with Phone(transport="udp" if transport == "udp" else "tcp") as phone:
        call = await phone.call(gateway.uri("+15550101", transport), caller=f"{caller[:-4]}8888")
        await call.hang_up()
        assert (await gateway.record(call.call_id))["outcome"] == "answered"
    assert gateway.health()[0] == 200
    await gateway.idle(20)


def _malformed(gateway: RunningGateway) -> float:
    return sum(n for name, n in gateway.metrics().items() if name.startswith("trunkline_edge_malformed"))


def _admitted_by_chance(gateway: RunningGateway, caller: str) -> int:
    return 2 * sum(
        1 for call in gateway.calls() if call["worker"] and call["caller"] != caller and not call["answered_at"]
    )


def _grown(before: dict[int, int], after: dict[int, int]) -> int:
    assert set(after) == set(before), "a process has come or gone"
    return sum(after.values()) - sum(before.values())


async def test_the_torture_messages_of_rfc_4475(gateway: RunningGateway, caller: str) -> None:
    """Unchanged: those that a proxy must forward reach a persona or get 404; they leave nothing behind."""
    for path in TORTURE:
        async with raw_sip(gateway.udp) as sip:
            sip.send(path.read_bytes())
            await _digested(gateway)
    await gateway.idle(20)
    async with raw_sip(gateway.udp) as sip:
        call = sip.call("+15550101", caller)
        await call.establish()
        await call.bye()
        assert (await gateway.record(call.call_id))["outcome"] == "answered"
    assert all(one["outcome"] for one in gateway.calls())
    assert gateway.metrics().get("trunkline_edge_internal_errors_total", 0) == 0
