"""A real `trunkline worker` in its own process, and questions that tests ask of it."""

from __future__ import annotations

import asyncio
import json
import select
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
from ruamel.yaml import YAML

PERSONAS = Path(__file__).with_name("worker_personas.py")
READY_S = 30.0


class RunningWorker:
    """Everything it needs is written into `folder`. `worker` are settings of `livekit.worker`."""

    def __init__(self, folder: Path, stack: Any, *, agent_name: str, secret: str = "", **worker: Any) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "personas.py").write_text(PERSONAS.read_text())
        (folder / "key").write_text(stack.api_key)
        (folder / "secret").write_text(secret or stack.api_secret)
        personas = {"+15550100": "Clinic", "+15550101": "Counting", "+15550102": "Broken", "+15550103": "Panicking"}
        plan = {"region": "US", "numbers": {number: f"personas.{name}" for number, name in personas.items()}}
        settings = {
            "sip": {
                "listen": ["udp://127.0.0.1:0"], "public_address": "127.0.0.1",
                "trunks": [{"name": "local", "allow": ["127.0.0.0/8"]}],
            },
            "http": {"listen": "127.0.0.1:0"},
            "store": f"sqlite:///{folder}/calls.db",
            "recordings": str(folder / "recordings"),
            "dialplans": [str(folder / "plan.yaml")],
            "speech": {"vad": "silero", "stt": ["instant"], "llm": ["instant"], "tts": ["instant"]},
            "log": {"level": "info", "format": "json"},
            "livekit": {
                "url": stack.url,
                "api_key": {"file": str(folder / "key")},
                "api_secret": {"file": str(folder / "secret")},
                "agent_name": agent_name,
                "worker": {"http": "127.0.0.1:0", "load_threshold": 1.0, "idle_processes": 1, **worker},
            },
        }  # fmt: skip
        for name, content in (("plan.yaml", plan), ("worker.yaml", settings)):
            with (folder / name).open("w") as file:
                YAML().dump(content, file)
        self.agent_name = agent_name
        self.plan = folder / "plan.yaml"
        self.log_path = folder / "worker.log"
        self.wrapper: tuple[str, ...] = ()  # a command that the worker is run by
        self.process: subprocess.Popen[bytes] | None = None
        self.http = ""

    def __enter__(self) -> RunningWorker:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> RunningWorker:
        """Returns when it is registered."""
        self.launch()
        deadline = time.monotonic() + READY_S
        while self.health()[0] != 200:
            if time.monotonic() > deadline or self.process is None or self.process.poll() is not None:
                self.stop()
                raise RuntimeError(f"the worker did not register\n{self.log()[-3000:]}")
            time.sleep(0.05)
        return self

    def launch(self) -> None:
        command = [sys.executable, "-m", "gateway.cli", "worker", "--config", str(self.folder / "worker.yaml")]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.wrapper, *command],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, cwd=self.folder,
            )  # fmt: skip
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], READY_S)
        line = self.process.stdout.readline().decode() if readable else ""
        self.http = line.rpartition(" ")[2].strip()

    def get(self, path: str) -> tuple[int, str]:
        """(status, body); status 0: nobody answers."""
        try:
            with urllib.request.urlopen(f"{self.http}{path}", timeout=2) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def health(self) -> tuple[int, Mapping[str, Any]]:
        status, body = self.get("/healthz") if self.http.startswith("http") else (0, "")
        return status, json.loads(body) if body else {}

    def jobs(self) -> Mapping[str, int]:
        """Job -> the id of its process."""
        return self.health()[1].get("jobs", {})

    def metric(self, name: str) -> float:
        """A figure of /metrics by its whole name, labels included."""
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith(f"{name} "):
                return float(line.rpartition(" ")[2])
        raise KeyError(name)

    def close_terminal(self) -> None:
        """SIGHUP, twice, to all of its processes, as when their terminal is closed."""
        assert self.process is not None
        main = psutil.Process(self.process.pid)
        for _ in range(2):
            for process in (*main.children(recursive=True), main):
                process.send_signal(signal.SIGHUP)

    def terminate(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)

    async def exited(self, limit_s: float) -> int:
        assert self.process is not None
        async with asyncio.timeout(limit_s):
            while self.process.poll() is None:
                await asyncio.sleep(0.05)
        return self.process.returncode

    def stop(self) -> None:
        """Two SIGTERMs, then force, for it and all that it started."""
        process = self.process
        if process is None:
            return
        family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        for _ in range(2):
            if process.poll() is None:
                self.terminate()
                try:
                    process.wait(3)
                except subprocess.TimeoutExpired:
                    pass
        for each in family:
            try:
                each.kill()
            except psutil.NoSuchProcess:
                pass
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def records(self) -> list[dict[str, Any]]:
        """Of its store, oldest first."""
        connection = sqlite3.connect(self.folder / "calls.db")
        connection.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in connection.execute("select * from calls order by started_at")]
        finally:
            connection.close()

    def events(self, call_id: str) -> list[dict[str, Any]]:
        connection = sqlite3.connect(self.folder / "calls.db")
        try:
            rows = connection.execute("select event from events where call_id = ? order by id", (call_id,))
            return [json.loads(row[0]) for row in rows]
        finally:
            connection.close()
