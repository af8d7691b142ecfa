"""The four compared ways from a phone to an agent. Each is started alone and leaves nothing behind.

Which process counts as what: `agent` runs the conversations, `gateway` is Trunkline's SIP side with its call workers,
`sip` is LiveKit SIP (with Redis, which it and the server need), `server` is LiveKit server.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ruamel.yaml import YAML

from bench.livekit_stack.peer import PROGRAM, peer_python
from bench.livekit_stack.programs import Program

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["NUMBER", "SETUPS", "Group", "Setup", "Started", "livekit_stack_class"]

ROOT = Path(__file__).resolve().parents[2]
NUMBER = "+15550199"
Group = Literal["agent", "gateway", "server", "sip"]


@dataclass(frozen=True, slots=True)
class Started:
    """`target`: host:port for SIP. `pids`: the roots of its process trees. `tidy` ends whatever calls have left
    behind."""

    target: str
    pids: Mapping[Group, tuple[int, ...]]
    tidy: Callable[[], Any] | None = None


@dataclass(frozen=True, slots=True)
class Setup:
    key: str
    title: str
    start: Callable[[Path], AbstractAsyncContextManager[Started]]


def livekit_stack_class() -> Any:
    """`LiveKitStack` of deploy/livekit/stack.py; deploy/ is not a package."""
    name = "livekit_stack_of_deploy"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / "deploy" / "livekit" / "stack.py")
        assert spec is not None and spec.loader is not None
        module: ModuleType = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name].LiveKitStack


@asynccontextmanager
async def _peer(folder: Path) -> AsyncIterator[Started]:
    with ExitStack() as ending:
        stack = ending.enter_context(livekit_stack_class()())
        environment = {**os.environ, **stack.environment, "AGENT_NAME": "peer"}
        agent = Program([peer_python(), PROGRAM, "start"], folder / "agent.log", environment, folder)
        ending.callback(agent.stop)
        agent.until(lambda: "registered worker" in agent.log)
        await _route_sip(stack, "peer")
        yield _with_livekit_sip(stack, agent)


@asynccontextmanager
async def _livekit_sip(folder: Path) -> AsyncIterator[Started]:
    with ExitStack() as ending:
        stack = ending.enter_context(livekit_stack_class()())
        worker = _worker(_settings(folder, stack), folder)
        ending.callback(worker.stop)
        await _route_sip(stack, "trunkline")
        yield _with_livekit_sip(stack, worker)


@asynccontextmanager
async def _livekit_rooms(folder: Path) -> AsyncIterator[Started]:
    with ExitStack() as ending:
        stack = ending.enter_context(livekit_stack_class()(parts=("server",)))
        gateway, target = _gateway(_settings(folder, stack, in_gateway=True, rooms="livekit"), folder)
        ending.callback(gateway.stop)
        yield Started(target, {"gateway": (gateway.pid,), "server": (stack.pid("server"),)}, lambda: _end_rooms(stack))


@asynccontextmanager
async def _local(folder: Path) -> AsyncIterator[Started]:
    gateway, target = _gateway(_settings(folder), folder)
    try:
        yield Started(target, {"agent": (gateway.pid,)})  # SIP, room and agent of a call are one process
    finally:
        gateway.stop()


SETUPS = (
    Setup("a", "LiveKit SIP + livekit-agents", _peer),
    Setup("b", "LiveKit SIP + Trunkline's worker", _livekit_sip),
    Setup("c", "Trunkline's trunk + LiveKit room + Trunkline's worker", _livekit_rooms),
    Setup("d", "Trunkline, all local", _local),
)


def _settings(folder: Path, stack: Any = None, *, in_gateway: bool = False, **more: Any) -> Path:
    """bench/gateway.yaml with our own ports and files, and LiveKit if there is one."""
    with (ROOT / "bench" / "gateway.yaml").open() as file:
        settings = YAML(typ="safe").load(file)
    settings["sip"]["listen"] = ["udp://127.0.0.1:0"]
    settings["http"]["listen"] = "127.0.0.1:0"
    settings["store"] = f"sqlite:///{folder}/calls.db"
    settings["recordings"] = str(folder / "recordings")
    settings["dialplans"] = [str(ROOT / "bench" / "bench.yaml")]
    settings["log"] = {"level": "warning", "format": "json"}
    if stack is not None:
        for name in ("api_key", "api_secret"):
            path = folder / name
            path.touch(mode=0o600)
            path.write_text(getattr(stack, name))
        settings["livekit"] = {
            "url": stack.url,
            "api_key": {"file": str(folder / "api_key")},
            "api_secret": {"file": str(folder / "api_secret")},
            # It takes every call, as capacity is not measured here.
            "worker": {"http": "127.0.0.1:0", "load_threshold": 1.0, "in_gateway": in_gateway},
        }
    config = folder / "settings.yaml"
    with config.open("w") as file:
        YAML().dump({**settings, **more}, file)
    return config


def _trunkline(command: str, config: Path, folder: Path) -> Program:
    words = [sys.executable, "-m", "gateway.cli", command, "--config", config]
    return Program(words, folder / f"{command}.log", os.environ, folder, reads=True)


def _gateway(config: Path, folder: Path) -> tuple[Program, str]:
    gateway = _trunkline("serve", config, folder)
    try:
        words = gateway.line().replace(",", " ").split()
    except BaseException:
        gateway.stop()
        raise
    return gateway, next(word.removeprefix("udp://") for word in words if word.startswith("udp://"))


def _worker(config: Path, folder: Path) -> Program:
    worker = _trunkline("worker", config, folder)
    try:
        url = worker.line().split()[-1]
        worker.until(lambda: _answers(f"{url}/healthz"))
    except BaseException:
        worker.stop()
        raise
    return worker


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _with_livekit_sip(stack: Any, agent: Program) -> Started:
    host, port = stack.sip_address
    pids: dict[Group, tuple[int, ...]] = {
        "agent": (agent.pid,),
        "server": (stack.pid("server"),),
        "sip": (stack.pid("sip"), stack.pid("redis")),
    }
    return Started(f"{host}:{port}", pids, lambda: _end_rooms(stack))


async def _route_sip(stack: Any, agent_name: str) -> None:
    """LiveKit SIP takes our number and sends each call to this agent, in its own room."""
    from telephony.livekit.access import LiveKitAccess
    from telephony.livekit.trunk.desired import Source, desired_objects
    from telephony.livekit.trunk.livekit_sip_api import LiveKitSipApi
    from telephony.livekit.trunk.plan import apply, make_plan

    phones = [Source("local", ("127.0.0.0/8",))]
    desired = desired_objects([NUMBER], [], phones, [], agent_name, stack.api_secret)
    async with LiveKitSipApi(LiveKitAccess(stack.url, stack.api_key, stack.api_secret)) as api:
        await apply(make_plan(desired.objects, await api.objects()), api)


async def _end_rooms(stack: Any) -> None:
    """LiveKit keeps an empty room, and an agent in it, for 20 s or more."""
    from livekit import api

    async with api.LiveKitAPI(stack.http_url, stack.api_key, stack.api_secret) as livekit:
        for room in (await livekit.room.list_rooms(api.ListRoomsRequest())).rooms:
            await livekit.room.delete_room(api.DeleteRoomRequest(room=room.name))
    await asyncio.sleep(1.0)
