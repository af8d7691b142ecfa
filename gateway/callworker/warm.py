"""What the gateway's warm parent loads, and what its forks run."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.config import Settings

__all__ = ["CallWorkers"]


@dataclass(frozen=True, slots=True)
class CallWorkers:
    """Implements `agent.warm.parent.WarmProgram`. The details of a fork: `rtp`, its first and last port."""

    settings: Settings

    def load(self) -> None:
        from gateway.callworker.main import preload  # not in the gateway's process, which only sends this

        preload(self.settings)

    def run(self, channel: socket.socket, name: str, details: Mapping[str, Any]) -> int:
        from gateway.callworker.main import run

        low, high = details["rtp"]
        return run(channel, self.settings, name, (low, high))
