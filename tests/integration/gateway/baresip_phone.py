"""baresip, a real phone that is not ours: its settings, and how it is run."""

from __future__ import annotations

import asyncio
import socket
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
from gateway_process import free_rtp_range

from tests.free_ports import bindable, free_port

MODULES = Path("/usr/lib/baresip/modules")
CALLER_HZ = 620.0  # what it plays


def write_tone(path: Path, seconds: float, rate: int) -> None:
    time = np.arange(int(rate * seconds)) / rate
    samples = (9000 * np.sin(2 * np.pi * CALLER_HZ * time)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())


def two_free_ports() -> int:
    """The first of two: baresip takes the one above for TLS."""
    while True:
        port = free_port()
        if bindable(port + 1, socket.SOCK_STREAM):
            return port


def configure(
    folder: Path,
    transport: str,
    codec: str,
    user: str,
    *,
    encryption: str = "",
    certificate: Path | None = None,
    ca: Path | None = None,
    answers: bool = False,
) -> int:
    """`encryption`: baresip's name for a kind of SRTP. `certificate`: a file with its certificate and key, for TLS;
    `ca`: whose certificates it accepts. `answers`: it takes calls by itself. Returns its port; that of TLS is the next
    one."""
    folder.mkdir()
    port = two_free_ports()
    rate = 16000 if codec == "G722" else 8000
    write_tone(folder / "caller.wav", 30, rate)
    (folder / "config").write_text(
        "\n".join(
            [
                f"sip_listen 127.0.0.1:{port}",
                *([f"sip_certificate {certificate}"] if certificate else []),
                *([f"sip_cafile {ca}"] if ca else []),
                "audio_player aubridge,sink",  # plays to nobody; what it is given, sndfile writes down
                f"snd_path {folder}",
                f"audio_source aufile,{folder / 'caller.wav'}",
                "audio_alert aufile,/dev/null",
                "audio_channels 1",
                f"audio_srate {rate}",
                f"rtp_ports {free_rtp_range(100)}",
                "net_interface 127.0.0.1",
                f"module_path {MODULES}",
                "module stdio.so",
                "module g711.so",
                "module g722.so",
                "module srtp.so",
                "module aufile.so",
                "module aubridge.so",
                "module sndfile.so",
                "module_tmp account.so",
                "module_app menu.so",
                "",
            ]
        )
    )
    codecs = {"PCMU": "PCMU/8000/1", "PCMA": "PCMA/8000/1", "G722": "G722/16000/1"}[codec]
    how = f"regint=0;audio_codecs={codecs};answermode={'auto' if answers else 'manual'}"
    how += f";mediaenc={encryption}" if encryption else ""
    (folder / "accounts").write_text(f"<sip:{user}@127.0.0.1;transport={transport}>;{how}\n")
    (folder / "contacts").write_text("")
    return port


@asynccontextmanager
async def baresip(folder: Path, uri: str = "") -> AsyncIterator[asyncio.subprocess.Process]:
    """It calls the `uri`, if one is given."""
    order = ("-e", f"/dial {uri}") if uri else ()
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            "baresip", "-f", str(folder), *order, cwd=folder,
            stdin=asyncio.subprocess.PIPE, stdout=log, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            yield process
        finally:
            if process.returncode is None:
                process.terminate()
                try:
                    await asyncio.wait_for(process.wait(), 5)
                except TimeoutError:
                    process.kill()
                    await process.wait()
