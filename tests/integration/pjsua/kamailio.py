"""Kamailio as a carrier: a registrar with digest, and a proxy that asks callers for a password (kamailio.cfg)."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

CONFIG = Path(__file__).with_name("kamailio.cfg")
USER, PASSWORD, REALM = "bob", "zanzibar", "carrier.test"


def free_port() -> int:
    """Free for UDP and TCP."""
    for _ in range(50):
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port: int = tcp.getsockname()[1]
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port")


@asynccontextmanager
async def kamailio(
    folder: Path,
    *,
    algorithm: str = "MD5",
    phone: tuple[str, int] = ("127.0.0.1", 9),
    template: str = "",
) -> AsyncIterator[int]:
    """Yields its port. Calls that it lets through go to the `phone`. `template`: of another configuration."""
    program = shutil.which("kamailio", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    assert program, "Kamailio is missing: apt-get install kamailio"
    port = free_port()
    text = (template or CONFIG.read_text()).replace("PORT", str(port)).replace("ALGORITHM", algorithm)
    config = folder / "kamailio.cfg"
    config.write_text(text.replace("PHONE", f"{phone[0]}:{phone[1]}"))
    with (folder / "kamailio.log").open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            program, "-f", str(config), "-DD", "-E", "-Y", str(folder), "-m", "32", "-M", "4",
            stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    try:
        async with asyncio.timeout(10):
            while not await _listens(port):
                assert process.returncode is None, (folder / "kamailio.log").read_text()
                await asyncio.sleep(0.05)
        yield port
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
