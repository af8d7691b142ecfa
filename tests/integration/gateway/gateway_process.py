"""A real gateway in its own process, on free ports, and questions that tests ask of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import psutil
from ruamel.yaml import YAML

from agent.warm.parent import NAME as WARM_PARENT
from tests.free_ports import bindable

HERE = Path(__file__).parent
READY_S = 40.0
T = TypeVar("T")

_rtp_taken: dict[int, int] = {}  # first port -> how many


def free_rtp_range(ports: int) -> str:
    """A part of the UDP ports below the system's own choice, which nobody uses just now. Each lane of pytest-xdist has
    its own, since a gateway binds its ports only when calls come."""
    chooser = random.Random(os.getpid() * 1000 + len(_rtp_taken))
    lanes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    lane = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    a_lane = 22_000 // lanes // 100 * 100
    for _ in range(1000):
        first = 10_000 + lane * a_lane + chooser.randrange(0, a_lane - ports, 100)
        if any(first < other + count and other < first + ports for other, count in _rtp_taken.items()) or not all(
            bindable(port) for port in range(first, first + ports, 17)
        ):
            continue
        _rtp_taken[first] = ports
        return f"{first}-{first + ports - 1}"
    raise RuntimeError("no free range of RTP ports")


async def until(
    condition: Callable[[], T | Awaitable[T]], seconds: float = 10.0, every: float = 0.05, what: str = ""
) -> T:
    """The condition's value once it is true. Raises TimeoutError that says what was waited for."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {what or condition}")
        await asyncio.sleep(every)


