"""Starting, refusing to start, draining, stopping, and being killed: what remains, and what is recorded."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from gateway_process import RunningGateway, until
from raw_sip import raw_sip

from telephony.media.wav import read_channels
from telephony.phone import CallFailed, Phone
from telephony.phone.analysis import loud_spans
from tests.free_ports import free_port

StartGateway = Callable[..., RunningGateway]


def _refuse_to_start(gateway: RunningGateway) -> tuple[int, str]:
    """Exit code and messages; nothing may have been started."""
    gateway.launch()
    seen: set[int] = set()
    deadline = time.monotonic() + 20
    while gateway.process.poll() is None and time.monotonic() < deadline:
        try:
            seen |= {child.pid for child in psutil.Process(gateway.pid).children(recursive=True)}
        except psutil.NoSuchProcess:
            break
        time.sleep(0.01)
    try:
        code = gateway.process.wait(5)
    finally:
        gateway.kill()
    assert not [pid for pid in seen if psutil.pid_exists(pid)], "something was left behind"
    assert "worker_ready" not in gateway.log_text()
    return code, gateway.log_text()


@pytest.mark.parametrize(
    ("file", "old", "new", "line", "words"),
    [
        ("gateway.yaml", "workers: 2", "workers: lots", "gateway.yaml:{line}", "workers"),
        ("gateway.yaml", "workers: 2", "worker: 2", "gateway.yaml:{line}", "worker"),
        ("gateway.yaml", "127.0.0.1:0", "300.0.0.1:0", "gateway.yaml:{line}", "300.0.0.1"),
        ("dialplan.yaml", "enemy_personas.Listener", "enemy_personas.Lisener", "dialplan.yaml:{line}", "Lisener"),
        ("dialplan.yaml", '"+15550101"', "+15550101", "dialplan.yaml:{line}", "quot"),
        ("dialplan.yaml", "region: US", "region: [US", "dialplan.yaml:", ""),
    ],
    ids=["value", "name", "address", "persona", "number", "yaml"],
)
def test_bad_settings_and_dialplans(tmp_path: Path, file: str, old: str, new: str, line: str, words: str) -> None:
    gateway = RunningGateway(tmp_path)
    path = tmp_path / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    number = text[: text.index(old)].count("\n") + 1
    code, said = _refuse_to_start(gateway)
    assert code == 2
    assert line.format(line=number) in said and words in said
    assert "Traceback" not in said
    assert not (tmp_path / "trunkline.db").exists()


def test_a_missing_file_of_settings(tmp_path: Path) -> None:
    gateway = RunningGateway(tmp_path)
    gateway.config.unlink()
    code, said = _refuse_to_start(gateway)
    assert code == 2 and "gateway.yaml" in said and "Traceback" not in said


@pytest.mark.parametrize("taken", ["udp", "tcp", "http"])
def test_a_port_that_is_taken(tmp_path: Path, taken: str) -> None:
    port = free_port(socket.SOCK_DGRAM if taken == "udp" else socket.SOCK_STREAM)
    listen = [f"{name}://127.0.0.1:{port if taken == name else 0}" for name in ("udp", "tcp")]
    http = f"127.0.0.1:{port if taken == 'http' else 0}"
    gateway = RunningGateway(tmp_path, sip={"listen": listen}, http={"listen": http})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if taken == "udp" else socket.SOCK_STREAM) as sock:
        sock.bind(("127.0.0.1", port))
        if taken != "udp":
            sock.listen()
        code, said = _refuse_to_start(gateway)
    assert code == 1
    assert f"127.0.0.1:{port}" in said and "in use" in said
    assert "Traceback" not in said
    assert gateway.start().health()[0] == 200  # and once the port is free, it starts
    assert gateway.stop() == 0


def test_a_store_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    gateway = RunningGateway(tmp_path, store=f"sqlite:///{tmp_path}/file/trunkline.db")
    code, said = _refuse_to_start(gateway)
    assert code == 1
    assert "trunkline.db" in said and "Traceback" not in said


async def test_a_second_gateway_on_the_same_store_leaves_the_first_ones_calls_alone(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    """Other ports, same store: it must not take the first one's live calls for lost."""
    first = start_gateway(workers=1)
    second = RunningGateway(tmp_path / "second", store=first.settings["store"], workers=1)
    async with Phone() as phone:
        call = await phone.call(first.uri("+15550101"), caller="+15552108001")
        await until(lambda: first.attempts(call.call_id))
        code, said = await asyncio.to_thread(_refuse_to_start, second)  # the phone goes on sending meanwhile
        assert code == 1
        assert "trunkline.db" in said and "another gateway" in said
        assert first.attempts(call.call_id)[0]["outcome"] is None
        await call.hang_up()
        record = await first.record(call.call_id)
    assert (record["outcome"], record["ended_by"]) == ("answered", "caller")


