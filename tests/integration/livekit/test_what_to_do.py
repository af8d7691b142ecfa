"""Problems with keys, addresses, tokens and clocks are explained with what to do, based on a real LiveKit server's
answers. Wrong keys are tested next to the parts that use them; test_livekit_calls has the message to callers whom
nobody serves."""

from __future__ import annotations

import asyncio
import re
import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from gateway_process import RunningGateway
from rooms import a_room, access_of, until
from test_livekit_calls import NUMBER, livekit_settings
from worker_process import RunningWorker

from agent.worker.tokens import renewed_job_token
from telephony.livekit.access import join_token
from telephony.livekit.api import LiveKitApi
from telephony.livekit.connection import Disconnected
from telephony.livekit.errors import LiveKitRefused
from telephony.livekit.events import Reconnected
from telephony.livekit.room import LiveKitRoom
from telephony.phone import CallFailed, Phone

HOUR_S = 3600


@dataclass(frozen=True)
class Elsewhere:
    """The stack by another address."""

    url: str
    api_key: str
    api_secret: str


@pytest.fixture
def wrong_path(livekit_stack: Any) -> Elsewhere:
    return Elsewhere(f"{livekit_stack.url}/livekit", livekit_stack.api_key, livekit_stack.api_secret)


@pytest.fixture(scope="module")
def an_hour_ahead(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """A command that runs programs on a clock that is wrong."""
    library = tmp_path_factory.mktemp("clock") / "shifted_clock.so"
    source = Path(__file__).with_name("shifted_clock.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    return ("env", f"LD_PRELOAD={library}", f"CLOCK_SHIFT_S={HOUR_S}")


@pytest.fixture
def a_worker(tmp_path: Path) -> Iterator[Callable[..., RunningWorker]]:
    started: list[RunningWorker] = []

    def start(stack: Any, wrapper: tuple[str, ...] = ()) -> RunningWorker:
        worker = RunningWorker(tmp_path / "worker", stack, agent_name=f"agent-{uuid.uuid4().hex[:6]}")
        worker.wrapper = wrapper
        started.append(worker)
        worker.launch()
        return worker

    yield start
    for worker in started:
        worker.stop()


@pytest.fixture
def a_gateway(tmp_path: Path) -> Iterator[Callable[..., RunningGateway]]:
    started: list[RunningGateway] = []

    def start(stack: Any, wrapper: tuple[str, ...] = ()) -> RunningGateway:
        settings = livekit_settings(tmp_path / "gateway", stack)
        started.append(RunningGateway(tmp_path / "gateway", wrapper=wrapper, workers=1, **settings))
        return started[-1].start()

    yield start
    for gateway in started:
        gateway.stop()


async def refused(gateway: RunningGateway, caller: str) -> str:
    """The reason on record of a call that is refused so that its trunk tries elsewhere."""
    async with Phone() as phone:
        with pytest.raises(CallFailed, match="503"):
            await phone.call(gateway.uri(NUMBER), caller=caller)
    (record,) = await gateway.closed_records(caller, 1)
    assert record["outcome"] == "failed"
    return str(record["end_reason"])


async def test_a_worker_with_the_wrong_path_says_what_the_url_is_to_be(wrong_path: Elsewhere, a_worker: Any) -> None:
    worker = a_worker(wrong_path)
    assert await worker.exited(20) == 2
    last = worker.log().splitlines()[-1]
    assert "/livekit is not a LiveKit server" in last and "livekit.url must be the server's address itself" in last


async def test_a_gateway_with_the_wrong_path_says_what_the_url_is_to_be(
    wrong_path: Elsewhere, a_gateway: Any, caller: str
) -> None:
    gateway = a_gateway(wrong_path)
    assert any("livekit.url must be the server's own address" in each for each in gateway.health()[1]["warnings"])
    assert "check the URL's path" in await refused(gateway, caller)


async def test_a_worker_whose_clock_is_wrong_says_by_how_much_and_goes_on_trying(
    livekit_stack: Any, a_worker: Any, an_hour_ahead: tuple[str, ...]
) -> None:
    worker = a_worker(livekit_stack, an_hour_ahead)
    await until(lambda: "clock is" in worker.log(), 15, "a message")
    status, health = worker.health()
    assert status == 503
    assert re.search(r"clock is 360\d s ahead of the server's: set the clocks by NTP", health["reason"])
    assert worker.process.poll() is None


async def test_a_gateway_whose_clock_is_wrong_says_so(
    livekit_stack: Any, a_gateway: Any, an_hour_ahead: tuple[str, ...], caller: str
) -> None:
    gateway = a_gateway(livekit_stack, an_hour_ahead)
    (warning,) = [each for each in gateway.health()[1]["warnings"] if "clock" in each]
    assert re.search(
        r"clock is 360\d s ahead of the server's, so tokens are refused: synchronise both with NTP", warning
    )
    reason = await refused(gateway, caller)
    assert "the token is not valid yet" in reason and "NTP" in reason


async def test_an_expired_token_says_that_clocks_may_differ(livekit_stack: Any) -> None:
    access = access_of(livekit_stack)
    token = join_token(access, "late", "sip_1", ttl_s=-HOUR_S)
    room = LiveKitRoom(access.url, lambda: token, name="late", identity="sip_1")
    with pytest.raises(LiveKitRefused, match=r"the token has expired; check that .* clocks agree \(NTP\)") as told:
        await room.join()
    assert "eyJ" not in str(told.value)
    await room.close()


async def test_a_job_whose_token_has_expired_rejoins_with_a_new_one(livekit_stack: Any) -> None:
    """A job may last for hours; LiveKit's token for it does not."""
    access = access_of(livekit_stack)
    expired = join_token(access, "long", "agent-1", kind="agent", ttl_s=-HOUR_S)
    given = [join_token(access, "long", "agent-1", kind="agent")]
    room = LiveKitRoom(
        access.url,
        lambda: given.pop() if given else renewed_job_token(expired, access.api_key, access.api_secret),
        name="long",
        identity="agent-1",
    )
    events: list[Any] = []
    room.subscribe(events.append)
    await room.join()
    room.happened(Disconnected(asyncio.get_running_loop().time(), "signal_close"))  # as when the SDK has given up
    await until(lambda: any(isinstance(each, Reconnected) and each.rejoined for each in events), 5, "the rejoining")
    assert not given and room.live
    await room.close()


async def test_the_api_knows_the_wrong_path(wrong_path: Elsewhere) -> None:
    api = LiveKitApi(access_of(wrong_path))
    with pytest.raises(LiveKitRefused, match="url must be the server's own address"):
        await api.check()
    await api.close()
    room = a_room(access_of(wrong_path), "x", "sip_1")
    with pytest.raises(LiveKitRefused, match="check the URL's path"):
        await room.join()
    await room.close()
