"""The real sipp as caller."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from gateway_process import RunningGateway

SCENARIOS = Path(__file__).parent / "sipp"
TRANSPORTS = {"udp": "u1", "tcp": "t1"}


async def sipp(gateway: RunningGateway, transport: str, scenario: str, *arguments: str, seconds: int = 30) -> None:
    """Run a built-in scenario, or one of ours (`*.xml`), to its end. Raises AssertionError with sipp's own errors."""
    chosen = ("-sf", str(SCENARIOS / scenario)) if scenario.endswith(".xml") else ("-sn", scenario)
    port = gateway.udp if transport == "udp" else gateway.tcp
    with tempfile.TemporaryDirectory() as folder:
        process = await asyncio.create_subprocess_exec(
            "sipp", f"127.0.0.1:{port}", *chosen, "-t", TRANSPORTS[transport], "-i", "127.0.0.1", "-nostdin",
            "-timeout", f"{seconds}s", "-timeout_error", "-trace_err", "-error_file", "errors.log", *arguments,
            cwd=folder, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        errors = Path(folder) / "errors.log"
        assert code == 0, f"sipp {scenario}: {code}\n{errors.read_text()[-3000:] if errors.exists() else ''}"