@pytest.mark.parametrize("told", ["SIGTERM", "terminal closed"])
async def test_draining(start_gateway: StartGateway, told: str) -> None:
    """No new calls; the live one continues up to the limit, then hears a goodbye; exit 0, nothing left."""
    gateway = start_gateway(workers=2, drain_s=2.0, speech={"tts": ["espeak"]})
    async with Phone() as phone, raw_sip(gateway.udp) as sip:
        call = await phone.call(gateway.uri("+15550102"), caller="+15552106001")
        ends_itself = await phone.call(gateway.uri("+15550102"), caller="+15552106002")
        await until(lambda: len(call.received) > 25)
        gateway.note_processes()
        for _ in range(1 if told == "SIGTERM" else 2):  # a shell sends SIGHUP as well as the system
            gateway.terminate() if told == "SIGTERM" else gateway.close_terminal()
        at = time.monotonic()
        await until(lambda: gateway.health()[0] == 503, 1)
        assert gateway.health()[1]["state"] == "draining"
        with pytest.raises(CallFailed) as refused:
            await phone.call(gateway.uri("+15550101"), caller="+15552106003")
        assert refused.value.status == 503 and refused.value.retry_after
        assert "shutting down" in refused.value.reason_header
        ping = sip.call("ping", "pinger")
        sip.send(ping.request("OPTIONS"))
        assert "draining" in (await sip.expect(503)).headers["reason"]
        await ends_itself.hang_up()
        before = len(call.received)
        await until(lambda: len(call.received) > before + 25)  # it goes on
        assert not call.ended.done()
        ended = await asyncio.wait_for(call.wait_bye(), 14)
        assert ended.at - at >= 2.0
        (goodbye,) = loud_spans(call.received, min_silence_ms=1500)
        assert goodbye[0] - at >= 1.9 and goodbye[1] - goodbye[0] > 1.5
        assert ended.at - goodbye[1] < 1.0  # played out
        assert await gateway.exited(10) == 0
    assert gateway.left_behind() == []
    records = _records(gateway)
    assert records == {
        "+15552106001": ("answered", "agent", "drained"),
        "+15552106002": ("answered", "caller", "Normal call clearing"),
        "+15552106003": ("refused", "system", "Service Unavailable"),
    }
    assert gateway.complaints() == []


def _records(gateway: RunningGateway) -> dict[str, tuple[str, str, str]]:
    """caller -> outcome, who ended it, why; read from the store of a gateway that has gone."""
    with sqlite3.connect(gateway.folder / "trunkline.db") as store:
        rows = store.execute("select caller, outcome, ended_by, end_reason from calls").fetchall()
    assert len(rows) == len({row[0] for row in rows})
    return {row[0]: row[1:] for row in rows}


