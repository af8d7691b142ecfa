"""Programs that are measured: started with a log file, waited for, stopped with all their children."""

from __future__ import annotations

import select
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

__all__ = ["NotReady", "Program"]

_STOP_S = 5.0


class NotReady(Exception):
    """A program did not come up; the message has the end of its log."""


class Program:
    """One process and its children. What it says goes to `log`; with `reads`, its standard output to `line`."""

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        environment: Mapping[str, str],
        folder: Path,
        *,
        reads: bool = False,
    ) -> None:
        self._log = log
        with log.open("ab") as file:
            # A session of its own: Ctrl-C reaches the bench, which stops everything in order.
            self._process = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stderr=file, env=dict(environment),
                stdout=subprocess.PIPE if reads else file, cwd=folder, start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def line(self, limit_s: float = 60.0) -> str:
        """The next line of its standard output. Raises NotReady."""
        assert self._process.stdout is not None, "started without `reads`"
        readable, _, _ = select.select([self._process.stdout], [], [], limit_s)
        text = self._process.stdout.readline().decode() if readable else ""
        if not text:
            raise self._not_ready("said nothing")
        return text

    def until(self, ready: Callable[[], bool], limit_s: float = 60.0) -> None:
        """Raises NotReady."""
        deadline = time.monotonic() + limit_s
        while not ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise self._not_ready("did not become ready")
            time.sleep(0.1)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for those of it that are left after 5 s."""
        tree = [self._process.pid]
        try:
            tree += [child.pid for child in psutil.Process(self._process.pid).children(recursive=True)]
        except psutil.NoSuchProcess:
            pass
        alive = [psutil.Process(pid) for pid in tree if psutil.pid_exists(pid)]
        if self._process.poll() is None:
            self._process.terminate()
        _, left = psutil.wait_procs(alive, timeout=_STOP_S)
        for process in left:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                pass
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _not_ready(self, what: str) -> NotReady:
        return NotReady(f"{self._process.args!r} {what}; the end of its log:\n{self.log[-3000:]}")
