"""Starting, stopping, forking, and running out of things."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import traceback
from collections.abc import Coroutine
from itertools import pairwise

import pytest
from pjsua_bench import Bench, rtp_range

from telephony.errors import PjsipError, PortTaken, TelephonyMisuse
from telephony.pjsua import Endpoint, EndpointSettings


def settings(**changes: object) -> EndpointSettings:
    return EndpointSettings(**{"rtp_ports": rtp_range(), "public_address": "127.0.0.1", **changes})


def in_child(work: Coroutine[object, object, None]) -> int:
    """The exit code of a forked process that runs `work`."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with asyncio.Runner() as runner:
                runner.run(work)
            code = 0
        except BaseException:  # noqa: BLE001 - the parent asks for the exit code
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    work.close()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


async def one_call() -> None:
    async with Bench(settings()) as bench:
        phone, taken = await bench.answered()
        await phone.talk(0.2)
        await taken.leg.hang_up()
        ended = await taken.ended()
        assert ended.statistics is not None
        assert ended.statistics.packets_received


def test_start_after_a_fork():
    assert [in_child(one_call()) for _ in range(2)] == [0, 0]


async def storm(codec: str) -> None:
    """More calls in a second than PJSIP has socket handles for; none is answered."""
    async with Bench(settings()) as bench:
        bench.endpoint._on_incoming = lambda leg: None
        phones = [await bench.phone() for _ in range(60)]
        for burst in range(0, len(phones), 3):
            for phone in phones[burst : burst + 3]:
                phone.send("INVITE", phone.sdp(codec))
                phone.send("CANCEL")
            await asyncio.sleep(0.004)
        for phone in phones:
            phone.learn(await phone.response(486, 487, 488))
            phone.send("ACK")
        bench.endpoint._on_incoming = bench._incoming
        phone, taken = await bench.answered()
        await phone.talk(0.1)
        await phone.hang_up()
        assert (await taken.ended()).by_peer


@pytest.mark.parametrize("codec", ["PCMU", "GSM"])
def test_a_storm_of_calls_is_survived(codec: str):
    assert in_child(storm(codec)) == 0


async def test_start_stop_start_in_one_process():
    for _ in range(3):
        await one_call()


async def test_one_endpoint_a_process():
    first, second = (Endpoint(settings(), lambda leg: None) for _ in range(2))
    await first.start()
    with pytest.raises(TelephonyMisuse):
        await second.start()
    await first.close()
    await second.start()
    await second.close()
    await second.close()


async def test_a_taken_sip_port_is_named():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        endpoint = Endpoint(settings(sip_port=port), lambda leg: None)
        with pytest.raises(PortTaken) as failure:
            await endpoint.start()
        assert failure.value.where == f"udp://127.0.0.1:{port}"
    await endpoint.start()
    assert endpoint.sip_port == port
    await endpoint.close()


async def test_the_call_limit_is_probed():
    endpoint = Endpoint(settings(), lambda leg: None)
    assert endpoint.call_limit == 0
    await endpoint.start()
    assert endpoint.call_limit >= 4
    await endpoint.close()
    fewer = Endpoint(settings(call_limit=2), lambda leg: None)
    await fewer.start()
    assert fewer.call_limit == 2
    await fewer.close()


async def until_free(port: int) -> None:
    async with asyncio.timeout(5):
        while True:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
                probe.bind(("", port))
                return
            await asyncio.sleep(0.005)


async def test_without_rtp_ports_a_call_is_refused_and_the_next_works():
    low, _ = rtp_range()
    async with Bench(settings(rtp_ports=(low, low + 1))) as bench:
        assert bench.endpoint.call_limit == 1
        first, taken = await bench.answered()
        assert first.media_at == ("127.0.0.1", low)
        second = await bench.phone()
        assert (await second.call()).status >= 400
        assert bench.quiet()
        await first.hang_up()
        await taken.ended()
        await until_free(low)  # a thread of PJSIP's that is just sending holds its closed socket for a moment
        third, _ = await bench.answered()
        assert third.media_at == ("127.0.0.1", low)


async def test_rtp_ports_stay_in_their_range():
    low, _ = rtp_range()
    async with Bench(settings(rtp_ports=(low, low + 5))) as bench:
        used = set()
        for _ in range(8):
            phone, taken = await bench.answered()
            used.add(phone.media_at[1])
            await phone.hang_up()
            await taken.ended()
        assert used <= {low, low + 2, low + 4}


async def test_closing_ends_calls_and_refuses_commands():
    async with Bench(settings()) as bench:
        phone, taken = await bench.answered()
        ringing = await bench.phone()
        ringing.send("INVITE", ringing.sdp("PCMU"))
        unanswered = await bench.leg()
        await bench.endpoint.close()
        assert phone.byes == 1
        assert (await ringing.response()).status == 480
        assert not (await taken.ended()).by_peer
        await unanswered.ended()
        owner = bench.endpoint._owner
        assert owner is None
        with pytest.raises(PjsipError):
            await taken.leg._perform(lambda: None)


def test_nothing_is_printed_and_an_unclosed_endpoint_exits():
    low, high = rtp_range()
    program = f"""
import asyncio
import contextlib
from telephony.pjsua import Endpoint, EndpointSettings
async def main():
    await Endpoint(EndpointSettings(rtp_ports=({low}, {high})), lambda leg: None).start()
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


async def test_rtp_ports_are_picked_at_random():
    low, high = rtp_range(50)
    async with Bench(settings(rtp_ports=(low, high))) as bench:
        used: list[int] = []
        for _ in range(8):
            phone, taken = await bench.answered()
            assert phone.media_at is not None
            used.append(phone.media_at[1])
            await phone.hang_up()
            await taken.ended()
    assert all(low <= port < high and port % 2 == 0 for port in used)
    steps = [later - earlier for earlier, later in pairwise(used)]
    assert len(set(steps)) > 3, used
