#!/usr/bin/env python3
"""LiveKit on this machine alone: redis-server, LiveKit server and LiveKit SIP on free loopback ports.

    python3 deploy/livekit/stack.py        starts it, prints its addresses and keys, runs until Ctrl-C

Tests use `LiveKitStack` directly: it stops only the processes that it started, and each part can be killed and
restarted on the same ports. Standard library only.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.error import URLError
from urllib.request import urlopen

sys.path.insert(0, str(Path(__file__).resolve().parent))
from build import BuildImpossible, build

__all__ = ["LiveKitStack", "Part", "StackNotUp"]

Part = Literal["redis", "server", "sip"]
_PARTS: tuple[Part, ...] = ("redis", "server", "sip")
_UP_LIMIT_S = 20.0
_STOP_LIMIT_S = 3.0
_HOST = "127.0.0.1"
# LiveKit server reports to Redis every 2 s that it is alive, and counts as alive for 5 s.
_DEAD_SERVER_BELIEVED_S = 6.0
# Below those that Linux uses for outgoing connections (32768-60999, see ip(7)), which may be taken before the part
# listens, or while it is down.
_FIRST_PORT, _LAST_PORT = 32000, 32767
_SIP_RTP_PORTS = 200  # a closed call's port is drained for up to a minute before it is used again


class StackNotUp(Exception):
    """A part did not start or does not answer; the message contains the end of its log."""


@dataclass(slots=True)
class _Ports:
    """Free when they were picked. Kept across restarts, so that clients can reconnect."""

    redis: int = field(default_factory=lambda: _free(socket.SOCK_STREAM))
    http: int = field(default_factory=lambda: _free(socket.SOCK_STREAM))
    rtc_udp: int = field(default_factory=lambda: _free(socket.SOCK_DGRAM))
    rtc_tcp: int = field(default_factory=lambda: _free(socket.SOCK_STREAM))
    sip: int = field(default_factory=lambda: _free(socket.SOCK_DGRAM, socket.SOCK_STREAM))
    sip_health: int = field(default_factory=lambda: _free(socket.SOCK_STREAM))
    sip_rtp: int = field(default_factory=lambda: _free_range(_SIP_RTP_PORTS))


class LiveKitStack:
    """Use as a context manager, or `start` and `stop`. Started parts: `redis`, `server`, `sip`."""

    def __init__(
        self,
        parts: tuple[Part, ...] = _PARTS,
        programs: Path | None = None,
        server_settings: Mapping[str, object] | None = None,
    ) -> None:
        """`programs`: the folder with livekit-server and livekit-sip; None: build them if necessary (see build.py).
        `server_settings`: further settings for LiveKit server."""
        self._wanted = parts
        self._server_settings = dict(server_settings or {})
        self._programs = programs
        self._ports = _Ports()
        self._folder: Path | None = None
        self._running: dict[Part, subprocess.Popen[bytes]] = {}
        self._server_killed_at = float("-inf")
        self.api_key = f"key{secrets.token_hex(6)}"
        self.api_secret = secrets.token_hex(24)

    @property
    def url(self) -> str:
        """LiveKit server's URL, for SDKs."""
        return f"ws://{_HOST}:{self._ports.http}"

    @property
    def http_url(self) -> str:
        """The URL of LiveKit server's API."""
        return f"http://{_HOST}:{self._ports.http}"

    @property
    def sip_address(self) -> tuple[str, int]:
        """LiveKit SIP's address, for UDP and TCP."""
        return _HOST, self._ports.sip

    @property
    def redis_address(self) -> tuple[str, int]:
        return _HOST, self._ports.redis

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that LiveKit's own SDKs and tools read."""
        return {"LIVEKIT_URL": self.url, "LIVEKIT_API_KEY": self.api_key, "LIVEKIT_API_SECRET": self.api_secret}

    def start(self) -> LiveKitStack:
        """Raises StackNotUp; BuildImpossible if something is not installed."""
        if shutil.which("redis-server") is None and "redis" in self._wanted:
            raise BuildImpossible("redis-server is missing: apt-get install redis-server")
        if self._programs is None:
            self._programs = build()
        self._folder = Path(tempfile.mkdtemp(prefix="trunkline-livekit-"))
        try:
            for part in _PARTS:
                if part in self._wanted:
                    self.start_part(part)
        except BaseException:
            self.stop()
            raise
        return self

    def start_part(self, part: Part) -> None:
        """Start or restart it, and wait until it answers."""
        if part in self._running:
            raise StackNotUp(f"{part} is already running")
        assert self._folder is not None and self._programs is not None, "the stack was not started"
        command, answers = {"redis": self._redis, "server": self._server, "sip": self._sip}[part]()
        log = self.log_path(part)
        with log.open("ab") as out:
            # Its own session: Ctrl-C at the terminal reaches only this process, which then stops the parts in order.
            process = subprocess.Popen(  # noqa: S603
                command, stdout=out, stderr=subprocess.STDOUT, cwd=self._folder, start_new_session=True
            )
        self._running[part] = process
        deadline = time.monotonic() + _UP_LIMIT_S
        while not answers():
            if process.poll() is not None or time.monotonic() > deadline:
                end = log.read_text(errors="replace")[-2000:]
                said = f"ended with status {process.poll()}" if process.poll() is not None else "does not answer"
                self.stop_part(part)
                raise StackNotUp(f"{part} {said}; the end of its log:\n{end}")
            time.sleep(0.05)

    def kill_part(self, part: Part) -> None:
        """SIGKILL: a crash."""
        if part == "server":
            self._server_killed_at = time.monotonic()
        elif part == "redis":
            self._server_killed_at = float("-inf")  # everybody who counted on it has forgotten it
        self._end(part, signal.SIGKILL)

    def stop_part(self, part: Part) -> None:
        self._end(part, signal.SIGTERM)

    def stop(self) -> None:
        """Stop everything, in reverse order, and remove the folder. Idempotent."""
        for part in reversed(_PARTS):
            self.stop_part(part)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def pid(self, part: Part) -> int:
        """Raises KeyError if it is not running."""
        return self._running[part].pid

    def runs(self, part: Part) -> bool:
        return part in self._running and self._running[part].poll() is None

    @property
    def dead_server_forgotten(self) -> bool:
        """Wait until a killed server is forgotten: servers that share a Redis distribute rooms, even to a killed one
        until it is missed, and whoever joins such a room waits. So a server restarted at once would not serve all
        rooms."""
        return "redis" not in self._wanted or time.monotonic() - self._server_killed_at > _DEAD_SERVER_BELIEVED_S

    def log_path(self, part: Part) -> Path:
        assert self._folder is not None, "the stack was not started"
        return self._folder / f"{part}.log"

    def __enter__(self) -> LiveKitStack:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _end(self, part: Part, with_signal: signal.Signals) -> None:
        process = self._running.pop(part, None)
        if process is None:
            return
        process.send_signal(with_signal)  # does nothing if it has ended
        try:
            process.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _redis(self) -> tuple[list[str], Callable[[], bool]]:
        port = str(self._ports.redis)
        command = ["redis-server", "--bind", _HOST, "--port", port, "--save", "", "--appendonly", "no"]

        def answers() -> bool:
            try:
                with socket.create_connection((_HOST, self._ports.redis), timeout=0.5) as connection:
                    connection.sendall(b"PING\r\n")
                    return connection.recv(16).startswith(b"+PONG")
            except OSError:
                return False

        return command, answers

    def _server(self) -> tuple[list[str], Callable[[], bool]]:
        assert self._programs is not None
        settings: dict[str, object] = {
            "port": self._ports.http,
            "bind_addresses": [_HOST],
            "keys": {self.api_key: self.api_secret},
            "rtc": {
                "node_ip": _HOST,
                "use_external_ip": False,
                "enable_loopback_candidate": True,
                "udp_port": self._ports.rtc_udp,
                "tcp_port": self._ports.rtc_tcp,
                "stun_servers": [],
            },
            "logging": {"level": "info", "json": True},
            **self._server_settings,
        }
        if "redis" in self._wanted:
            settings["redis"] = {"address": f"{_HOST}:{self._ports.redis}"}
        config = self._configured("server", settings)
        url = f"{self.http_url}/"
        return [str(self._programs / "livekit-server"), "--config", config], lambda: _http_ok(url)

    def _sip(self) -> tuple[list[str], Callable[[], bool]]:
        assert self._programs is not None
        first = self._ports.sip_rtp
        config = self._configured(
            "sip",
            {
                "api_key": self.api_key,
                "api_secret": self.api_secret,
                "ws_url": self.url,
                "redis": {"address": f"{_HOST}:{self._ports.redis}"},
                "sip_port": self._ports.sip,
                "health_port": self._ports.sip_health,
                "rtp_port": f"{first}-{first + _SIP_RTP_PORTS - 1}",
                "nat_1_to_1_ip": _HOST,
                "listen_ip": _HOST,
                # Above this load of the whole machine, which tests and builds cause, it would refuse calls.
                "max_cpu_utilization": 1.0,
                "logging": {"level": "info", "json": True},
            },
        )
        url = f"http://{_HOST}:{self._ports.sip_health}/"
        return [str(self._programs / "livekit-sip"), "--config", config], lambda: _http_ok(url)

    def _configured(self, name: str, settings: Mapping[str, object]) -> str:
        assert self._folder is not None
        path = self._folder / f"{name}.yaml"
        path.touch(mode=0o600)
        path.write_text(json.dumps(settings, indent=1))  # JSON is YAML
        return str(path)


