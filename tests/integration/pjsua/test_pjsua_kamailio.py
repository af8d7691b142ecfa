"""Trunks against Kamailio: registered with digest, probed, called from and calling through, each over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from kamailio import PASSWORD, REALM, USER, kamailio
from pjsua_bench import Bench, Echo, Taken

from telephony.call import CallInfo, Direction, LegAnswered, LegEnded
from telephony.edge import Dial, DialAttempted, Edge, EdgeSettings, Refuse, Registrar, Trunk
from telephony.edge.fakes import FakeAdmitter
from telephony.phone import CallFailed, Phone
from telephony.sip.digest import Credentials
from telephony.sip.probing import ProbePolicy, Reachability
from telephony.sip.registration import RegistrationPolicy, RegistrationState
from telephony.sip.resolving import Target


@asynccontextmanager
async def edge_with(
    port: int, *, password: str = PASSWORD, transport: str = "udp", expiry_s: int = 100, **more: Any
) -> AsyncIterator[Edge]:
    """Registered, or trying to be, with what listens at this port."""
    target = Target("127.0.0.1", port, "tcp" if transport == "tcp" else "udp")
    registrar = Registrar(f"sip:{USER}@{REALM}", target, RegistrationPolicy(expiry_s=expiry_s))
    account = Credentials(USER, password, REALM)
    probe = ProbePolicy(every_s=0.3)
    trunk = Trunk("carrier", (), hosts=(target,), account=account, register=registrar, probe=probe)
    settings = EdgeSettings(("udp://127.0.0.1:0", "tcp://127.0.0.1:0"), (trunk,))
    edge = Edge(settings, FakeAdmitter(Refuse(486, "Busy Here", cause_text="the test is busy")), **more)
    await edge.start()
    try:
        yield edge
    finally:
        await edge.close()


async def until(what: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not what():
            await asyncio.sleep(0.02)


def state(edge: Edge) -> RegistrationState:
    registration = edge.trunks[0].registration
    assert registration is not None
    return registration.state


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_it_registers_with_a_password_and_deregisters(tmp_path: Path, algorithm: str, transport: str) -> None:
    async with kamailio(tmp_path, algorithm=algorithm) as port, edge_with(port, transport=transport) as edge:
        await until(lambda: state(edge) is RegistrationState.REGISTERED)
        registration = edge.trunks[0].registration
        assert registration is not None
        left = registration.registered_until - asyncio.get_running_loop().time()
        assert 90 < left <= 100
        await edge.end_trunks()
        assert state(edge) is RegistrationState.ENDED
        async with Phone() as phone:
            with pytest.raises(CallFailed) as failed:
                await phone.call(f"sip:{USER}@127.0.0.1:{port}")
        assert failed.value.status == 404  # it does not know us any more


async def test_the_registrar_decides_how_long(tmp_path: Path) -> None:
    async with kamailio(tmp_path) as port, edge_with(port, expiry_s=5) as edge:  # it wants 60 at least: 423 or its own
        await until(lambda: state(edge) is RegistrationState.REGISTERED)
        registration = edge.trunks[0].registration
        assert registration is not None
        assert 55 < registration.registered_until - asyncio.get_running_loop().time() <= 60


async def test_a_wrong_password_is_told_and_not_hammered(tmp_path: Path) -> None:
    async with kamailio(tmp_path) as port, edge_with(port, password="wrong") as edge:
        await until(lambda: state(edge) is RegistrationState.WAITING)
        registration = edge.trunks[0].registration
        assert registration is not None
        assert "the credentials were refused" in registration.reason
        assert registration.next_at - asyncio.get_running_loop().time() > 55


async def test_its_host_is_probed(tmp_path: Path) -> None:
    async with kamailio(tmp_path) as port, edge_with(port) as edge:

        def up() -> bool:
            probes = [place.probe for place in edge.trunks[0].places]
            return any(probe is not None and probe.reachability is Reachability.UP for probe in probes)

        await until(up)
        probe = edge.trunks[0].places[0].probe
        assert probe is not None
        assert probe.status == 200 and probe.round_trip_ms is not None and probe.round_trip_ms < 500


async def test_a_call_from_the_carrier_reaches_us_where_we_have_registered(tmp_path: Path) -> None:
    async with kamailio(tmp_path) as port, edge_with(port) as edge, Phone() as phone:
        await until(lambda: state(edge) is RegistrationState.REGISTERED)
        with pytest.raises(CallFailed) as failed:
            await phone.call(f"sip:{USER}@127.0.0.1:{port}")
        assert (failed.value.status, "the test is busy" in failed.value.reason_header) == (486, True)


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
async def test_a_call_of_ours_gives_the_password_and_talks(bench: Bench, tmp_path: Path, algorithm: str) -> None:
    attempts: list[DialAttempted] = []
    async with (
        Phone() as phone,
        kamailio(tmp_path, algorithm=algorithm, phone=phone.address) as port,
        edge_with(port, on_attempt=attempts.append) as edge,
    ):
        await until(lambda: bool(edge.trunk_places("carrier")))
        place = edge.trunk_places("carrier")[0]
        worker = edge.add_worker("w1", "127.0.0.1", bench.endpoint.sip_port)
        uri, caller = f"sip:+15550100@127.0.0.1:{port}", f"sip:{USER}@{REALM}"
        account = Credentials(USER, PASSWORD, REALM)
        edge.allow_dial(Dial("leg-1", worker, "carrier", uri, caller, place.ip, place.port, account=account))
        info, audio = CallInfo("leg-1", Direction.OUTBOUND, "+15550100", "+15550199", "carrier"), Echo()
        taken = Taken(await bench.endpoint.dial("leg-1", info, edge.worker_address, audio), audio)
        async with asyncio.timeout(5):
            call = await phone.incoming()
        assert call.asked is not None and not call.asked.value("proxy-authorization")
        await call.ring()
        await call.answer()
        await taken.seen(LegAnswered)
        await call.hang_up()
        await taken.seen(LegEnded)
    assert [attempt.status for attempt in attempts] == [200]