def settings_of(folder: Path, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that touch nothing but `folder` and free ports; `changes` replace single groups' keys."""
    settings: dict[str, Any] = {
        "sip": {
            "listen": ["udp://127.0.0.1:0", "tcp://127.0.0.1:0"],
            "public_address": "127.0.0.1",
            "trunks": [{"name": "local", "allow": ["127.0.0.0/8"], "region": "US"}],
            "limits": {
                "invites_per_second": 1000, "invite_burst": 2000,
                "messages_per_second": 100000, "message_burst": 100000,
            },
        },
        "rtp": {"ports": free_rtp_range(200)},
        "http": {"listen": "127.0.0.1:0"},
        "workers": 2,
        "store": f"sqlite:///{folder}/trunkline.db",
        "recordings": str(folder / "recordings"),
        "dialplans": [str(folder / "dialplan.yaml")],
        "speech": {"vad": "silero", "stt": ["instant"], "llm": ["instant"], "tts": ["instant"]},
        "log": {"level": "info", "format": "json"},
    }  # fmt: skip
    for name, value in changes.items():
        if isinstance(value, Mapping) and isinstance(settings.get(name), dict):
            settings[name] = {**settings[name], **value}
        else:
            settings[name] = value
    return settings


class RunningGateway:
    """`trunkline serve` as a child process. Everything it needs is written into `folder`."""

    def __init__(self, folder: Path, *, wrapper: Sequence[str] = (), **changes: Any) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("dialplan.yaml", "enemy_personas.py"):
            if not (folder / name).exists():
                shutil.copy(HERE / name, folder / name)
        self.settings = settings_of(folder, changes)
        self.config = folder / "gateway.yaml"
        with self.config.open("w") as file:
            YAML().dump(self.settings, file)
        self.log_path = folder / "gateway.log"
        self.temporary = Path(tempfile.mkdtemp(prefix="trunkline-test-"))  # short: sockets are made there
        self._wrapper = wrapper
        self._process: subprocess.Popen[bytes] | None = None
        self._seen: dict[int, psutil.Process] = {}
        self.udp = self.tcp = self.tls = 0
        self.http = ""

    # --- life

    def start(self) -> RunningGateway:
        """Returns when the gateway says that it is ready. Raises RuntimeError with its log when it does not."""
        self.launch()
        line = self.read_line(READY_S)
        if not line.startswith("ready: "):
            self.kill()
            raise RuntimeError(f"the gateway did not start: {line!r}\n{self.log_text()[-3000:]}")
        for word in line.replace(",", " ").split():
            scheme, _, rest = word.partition("://")
            if scheme in ("udp", "tcp", "tls"):
                setattr(self, scheme, int(rest.rpartition(":")[2]))
            elif scheme == "http":
                self.http = word.rstrip("/")
        self.note_processes()
        return self

    def launch(self) -> None:
        self.temporary.mkdir(exist_ok=True)
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._wrapper, sys.executable, "-m", "gateway.cli", "serve", "--config", str(self.config)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, cwd=self.folder,
                env={**os.environ, "TMPDIR": str(self.temporary)},
            )  # fmt: skip

    def read_line(self, seconds: float) -> str:
        stdout = self.process.stdout
        assert stdout is not None
        readable, _, _ = select.select([stdout], [], [], seconds)
        return stdout.readline().decode() if readable else ""

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    @property
    def pid(self) -> int:
        return self.process.pid

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def close_terminal(self) -> None:
        """SIGHUP, to all of its processes, as when their terminal is closed."""
        self.note_processes()
        for pid in (*self._seen, self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGHUP)

    async def exited(self, seconds: float = 15.0) -> int:
        return await until(lambda: _exit_code(self.process), seconds, what="exit of the gateway") - 1000

    def stop(self) -> int:
        """Two SIGTERMs, then force. Everything that belonged to it is gone afterwards."""
        if self.process.poll() is None:
            self.note_processes()
            self.terminate()
            try:
                self.process.wait(2)
            except subprocess.TimeoutExpired:
                self.terminate()
            try:
                self.process.wait(12)
            except subprocess.TimeoutExpired:
                pass
        self.kill()
        return self.process.returncode

    def kill(self) -> None:
        self.note_processes()
        for process in (*self._seen.values(),):
            try:
                process.kill()
            except psutil.NoSuchProcess:
                pass
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        shutil.rmtree(self.temporary, ignore_errors=True)
        if self.process.stdout is not None:
            self.process.stdout.close()
        _rtp_taken.pop(int(self.settings["rtp"]["ports"].partition("-")[0]), None)

    # --- its processes

    def note_processes(self) -> None:
        """Remember who belongs to it, so that those who outlive their parent are found again."""
        try:
            for child in psutil.Process(self.pid).children(recursive=True):
                self._seen[child.pid] = child
        except psutil.NoSuchProcess:
            pass
        for pid in self.worker_pids().values():
            if pid not in self._seen and psutil.pid_exists(pid):
                self._seen[pid] = psutil.Process(pid)

    def left_behind(self) -> list[int]:
        """Processes of it that still run (zombies, which their new parent has yet to fetch, don't)."""
        self.note_processes()
        return [process.pid for process in self._seen.values() if _runs(process)]

    @property
    def warm_parent(self) -> int:
        """The present one."""
        children = psutil.Process(self.pid).children()
        (warm,) = [c.pid for c in children if _runs(c) and c.name() == WARM_PARENT]
        return warm

    def worker_pids(self) -> dict[str, int]:
        """name -> pid of all workers that have ever been ready."""
        return {e["worker"]: int(e["pid"]) for e in self.log() if e.get("event") == "worker_ready"}

    # --- what it says

    def log(self) -> list[dict[str, Any]]:
        entries = []
        for line in self.log_text().splitlines():
            try:
                entries.append(json.loads(line))
            except ValueError:
                entries.append({"event": "plain", "text": line})
        return entries

    def log_text(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def complaints(self, *allowed: str) -> list[dict[str, Any]]:
        """Log entries of level error, tracebacks and plain lines, apart from those whose event is allowed."""
        return [
            entry
            for entry in self.log()
            if (entry.get("level") in ("error", "critical") or entry["event"] == "plain")
            and not any(allow in str(entry.get("event")) for allow in allowed)
        ]

    def get(self, path: str) -> Any:
        """JSON of a REST path; Raises urllib.error.HTTPError."""
        with urllib.request.urlopen(self.http + path, timeout=10) as answer:
            return json.load(answer)

    def fetch(self, path: str) -> bytes:
        with urllib.request.urlopen(self.http + path, timeout=10) as answer:
            return bytes(answer.read())

    def health(self) -> tuple[int, dict[str, Any]]:
        try:
            return 200, self.get("/healthz")
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def figures(self) -> dict[str, int]:
        figures: dict[str, int] = self.health()[1]["figures"]
        return figures

    def metrics(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for line in self.fetch("/metrics").decode().splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                found[name] = float(value)
        return found

    def calls(self, **filters: str) -> list[dict[str, Any]]:
        query = "&".join(f"{key}={urllib.request.quote(value)}" for key, value in {"limit": "200", **filters}.items())
        found: list[dict[str, Any]] = self.get(f"/v1/calls?{query}")["calls"]
        return found

    async def record(self, sip_call_id: str, seconds: float = 8.0) -> dict[str, Any]:
        """The one record of an attempt, with its conversation, once it is closed. There must be exactly one."""

        def closed() -> list[dict[str, Any]]:
            found = self.attempts(sip_call_id)
            return found if found and all(one["outcome"] for one in found) else []

        found = await until(closed, seconds, what=f"closed record of {sip_call_id}")
        assert len(found) == 1, found
        detail: dict[str, Any] = self.get(f"/v1/calls/{found[0]['call_id']}")
        return detail

    def attempts(self, sip_call_id: str) -> list[dict[str, Any]]:
        return [call for call in self.calls() if call["sip_call_id"] == sip_call_id]

    async def closed_records(self, caller: str, count: int, seconds: float = 8.0) -> list[dict[str, Any]]:
        """All records of a caller, once there are `count` closed ones."""
        await until(
            lambda: sum(bool(one["outcome"]) for one in self.calls(caller=caller)) >= count,
            seconds,
            what=f"{count} closed records of {caller}; there are {[c['outcome'] for c in self.calls(caller=caller)]}",
        )
        return self.calls(caller=caller)

    async def idle(self, seconds: float = 8.0) -> None:
        """Wait until no call is live. PJSIP may hold slots for another 32 s whose peers have not answered our BYE."""
        await until(lambda: self.figures()["calls_active"] == 0, seconds, what="the end of all calls")

    async def leaves_nothing(self) -> None:
        """No live call, leg, slot or temporary file is left; nor a task of a call, which would keep its slot."""
        await self.idle()
        await self.slots_free(self.figures()["slots"], 40)

        def legs_over() -> bool:
            legs = [leg for call in self.calls() for leg in self.get(f"/v1/calls/{call['call_id']}")["legs"]]
            return all(leg["outcome"] for leg in legs)

        await until(legs_over, 8, what="the end of all legs, on record")
        left = [str(each) for each in self.temporary.rglob("*") if each.is_file()]
        left += [str(each) for each in self.folder.rglob("*") if each.suffix in (".tmp", ".part")]
        assert not left, left

    async def slots_free(self, slots: int, seconds: float = 40.0) -> None:
        """Wait until this many calls can be taken."""
        await until(lambda: self.figures()["slots_free"] >= slots, seconds, what=f"{slots} free slots")

    def uri(self, number: str, transport: str = "udp") -> str:
        port = {"udp": self.udp, "tcp": self.tcp, "tls": self.tls}[transport]
        return f"sip:{number}@127.0.0.1:{port}" + ("" if transport == "udp" else f";transport={transport}")


def _exit_code(process: subprocess.Popen[bytes]) -> int:
    """1000 more than the code, so that 0 counts as an answer; 0: still running."""
    code = process.poll()
    return 0 if code is None else 1000 + code


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