async def test_a_second_sigterm_ends_at_once(start_gateway: StartGateway) -> None:
    gateway = start_gateway(workers=2, drain_s=600.0)
    async with Phone() as phone:
        calls = [await phone.call(gateway.uri("+15550101"), caller=f"+1555210700{n}") for n in range(3)]
        await until(lambda: all(len(call.received) > 25 for call in calls))
        gateway.note_processes()
        gateway.terminate()
        await until(lambda: gateway.health()[1]["state"] == "draining", 2)
        at = time.monotonic()
        gateway.terminate()
        ended = await asyncio.wait_for(asyncio.gather(*(call.wait_bye() for call in calls)), 5)
        assert {one.by for one in ended} == {"peer"}
        assert await gateway.exited(6) == 0
        assert time.monotonic() - at < 5
    assert gateway.left_behind() == []
    assert {row[:2] for row in _records(gateway).values()} == {("answered", "system")}
    for path in (gateway.folder / "recordings").rglob("*.wav"):
        assert path.stat().st_size > 44 + 16000
    assert gateway.complaints() == []


async def test_sigint_drains_too(start_gateway: StartGateway) -> None:
    """Ctrl-C in a terminal goes to the whole process group: workers must not die of it."""
    gateway = start_gateway(workers=1, drain_s=600.0)
    async with Phone() as phone:
        call = await phone.call(gateway.uri("+15550101"), caller="+15552107100")
        gateway.note_processes()
        for pid in (gateway.warm_parent, *gateway.worker_pids().values(), gateway.pid):
            os.kill(pid, signal.SIGINT)
        await until(lambda: gateway.health()[1]["state"] == "draining", 2)
        before = len(call.received)
        await until(lambda: len(call.received) > before + 50)
        await call.hang_up()
        assert await gateway.exited(10) == 0
    assert gateway.left_behind() == []


async def test_the_gateway_itself_is_killed(start_gateway: StartGateway) -> None:
    """Workers hang up and exit by themselves; the next start closes the open records as gateway_lost."""
    gateway = start_gateway(workers=2)
    async with Phone() as phone:
        calls = [await phone.call(gateway.uri("+15550101"), caller=f"+1555210720{n}") for n in range(2)]
        await until(lambda: all(len(call.received) > 60 for call in calls))
        await until(lambda: all(gateway.attempts(call.call_id) for call in calls))
        gateway.note_processes()
        gateway.process.kill()
        gateway.process.wait()
        # The gateway, through which all SIP goes, is dead: workers tell the phones themselves
        await until(lambda: all(call.ended.done() for call in calls), 3, what="BYE of the workers")
        assert all(call.ended.result().by == "peer" for call in calls)
        await until(lambda: gateway.left_behind() == [], 10, what="workers and warm parent gone")
        for call in calls:
            silent_since = call.received.at[-1]
            assert time.monotonic() - silent_since > 0.0
            call.abandon()
    again = RunningGateway(gateway.folder, workers=1, store=gateway.settings["store"])
    try:
        again.start()
        for call in calls:
            record = await again.record(call.call_id)
            assert (record["outcome"], record["ended_by"]) == ("gateway_lost", "system")
            assert record["answered_at"] and record["ended_at"]
            await until(lambda call=call: again.attempts(call.call_id)[0]["recording"], 10, what="recording adopted")
            record = again.attempts(call.call_id)[0]
            wav = Path(again.settings["recordings"]) / record["recording"]["path"]
            assert len(read_channels(wav)) == 2
            assert record["duration_ms"] >= record["recording"]["duration_ms"] > 1000
        async with Phone() as phone:
            call = await phone.call(again.uri("+15550101"), caller="+15552107300")
            await call.hang_up()
            assert (await again.record(call.call_id))["outcome"] == "answered"
        assert again.stop() == 0
    finally:
        again.kill()


def test_the_command_says_what_is_wrong_with_its_arguments() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli", "serve"], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 2 and "--config" in done.stderr


async def test_a_gateway_under_nohup_outlives_its_terminal(start_gateway: StartGateway) -> None:
    gateway = start_gateway(workers=1, wrapper=("nohup",))
    async with Phone() as phone:
        call = await phone.call(gateway.uri("+15550101"), caller="+15552107101")
        await until(lambda: len(call.received) > 25)
        gateway.close_terminal()
        before = len(call.received)
        await until(lambda: len(call.received) > before + 50)
        assert gateway.health()[0] == 200
        await call.hang_up()
