"""Hundreds of short calls through one gateway: none of them may leave anything behind.

    .venv/bin/python bench/soak.py --config bench/gateway.yaml --number +15550199 --minutes 5
    .venv/bin/python bench/soak.py --target 127.0.0.1:5080 --http http://127.0.0.1:8090 --pid PID ...

With `--hostile` (and bench/hostile.yaml, unless --config says otherwise) bench/hostile.py sends floods, garbage and
stray packets throughout: no call may be lost, and nothing may grow.

Callers keep arriving; they talk, key digits, hang up at once, give up during ringing or say nothing. A row is printed
every half minute: calls so far, slots in use, and the threads, file handles and memory (PSS) of all processes. Exits
with 1 if a call failed, a record is missing, or something has grown.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field

import psutil
from hostile import Dialog, Hostile

from telephony.phone import CallFailed, Phone
from telephony.phone.analysis import packet_counts

SETTLE_S = 3.0  # after the last call, before the last look
WARM_CALLS = 60  # before the first look that counts: by then everything permanent has been created
THREADS_GROWTH = 2  # a process
HANDLES_GROWTH = 4  # a process
MEMORY_GROWTH_MIB = 2.0  # a process, on average, in the second half
SHORT_GROWTH_MIB = 5.0  # the same, in a soak too short to have halves


@dataclass(frozen=True, slots=True)
class Look:
    """One look at all processes of a gateway, by pid."""

    at_s: float
    calls: int
    busy: int
    threads: dict[int, int]
    handles: dict[int, int]
    pss_mib: dict[int, float]

    def row(self) -> str:
        return (
            f"{self.at_s:7.0f} {self.calls:7d} {self.busy:6d} {len(self.threads):10d} {sum(self.threads.values()):8d}"
            f" {sum(self.handles.values()):8d} {sum(self.pss_mib.values()):8.1f}"
        )


HEAD = f"{'seconds':>7} {'calls':>7} {'busy':>6} {'processes':>10} {'threads':>8} {'handles':>8} {'PSS MiB':>8}"


@dataclass
class Soak:
    """`target`, `tcp_target`: host:port of SIP; a quarter of the callers use TCP. `speech`: what they say."""

    target: str
    tcp_target: str  # empty: UDP only
    http: str
    pid: int
    number: str
    speech: bytes
    at_once: int = 8
    chooser: random.Random = field(default_factory=lambda: random.Random(7))
    done: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    setups_ms: list[float] = field(default_factory=list)
    lost_packets: int = 0
    looks: list[Look] = field(default_factory=list)
    hostile: Hostile | None = None
    _began: float = field(default_factory=time.monotonic)
    _warm: asyncio.Event = field(default_factory=asyncio.Event)
    _sip_ids: set[str] = field(default_factory=set)

    @property
    def calls(self) -> int:
        return sum(self.done.values())

    async def run(self, seconds: float, calls: int = 10**9, *, show: bool = False) -> None:
        """Run until `seconds` have passed or `calls` have been made."""
        until = time.monotonic() + seconds
        if show:
            print(HEAD, flush=True)
        if self.hostile is not None:
            self.hostile.start()
        async with Phone() as udp, Phone(transport="tcp") as tcp:
            callers = [
                asyncio.create_task(self._caller(tcp if self.tcp_target and n % 4 == 3 else udp, n, until, calls))
                for n in range(self.at_once)
            ]
            looking = asyncio.create_task(self._look_on(show=show))
            await asyncio.gather(*callers)
            looking.cancel()
        if self.hostile is not None:
            await self.hostile.stop()
        await asyncio.sleep(SETTLE_S)
        self._look(show=show)

    async def _caller(self, phone: Phone, index: int, until: float, calls: int) -> None:
        while time.monotonic() < until and self.calls < calls:
            kind = self.chooser.choices(("talks", "listens", "keys", "at once", "gives up"), (4, 3, 2, 2, 1))[0]
            try:
                await asyncio.wait_for(self._call(phone, kind, index), 30)
            except (CallFailed, TimeoutError) as error:
                way = "TCP" if phone.reliable else "UDP"
                at_s = time.monotonic() - self._began
                self.failures.append(f"{kind} over {way}, caller {index}, at {at_s:.0f} s: {error!r}")
            self.done[kind] += 1
            if self.calls >= WARM_CALLS:
                self._warm.set()
            await asyncio.sleep(self.chooser.uniform(0.0, 0.1))

    async def _call(self, phone: Phone, kind: str, index: int) -> None:
        target = f"{self.tcp_target};transport=tcp" if phone.reliable else self.target
        uri = f"sip:{self.number}@{target}"
        dialed = await phone.dial(uri, caller=f"+1555160{index:04}")
        self._sip_ids.add(dialed.call_id)
        if kind == "gives up":
            await dialed.hang_up()
            return
        await dialed.answered()
        if self.hostile is not None:
            self.hostile.dialogs.append(Dialog(dialed.call_id, dialed.dialog.local, dialed.dialog.remote))
        if dialed.setup_ms is not None:
            self.setups_ms.append(dialed.setup_ms)
        if kind == "talks":
            await dialed.play(self.speech).done
            await asyncio.sleep(self.chooser.uniform(0.8, 1.5))
        elif kind == "listens":
            await asyncio.sleep(self.chooser.uniform(0.5, 2.5))
        elif kind == "keys":
            await dialed.send_digits("123#")
        if dialed.ended.done():
            raise CallFailed(0, "the gateway ended the call")
        await dialed.hang_up()
        self.lost_packets += packet_counts(dialed.received).lost

    # --- looking at the gateway

    async def _look_on(self, *, show: bool) -> None:
        await self._warm.wait()
        while True:
            self._look(show=show)
            await asyncio.sleep(30)

    def _look(self, *, show: bool) -> None:
        threads: dict[int, int] = {}
        handles: dict[int, int] = {}
        memory: dict[int, float] = {}
        root = psutil.Process(self.pid)
        for process in [root, *root.children(recursive=True)]:
            with process.oneshot():
                threads[process.pid] = process.num_threads()
                handles[process.pid] = process.num_fds()
                memory[process.pid] = process.memory_full_info().pss / 2**20
        health = self._get("/healthz")
        look = Look(
            time.monotonic() - self._began, self.calls, health["figures"]["calls_active"], threads, handles, memory
        )
        self.looks.append(look)
        if show:
            print(look.row(), flush=True)

    def _get(self, path: str) -> dict[str, dict[str, int]]:
        with urllib.request.urlopen(self.http + path, timeout=10) as answer:
            found: dict[str, dict[str, int]] = json.load(answer)
            return found

    def recorded(self) -> Counter[str]:
        """Our calls' outcomes, page by page."""
        outcomes: Counter[str] = Counter()
        missing = set(self._sip_ids)
        cursor = ""
        while missing:
            with urllib.request.urlopen(f"{self.http}/v1/calls?limit=200{cursor}", timeout=10) as answer:
                page = json.load(answer)
            for call in page["calls"]:
                if call["sip_call_id"] in missing:
                    missing.discard(call["sip_call_id"])
                    outcomes[str(call["outcome"])] += 1
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        outcomes["missing"] = len(missing)
        return outcomes

    def complaints(self) -> list[str]:
        """The problems; empty if there are none."""
        found = [f"{len(self.failures)} calls failed: {sorted(set(self.failures))[:5]}"] if self.failures else []
        first, last = self.looks[0], self.looks[-1]
        if last.busy:
            found.append(f"{last.busy} slots are still taken")
        if set(first.threads) != set(last.threads):
            found.append("a process has started or ended")
        shared = [pid for pid in first.threads if pid in last.threads]
        for name, limit, before, after in (
            ("threads", THREADS_GROWTH, first.threads, last.threads),
            ("file handles", HANDLES_GROWTH, first.handles, last.handles),
        ):
            grown = {pid: after[pid] - before[pid] for pid in shared if after[pid] - before[pid] > limit}
            if grown:
                found.append(f"{name} have grown: {grown} by pid")
        long = len(self.looks) >= 6
        middle = self.looks[len(self.looks) // 2] if long else first
        growth = statistics.mean(last.pss_mib[pid] - middle.pss_mib[pid] for pid in shared)
        if growth > (MEMORY_GROWTH_MIB if long else SHORT_GROWTH_MIB):
            found.append(f"memory has grown by {growth:.1f} MiB a process")
        outcomes = self.recorded()
        if outcomes["missing"] or outcomes["None"]:
            found.append(f"records are missing or open: {dict(outcomes)}")
        if set(outcomes) - {"answered", "cancelled", "missing", "None"}:
            found.append(f"unexpected outcomes: {dict(outcomes)}")
        return found

    def summary(self) -> str:
        setups = sorted(self.setups_ms)
        first, last = self.looks[0], self.looks[-1]
        return (
            f"{self.calls} calls: {dict(self.done)}; records: {dict(self.recorded())}\n"
            f"INVITE -> 200: median {statistics.median(setups):.0f} ms, p95 {setups[int(len(setups) * 0.95)]:.0f} ms, "
            f"max {setups[-1]:.0f} ms; packets lost: {self.lost_packets}\n"
            f"from call {first.calls} to the end: "
            f"threads {sum(first.threads.values())} -> {sum(last.threads.values())}, "
            f"file handles {sum(first.handles.values())} -> {sum(last.handles.values())}, "
            f"PSS {sum(first.pss_mib.values()):.1f} -> {sum(last.pss_mib.values()):.1f} MiB"
        )


async def _speech() -> bytes:
    from agent.clock import ThreadOffload
    from agent.providers.espeak import EspeakTTS

    tts = EspeakTTS(ThreadOffload())
    text = "I would like an appointment"
    return b"".join([audio.pcm async for audio in tts.synthesize(text, voice="en-us", language="en")])


def _settings(args: argparse.Namespace) -> str:
    return "bench/hostile.yaml" if args.hostile else "bench/gateway.yaml"


async def _main(args: argparse.Namespace) -> int:
    gateway = None
    if args.target is None:
        gateway = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway.cli", "serve", "--config", args.config or _settings(args),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert gateway.stdout is not None
        words = (await gateway.stdout.readline()).decode().replace(",", " ").split()
        target = next(word.removeprefix("udp://") for word in words if word.startswith("udp://"))
        tcp = next((word.removeprefix("tcp://") for word in words if word.startswith("tcp://")), "")
        http = next(word for word in words if word.startswith("http://"))
        pid = gateway.pid
    else:
        target, tcp, http, pid = args.target, args.tcp_target, args.http, args.pid
    try:
        soak = Soak(target, tcp, http.rstrip("/"), pid, args.number, await _speech(), args.at_once)
        if args.hostile:
            soak.hostile = Hostile(target, tcp, http.rstrip("/"), pid)
        await soak.run(args.minutes * 60, show=True)
        print(soak.summary())
        if soak.hostile is not None:
            print(soak.hostile.summary())
        complaints = soak.complaints()
        for complaint in complaints:
            print(complaint, file=sys.stderr)
        return 1 if complaints else 0
    finally:
        if gateway is not None:
            gateway.terminate()
            await gateway.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", help="settings of the gateway to start (default: bench/gateway.yaml)")
    parser.add_argument("--hostile", action="store_true", help="with hostile traffic (default: bench/hostile.yaml)")
    parser.add_argument("--target", help="HOST:PORT of a running gateway (see --http and --pid)")
    parser.add_argument(
        "--tcp-target", default="", metavar="HOST:PORT", help="the same for TCP, if it accepts calls there"
    )
    parser.add_argument("--http", default="http://127.0.0.1:8090")
    parser.add_argument("--pid", type=int)
    parser.add_argument("--number", default="+15550199")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--at-once", type=int, default=8, help="callers at the same time")
    sys.exit(asyncio.run(_main(parser.parse_args())))
