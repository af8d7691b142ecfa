"""The programs loaded by these tests' warm parents. Forks follow commands over their channel, one word at a time."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.warm.parent import LoadFailed

loaded: list[int] = []  # processes that have loaded
before: list[int] = []  # processes that a test has put here before a fork


@dataclass(frozen=True)
class Obedient:
    fails: str = ""

    def load(self) -> None:
        if self.fails == "as it says":
            raise LoadFailed("there is no such persona")
        if self.fails:
            raise RuntimeError(self.fails)
        loaded.append(os.getpid())

    def run(self, channel: socket.socket, name: str, details: Mapping[str, Any]) -> int:
        while True:
            word = channel.recv(100).decode()
            if word == "tell":
                channel.sendall(json.dumps(self._facts(name, details)).encode())
            elif word == "raise":
                raise RuntimeError("as told")
            elif word == "abort":
                os.kill(os.getpid(), signal.SIGKILL)
            else:
                return int(word or 0)

    def _facts(self, name: str, details: Mapping[str, Any]) -> dict[str, Any]:
        handles = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        return {
            "pid": os.getpid(),
            "parent": os.getppid(),
            "name": name,
            "details": details,
            "loaded": loaded,
            "before": before,
            "sockets": sum("socket" in str(handle) for handle in handles),
            "comm": Path("/proc/self/comm").read_text().strip(),
        }
