"""baresip, a real phone that is not ours: audio in and out over UDP and TCP, in each codec."""

from __future__ import annotations

import asyncio
import io
import socket
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from gateway_process import RunningGateway, free_port, free_rtp_range, until

MODULES = Path("/usr/lib/baresip/modules")
CALLER_HZ = 620.0  # what baresip plays
AGENT_HZ = 440.0  # the instant voice
CALLER_DBFS, AGENT_DBFS = -14.2, -15.3
TOLERANCE_DB = {"PCMU": 1.5, "PCMA": 1.5, "G722": 2.5}
SECONDS = 4.0
Samples = npt.NDArray[np.float64]


def _write_tone(path: Path, seconds: float, rate: int) -> None:
    time = np.arange(int(rate * seconds)) / rate
    samples = (9000 * np.sin(2 * np.pi * CALLER_HZ * time)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())


def _two_free_ports() -> int:
    """The first of two: baresip takes the one above for TLS."""
    while True:
        port = free_port()
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            try:
                sock.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
        return port


def _configure(folder: Path, transport: str, codec: str, user: str, *, encryption: str = "") -> None:
    """`encryption`: baresip's name for a kind of SRTP."""
    folder.mkdir()
    rate = 16000 if codec == "G722" else 8000
    _write_tone(folder / "caller.wav", 30, rate)
    (folder / "config").write_text(
        "\n".join(
            [
                f"sip_listen 127.0.0.1:{_two_free_ports()}",
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
    (folder / "accounts").write_text(
        f"<sip:{user}@127.0.0.1;transport={transport}>;regint=0;audio_codecs={codecs};answermode=manual"
        + (f";mediaenc={encryption}\n" if encryption else "\n")
    )
    (folder / "contacts").write_text("")


@asynccontextmanager
async def _baresip(folder: Path, uri: str) -> AsyncIterator[asyncio.subprocess.Process]:
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            "baresip", "-f", str(folder), "-e", f"/dial {uri}", cwd=folder,
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


def _strength(samples: Samples, rate: int, hertz: float) -> float:
    """Share of the energy that lies within 20 Hz of a frequency."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    frequency = np.fft.rfftfreq(len(samples), 1 / rate)
    return float(spectrum[np.abs(frequency - hertz) < 20].sum() / max(spectrum.sum(), 1e-9))


def _level_dbfs(samples: Samples) -> float:
    return float(20 * np.log10(max(np.sqrt(np.mean((samples / 32768) ** 2)), 1e-9)))


def _read(data: bytes) -> tuple[list[Samples], int]:
    with wave.open(io.BytesIO(data)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(np.float64)
        return [pcm[n :: file.getnchannels()] for n in range(file.getnchannels())], file.getframerate()


@pytest.mark.parametrize(
    ("transport", "codec"), [("udp", "PCMU"), ("tcp", "PCMU"), ("udp", "PCMA"), ("udp", "G722"), ("tcp", "G722")]
)
async def test_a_call_with_audio_both_ways(
    gateway: RunningGateway, tmp_path: Path, transport: str, codec: str, caller: str
) -> None:
    folder = tmp_path / "baresip"
    _configure(folder, transport, codec, caller)
    async with _baresip(folder, gateway.uri("+15550101", transport)) as process:

        def up() -> bool:
            assert process.returncode is None, (folder / "log").read_text(errors="replace")[-2000:]
            return any(call["answered_at"] for call in gateway.calls(caller=caller))

        await until(up, 10, what=f"the call\n{(folder / 'log').read_text(errors='replace')[-2000:]}")
        await asyncio.sleep(SECONDS)  # the length of the audio that is looked at
        assert process.stdin is not None
        process.stdin.write(b"b")  # hang up
        await process.stdin.drain()
        await until(lambda: gateway.calls(caller=caller)[0]["outcome"], 5, what="the end of the call")
        process.stdin.write(b"q")
        await process.stdin.drain()
        await asyncio.wait_for(process.wait(), 5)
    (record,) = gateway.calls(caller=caller)
    assert (record["outcome"], record["ended_by"]) == ("answered", "caller")
    media = record["media"]
    assert media["codec"] == codec
    assert media["packets_received"] > 40 * SECONDS and media["packets_lost"] == 0
    assert media["packets_sent"] > 40 * SECONDS

    (left, right), rate = _read(gateway.fetch(f"/v1/calls/{record['call_id']}/recording"))
    middle = slice(rate, int(rate * 3))
    assert _strength(left[middle], rate, CALLER_HZ) > 0.9
    assert _level_dbfs(left[middle]) == pytest.approx(CALLER_DBFS, abs=TOLERANCE_DB[codec])
    assert _strength(right[middle], rate, AGENT_HZ) > 0.9
    assert _level_dbfs(right[middle]) == pytest.approx(AGENT_DBFS, abs=1)

    (written,) = folder.glob("dump-*-dec.wav")
    (heard, *_), heard_rate = _read(written.read_bytes())
    assert len(heard) > heard_rate * (SECONDS - 1)
    middle = slice(heard_rate, int(heard_rate * 3))
    assert _strength(heard[middle], heard_rate, AGENT_HZ) > 0.9
    assert _level_dbfs(heard[middle]) == pytest.approx(AGENT_DBFS, abs=TOLERANCE_DB[codec])


@pytest.mark.parametrize("encryption", ["srtp-mand", "srtp-mandf"])
async def test_an_encrypted_call_with_keys(
    gateway: RunningGateway, tmp_path: Path, encryption: str, caller: str
) -> None:
    """SRTP with SDES: PJSIP alone can read what comes, key presses among it."""
    folder = tmp_path / "baresip"
    _configure(folder, "udp", "PCMU", caller, encryption=encryption)
    async with _baresip(folder, gateway.uri("+15550104")) as process:
        assert process.stdin is not None
        await until(lambda: any(call["answered_at"] for call in gateway.calls(caller=caller)), 10, what="the call")
        await asyncio.sleep(2)  # of the caller's tone
        for key in b"1 2 3":
            if key != 32:
                process.stdin.write(bytes([key]))
                await process.stdin.drain()
            await asyncio.sleep(0.3)
        await asyncio.sleep(4)  # for the answer to the keys, and for RTCP, which baresip sends every 5 s
        process.stdin.write(b"b")
        await process.stdin.drain()
        await until(lambda: gateway.calls(caller=caller)[0]["outcome"], 5, what="the end of the call")
        process.stdin.write(b"q")
        await process.stdin.drain()
        await asyncio.wait_for(process.wait(), 5)
    (found,) = gateway.calls(caller=caller)
    record = await gateway.record(found["sip_call_id"])
    media = record["media"]
    log = (folder / "log").read_text(errors="replace")
    assert media["packets_received"] > 150 and media["packets_lost"] == 0 and media["packets_sent"] > 150, log[-3000:]
    assert media["packets_rtcp"] > 0  # the only sign of life of a phone that suppresses silence
    assert [event["digit"] for event in record["events"] if event["type"] == "digit_received"] == ["1", "2", "3"]
    (left, _), rate = _read(gateway.fetch(f"/v1/calls/{record['call_id']}/recording"))
    assert _strength(left[rate : 2 * rate], rate, CALLER_HZ) > 0.9
    (written,) = folder.glob("dump-*-dec.wav")
    (heard, *_), heard_rate = _read(written.read_bytes())
    assert max(_level_dbfs(heard[at : at + heard_rate]) for at in range(0, len(heard), heard_rate)) > -35
