"""The real sipp as caller and as worker, and sockets to speak SIP by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from telephony.edge import (
    Edge,
    EdgeLimits,
    EdgeSettings,
    Forward,
    InviteInfo,
    Refuse,
    RefusedInvite,
    TlsServer,
    Trunk,
    WorkerAddress,
)
from telephony.edge.fakes import FakeAdmitter
from tests.free_ports import free_port

SCENARIOS = Path(__file__).parent


class Running:
    """An edge on free ports, with everything it reported."""

    def __init__(self, edge: Edge, admitter: FakeAdmitter) -> None:
        self.edge = edge
        self.admitter = admitter
        self.refused: list[RefusedInvite] = []
        self.ended: list[str] = []
        self.cancelled: list[str] = []
        self.worker_port = 0

    def port(self, transport: str) -> int:
        return next(address.port for address in self.edge.addresses if address.transport == transport)


@asynccontextmanager
async def running_edge(
    limits: EdgeLimits | None = None,
    allow: tuple[str, ...] = ("127.0.0.0/8",),
    *,
    tls: TlsServer | None = None,
    trunk: Trunk | None = None,
) -> AsyncIterator[Running]:
    """`tls`: listen for it, too. `trunk`: instead of one that is nothing but `allow`."""
    numbers = iter(range(1, 10_000))
    running: Running

    def decide(invite: InviteInfo) -> Forward | Refuse:
        return Forward(WorkerAddress("w1", "127.0.0.1", running.worker_port), f"c{next(numbers)}")

    admitter = FakeAdmitter(decide)
    listen = ("udp://127.0.0.1:0", "tcp://127.0.0.1:0", *(("tls://127.0.0.1:0",) if tls else ()))
    settings = EdgeSettings(listen, (trunk or Trunk("local", allow),), limits=limits or EdgeLimits(), tls=tls)
    edge = Edge(
        settings,
        admitter,
        on_refused=lambda invite: running.refused.append(invite),
        on_dialog_ended=lambda ended: running.ended.append(ended.leg_id),
        on_call_cancelled=lambda call_id: running.cancelled.append(call_id),
    )
    running = Running(edge, admitter)
    await edge.start()
    try:
        yield running
    finally:
        await edge.close()


@asynccontextmanager
async def sipp(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        "sipp",
        *arguments,
        "-i",
        "127.0.0.1",
        "-nostdin",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def worker(running: Running, *scenario: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """sipp -sn uas (or a scenario file) as the worker w1; entered when it answers."""
    port = free_port()
    running.worker_port = port
    async with sipp(*(scenario or ("-sn", "uas")), "-p", str(port)) as process:
        await until(lambda: bound(port))
        running.edge.add_worker("w1", "127.0.0.1", port)
        yield process


def bound(port: int) -> bool:
    """Whether some program holds this UDP port of 127.0.0.1."""
    wanted = f"0100007F:{port:04X}"
    return any(line.split()[1] == wanted for line in Path("/proc/net/udp").read_text().splitlines()[1:])


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
