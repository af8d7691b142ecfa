"""Settings, statistics, errors and the storm guard: no PJSIP is started."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import weakref
from dataclasses import replace

import pytest

from telephony.errors import CallLimitReached, MediaPortsExhausted, PjsipError, PortTaken, TelephonyMisuse
from telephony.fakes import statistics
from telephony.pjsua import EndpointSettings, JitterBuffer
from telephony.pjsua._api import Error
from telephony.pjsua.native import check_vector_layout
from telephony.pjsua.owner import OwnerThread
from telephony.pjsua.sockets import ClosingSockets
from telephony.pjsua.statistics import combine
from telephony.pjsua.translate import pjsip_operation, translated


@pytest.mark.parametrize(
    ("ports", "first", "pairs"), [((20000, 20009), 20000, 5), ((20001, 20009), 20002, 4), ((20000, 20001), 20000, 1)]
)
def test_rtp_pairs(ports: tuple[int, int], first: int, pairs: int):
    settings = EndpointSettings(rtp_ports=ports)
    assert (settings.first_rtp, settings.rtp_pairs) == (first, pairs)


@pytest.mark.parametrize(
    "changes",
    [
        {"rtp_ports": (20001, 20002)},
        {"rtp_ports": (20009, 20000)},
        {"rtp_ports": (80, 90)},
        {"codecs": ()},
        {"codecs": ("PCMU", "opus")},
        {"call_limit": 0},
    ],
)
def test_settings_that_contradict_themselves(changes: dict[str, object]):
    with pytest.raises(TelephonyMisuse):
        EndpointSettings(**{"rtp_ports": (20000, 20099), **changes})


def test_a_jitter_buffer_that_contradicts_itself():
    with pytest.raises(TelephonyMisuse):
        JitterBuffer(initial_ms=300)


def test_statistics_add_up_over_streams():
    early = replace(statistics(packets_received=100, packets_sent=90), jitter_ms=2.0, round_trip_ms=30.0)
    late = replace(statistics("PCMA", packets_received=300, packets_sent=310), jitter_ms=6.0, jitter_max_ms=9.0)
    both = combine(early, late)
    assert both is not None
    assert (both.codec, both.packets_received, both.packets_sent) == ("PCMA", 400, 400)
    assert (both.jitter_ms, both.jitter_max_ms, both.round_trip_ms) == (5.0, 9.0, 30.0)
    assert combine(None, late) is late
    assert combine(early, None) is early
    assert combine(statistics(), statistics()) == statistics()


def test_errors_are_told_apart():
    assert isinstance(translated("answer", 70010, "too many"), CallLimitReached)
    assert isinstance(translated("answer", 120098, "in use"), MediaPortsExhausted)
    taken = translated("bind udp://127.0.0.1:5060", 120098, "in use")
    assert isinstance(taken, PortTaken)
    assert taken.where == "udp://127.0.0.1:5060"
    other = translated("ring", 171140, "bad state")
    assert isinstance(other, PjsipError)
    assert (other.operation, other.status) == ("ring", 171140)


class Driven:
    """Something to drive that only waits to be woken."""

    def __init__(self) -> None:
        self.woken = threading.Event()
        self.ran: list[str] = []

    def start(self) -> None:
        self.ran.append("start")

    def poll(self) -> None:
        self.woken.wait(5)
        self.woken.clear()

    def stop(self) -> None:
        self.ran.append("stop")

    def wake(self) -> None:
        self.woken.set()


async def test_commands_run_in_order_on_the_owner_thread_and_errors_come_back_bare():
    driven = Driven()
    owner = OwnerThread(driven)
    await owner.start()

    def fail() -> None:
        with pjsip_operation("ring"):
            raise Error()

    names = await asyncio.gather(*(owner.call(lambda: threading.current_thread().name) for _ in range(3)))
    assert set(names) == {"pjsip"}
    with pytest.raises(PjsipError, match="ring") as failure:
        await owner.call(fail)
    assert (failure.value.__context__, failure.value.__cause__) == (None, None)
    with pytest.raises(PjsipError, match="ZeroDivisionError"):
        await owner.call(lambda: 1 // 0)
    await owner.stop()
    with pytest.raises(PjsipError, match="stopped"):
        await owner.call(fail)
    assert driven.ran == ["start", "stop"]


async def test_what_a_failed_operation_held_goes_at_once_and_not_as_garbage_on_another_thread():
    """PJSIP aborts the process if its objects are destroyed on a thread that it doesn't know."""

    class PjsipObject:
        pass

    held: list[weakref.ref[PjsipObject]] = []

    def fail() -> None:
        thing = PjsipObject()
        held.append(weakref.ref(thing))
        with pjsip_operation("ring"):
            raise Error()

    owner = OwnerThread(Driven())
    await owner.start()
    gc.disable()
    try:
        with pytest.raises(PjsipError):
            await owner.call(fail)
        await owner.call(lambda: None)  # the thread has gone on
        assert held[0]() is None
    finally:
        gc.enable()
        await owner.stop()


async def test_a_failed_start_is_raised():
    driven = Driven()
    driven.start = lambda: (_ for _ in ()).throw(PortTaken("udp://x"))
    with pytest.raises(PortTaken):
        await OwnerThread(driven).start()


def test_this_build_lays_out_vectors_as_we_read_them():
    check_vector_layout()


def test_a_storm_is_held_back_until_handles_are_free():
    now = 100.0
    sockets = ClosingSockets(lambda: now)
    for _ in range(13):
        sockets.closed()
    assert not sockets.too_many()
    now = 100.3
    sockets.closed()
    assert sockets.too_many()
    now = 100.65
    assert not sockets.too_many()


def test_importing_starts_nothing():
    assert "pjsua2" in sys.modules
    from telephony.pjsua.engine import Engine

    assert Engine._last is None or Engine._last() is None