def _http_ok(url: str) -> bool:
    try:
        with urlopen(url, timeout=0.5) as answer:  # noqa: S310 - our own loopback address
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def _free(*kinds: socket.SocketKind) -> int:
    """A port that is free for each kind of socket; never returns one twice."""
    for _ in range(1000):
        port = _FIRST_PORT + secrets.randbelow(_LAST_PORT - _FIRST_PORT + 1)
        if port not in _given and all(_bindable(port, kind) for kind in kinds):
            _given.add(port)
            return port
    raise StackNotUp("no free port found")


def _free_range(count: int) -> int:
    """The first of `count` consecutive free UDP ports."""
    start = 40000 + (os.getpid() * count) % 15000
    candidates: list[int] = [*range(start, 60000 - count, count), *range(40000, start, count)]
    for first in candidates:
        if all(_bindable(port, socket.SOCK_DGRAM) for port in range(first, first + count)):
            return first
    raise StackNotUp(f"no {count} free UDP ports in a row were found")


def _bindable(port: int, kind: socket.SocketKind) -> bool:
    """Whether it is free on all addresses: LiveKit server listens for media on all of them, whatever its settings."""
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True


_given: set[int] = set()


def main() -> int:
    stop: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: stop.append(received))
    stack = LiveKitStack()
    try:
        stack.start()
        for name, value in stack.environment.items():
            print(f"export {name}={value}")
        print(f"# LiveKit SIP: sip:{stack.sip_address[0]}:{stack.sip_address[1]} (UDP, TCP)")
        print("# The settings of a gateway: rooms: livekit; livekit: {url: …, api_key: …, api_secret: {…}}")
        print("# Ctrl-C stops it.", flush=True)
        while not stop:
            time.sleep(0.2)
            for part in _PARTS:
                if not stack.runs(part):
                    print(f"{part} has ended; its log:\n{stack.log_path(part).read_text()[-2000:]}", file=sys.stderr)
                    return 1
    except (BuildImpossible, StackNotUp, subprocess.CalledProcessError) as problem:
        print(problem, file=sys.stderr)
        return 1
    finally:
        stack.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
