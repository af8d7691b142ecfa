"""baresip, a third-party phone: audio in and out over UDP and TCP, in each codec."""

from __future__ import annotations

import asyncio
import io
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from baresip_phone import CALLER_HZ, baresip, configure
from gateway_process import RunningGateway, until

AGENT_HZ = 440.0  # the instant voice
CALLER_DBFS, AGENT_DBFS = -14.2, -15.3
TOLERANCE_DB = {"PCMU": 1.5, "PCMA": 1.5, "G722": 2.5}
SECONDS = 4.0
Samples = npt.NDArray[np.float64]


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


async def _answered(gateway: RunningGateway, process: asyncio.subprocess.Process, folder: Path, caller: str) -> None:
    """Until the call is answered; what both sides say of it, if it is not."""
    try:
        await until(lambda: any(call["answered_at"] for call in gateway.calls(caller=caller)), 10)
    except TimeoutError:
        said = (folder / "log").read_text(errors="replace")
        records = gateway.calls(caller=caller)
        raise AssertionError(
            f"not answered. baresip (exit {process.returncode}):\n{said[-3000:]}\nrecords: {records}\n"
            f"gateway:\n{gateway.log_text()[-3000:]}"
        ) from None


@pytest.mark.parametrize(
    ("transport", "codec"), [("udp", "PCMU"), ("tcp", "PCMU"), ("udp", "PCMA"), ("udp", "G722"), ("tcp", "G722")]
)
async def test_a_call_with_audio_both_ways(
    gateway: RunningGateway, tmp_path: Path, transport: str, codec: str, caller: str
) -> None:
    folder = tmp_path / "baresip"
    configure(folder, transport, codec, caller)
    async with baresip(folder, gateway.uri("+15550101", transport)) as process:
        await _answered(gateway, process, folder, caller)
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
    """SRTP with SDES: only PJSIP can read what arrives, including key presses."""
    folder = tmp_path / "baresip"
    configure(folder, "udp", "PCMU", caller, encryption=encryption)
    async with baresip(folder, gateway.uri("+15550104")) as process:
        assert process.stdin is not None
        await _answered(gateway, process, folder, caller)
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
