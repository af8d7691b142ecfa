"""Kamailio as a carrier: a registrar with digest, and a proxy that asks callers for a password (kamailio.cfg)."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.free_ports import free_port


@dataclass(frozen=True)
class Tls:
    """That it listens for TLS, too, at `port`; with which certificate, and whether it demands one of its clients. It
    needs Debian's kamailio-tls-modules."""

    port: int
    certificate: Path
    key: Path
    ca: Path
    demands: bool = False

    def into(self, config: str, folder: Path) -> str:
        settings = folder / "kamailio-tls.cfg"
        common = f"method = TLSv1.2+\ncertificate = {self.certificate}\nprivate_key = {self.key}\nca_list = {self.ca}\n"
        checks = "verify_certificate = {0}\nrequire_certificate = {0}\n"
        server, client = checks.format("yes" if self.demands else "no"), checks.format("yes")
        settings.write_text(f"[server:default]\n{common}{server}[client:default]\n{common}{client}")
        text = config.replace("SECURE_ADDRESS", f"127.0.0.1:{self.port}").replace("SECURE_SETTINGS", str(settings))
        return text.replace("#!KAMAILIO\n", "#!KAMAILIO\n#!define WITH_TLS\n", 1)


CONFIG = Path(__file__).with_name("kamailio.cfg")
USER, PASSWORD, REALM = "bob", "zanzibar", "carrier.test"


@asynccontextmanager
async def kamailio(
    folder: Path,
    *,
    algorithm: str = "MD5",
    phone: tuple[str, int] = ("127.0.0.1", 9),
    template: str = "",
    tls: Tls | None = None,
) -> AsyncIterator[int]:
    """Yields its port. Calls that it lets through go to the `phone`. `template`: of another configuration."""
    program = shutil.which("kamailio", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    assert program, "Kamailio is missing: apt-get install kamailio"
    port = free_port()
    text = (template or CONFIG.read_text()).replace("PORT", str(port)).replace("ALGORITHM", algorithm)
    config = folder / "kamailio.cfg"
    text = text.replace("PHONE", f"{phone[0]}:{phone[1]}")
    config.write_text(text if tls is None else tls.into(text, folder))
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
