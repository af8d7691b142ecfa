"""Warm transfers, measured from outside: `python bench/transfers.py [--pairs N] [--across]`, from the top of the tree.

It starts a gateway of its own as bench/phones.yaml has it (`--across`: with a slot a worker, so that the two legs of a
call are in different workers), and is caller and human by phones of its own:

- joined: from the end of the summary to the moment when both hear each other,
- cancelled: from the caller's BYE to the human's CANCEL or BYE, while it rings and in consultation,
- mouth to ear between the two, both ways, jitter buffers included,
- CPU of a talking pair of legs: of the call workers, over what it is with none, for `--pairs` pairs at once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import psutil
from ruamel.yaml import YAML

from telephony.media.tones import tone
from telephony.phone import Phone, PhoneCall
from telephony.phone.analysis import on_time_axis, onset_after

HERE = Path(__file__).parent
SUMMARY_HZ, CALLER_HZ, HUMAN_HZ = 660, 700, 900
SUMMARY_S = 1.0
ROUNDS = 5
TALK_S = 20.0
AIMS = {"joined": 100.0, "cancelled": 100.0, "mouth to ear": 90.0, "across workers": 130.0, "CPU of a pair": 2.5}


@dataclass(frozen=True, slots=True)
class Ports:
    sip: int
    http: int
    human: int


@contextlib.asynccontextmanager
async def gateway(ports: Ports, folder: Path, workers: int, *, across: bool) -> AsyncIterator[psutil.Process]:
    settings = YAML(typ="safe").load(HERE / "phones.yaml")
    settings["sip"]["listen"] = [f"udp://127.0.0.1:{ports.sip}"]
    settings["http"]["listen"] = f"127.0.0.1:{ports.http}"
    settings["workers"] = workers
    settings["rtp"] = {"ports": f"20000-{20000 + 2 * workers - 1}" if across else "20000-21999"}
    settings["store"] = f"sqlite:///{folder}/bench.db"
    settings["recordings"] = str(folder / "recordings")
    for name in ("phones_plan.yaml", "bench_personas.py", "bench.py"):
        (folder / name).write_text((HERE / name).read_text().replace("5091", str(ports.human)))
    settings["dialplans"] = [str(folder / "phones_plan.yaml")]
    if across:
        settings["slots_per_worker"] = 1
    with (folder / "bench.yaml").open("w") as file:
        YAML().dump(settings, file)
    with (folder / "gateway.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway.cli", "serve", "--config", str(folder / "bench.yaml"),
            stdout=asyncio.subprocess.PIPE, stderr=log,
        )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            line = await process.stdout.readline()
        if not line.startswith(b"ready"):
            sys.exit(f"the gateway did not start:\n{(folder / 'gateway.log').read_text()[-2000:]}")
        yield psutil.Process(process.pid)
    except BaseException:
        print((folder / "gateway.log").read_text()[-4000:], file=sys.stderr)
        raise
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def joined(caller: Phone, human: Phone, ports: Ports) -> tuple[PhoneCall, PhoneCall]:
    call, answered = await called(caller, human, ports)
    await answered.answer()
    return call, answered


async def called(caller: Phone, human: Phone, ports: Ports) -> tuple[PhoneCall, PhoneCall]:
    await asyncio.sleep(0.5)  # the round before has let its ports go
    call = await caller.call(f"sip:+15550198@127.0.0.1:{ports.sip}")
    await asyncio.sleep(0.3)
    await call.send_digits("1")
    asked = await asyncio.wait_for(human.incoming(), 10)
    await asked.ring()
    return call, asked


def loud_at(call: PhoneCall, hertz: float, start: float, end: float) -> list[float]:
    """When, in 20 ms steps, this tone was what was heard."""
    pcm = on_time_axis(call.received, start, end)
    frames = [pcm[at : at + 320] for at in range(0, len(pcm) - 320, 320)]
    return [start + n * 0.02 for n, frame in enumerate(frames) if any(frame) and _strength(frame, hertz) > 0.9]


def _strength(pcm: bytes, hertz: float) -> float:
    samples = np.frombuffer(pcm, "<i2").astype(np.float64)
    wave = np.exp(-2j * np.pi * hertz * np.arange(len(samples)) / 8000)
    power = float(np.sum(samples**2))
    return float(2 * abs(np.dot(samples, wave)) ** 2 / len(samples) / power) if power else 0.0


async def join_ms(caller: Phone, human: Phone, ports: Ports) -> float:
    """From the end of the summary, as the human hears it, until both hear each other."""
    loop = asyncio.get_running_loop()
    call, answered = await called(caller, human, ports)
    began = loop.time()
    await answered.answer()
    call.play(tone(CALLER_HZ, 4000))
    answered.play(tone(HUMAN_HZ, 4000))
    await asyncio.sleep(SUMMARY_S + 1.5)
    over = loud_at(answered, SUMMARY_HZ, began, loop.time())[-1] + 0.02
    first = [
        loud_at(call, HUMAN_HZ, over - 0.1, loop.time())[0],
        loud_at(answered, CALLER_HZ, over - 0.1, loop.time())[0],
    ]
    await call.hang_up()
    await answered.wait_bye()
    return (max(first) - over) * 1000


async def cancel_ms(caller: Phone, human: Phone, ports: Ports, *, answers: bool) -> float:
    loop = asyncio.get_running_loop()
    call, asked = await called(caller, human, ports)
    if answers:
        await asked.answer()
    await asyncio.sleep(0.4)
    at = loop.time()
    await call.hang_up()
    ended = await asyncio.wait_for(asked.ended, 5)
    return (ended.at - at) * 1000


async def ear_ms(speaker: PhoneCall, listener: PhoneCall, hertz: float) -> float:
    said = speaker.play(tone(hertz, 400))
    await said.done
    await asyncio.sleep(0.3)
    assert said.first_sent_at is not None
    onset = onset_after(listener.received, said.first_sent_at)
    assert onset is not None, "nothing was heard"
    return (onset - said.first_sent_at) * 1000


async def mouth_to_ear(caller: Phone, human: Phone, ports: Ports) -> tuple[float, float]:
    """Medians, there and back."""
    call, answered = await joined(caller, human, ports)
    await asyncio.sleep(SUMMARY_S + 1)
    there, back = [], []
    for _ in range(ROUNDS):
        there.append(await ear_ms(call, answered, CALLER_HZ))
        back.append(await ear_ms(answered, call, HUMAN_HZ))
    await call.hang_up()
    await answered.wait_bye()
    return median(there), median(back)


async def pair_cpu(caller: Phone, human: Phone, ports: Ports, process: psutil.Process, pairs: int) -> float:
    """Percent of a core for each pair, both talking all the time."""
    idle = await _cpu(process, 5.0)
    calls = [await joined(caller, human, ports) for _ in range(pairs)]
    await asyncio.sleep(SUMMARY_S + 1)
    for call, answered in calls:
        call.play(tone(CALLER_HZ, 1000 * (TALK_S + 4)))
        answered.play(tone(HUMAN_HZ, 1000 * (TALK_S + 4)))
    await asyncio.sleep(1)
    busy = await _cpu(process, TALK_S)
    for call, answered in calls:
        await call.hang_up()
        await answered.wait_bye()
    return (busy - idle) / pairs


async def _cpu(process: psutil.Process, seconds: float) -> float:
    tree = [process, *process.children(recursive=True)]
    before = sum(sum(each.cpu_times()[:2]) for each in tree)
    await asyncio.sleep(seconds)
    return (sum(sum(each.cpu_times()[:2]) for each in tree) - before) / seconds * 100


async def measure(ports: Ports, pairs: int, *, across: bool) -> int:
    """The number of aims that are missed."""
    with tempfile.TemporaryDirectory() as folder:
        workers = 2 * pairs if across else 2
        async with (
            gateway(ports, Path(folder), workers, across=across) as process,
            Phone() as caller,
            Phone(port=ports.human) as human,
        ):
            joins = [await join_ms(caller, human, ports) for _ in range(ROUNDS)]
            ringing = [await cancel_ms(caller, human, ports, answers=False) for _ in range(ROUNDS)]
            consulted = [await cancel_ms(caller, human, ports, answers=True) for _ in range(ROUNDS)]
            there, back = await mouth_to_ear(caller, human, ports)
            cpu = await pair_cpu(caller, human, ports, process, pairs)
    ear = "across workers" if across else "mouth to ear"
    rows = [
        ("summary ends -> both hear each other, worst", max(joins), AIMS["joined"], "ms"),
        ("caller's BYE -> human's CANCEL while it rings, worst", max(ringing), AIMS["cancelled"], "ms"),
        ("caller's BYE -> human's BYE in consultation, worst", max(consulted), AIMS["cancelled"], "ms"),
        ("mouth to ear, caller to human, median", there, AIMS[ear], "ms"),
        ("mouth to ear, human to caller, median", back, AIMS[ear], "ms"),
        # With a worker for each leg the clocks of two processes are in it, which legs that share a worker share.
        (
            f"CPU of a talking pair of legs ({pairs} at once)",
            cpu,
            100.0 if across else AIMS["CPU of a pair"],
            "% of a core",
        ),
    ]
    print("legs in different workers" if across else "legs in one worker")
    for name, value, aim, unit in rows:
        print(f"  {name:55} {value:6.1f} {unit} (at most {aim:g})")
    return sum(value > aim for _, value, aim, _ in rows)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python bench/transfers.py", description="Measures warm transfers.")
    parser.add_argument("--pairs", type=int, default=4, help="how many pairs talk at once for the CPU (4)")
    parser.add_argument("--across", action="store_true", help="the legs of a call in different workers")
    parser.add_argument("--first-port", type=int, default=5180, help="of three free ports (5180)")
    asked = parser.parse_args(arguments)
    ports = Ports(asked.first_port, asked.first_port + 1, asked.first_port + 2)
    os.chdir(HERE.parent)
    return min(1, asyncio.run(measure(ports, asked.pairs, across=asked.across)))


if __name__ == "__main__":
    sys.exit(main())
