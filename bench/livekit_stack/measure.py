"""One run: a number of phones at once, and what the processes used meanwhile."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence

import psutil

from bench.livekit_stack.figures import StackFigures
from bench.livekit_stack.setups import NUMBER, Group, Setup, Started
from gateway.bench.caller import Clip, measure_call
from gateway.bench.figures import CallFigures, RunFigures
from gateway.bench.processes import ProcessTree, Usage
from telephony.phone import CallFailed, Phone

__all__ = ["measure", "quiet"]

_WARM_UP_S = 4.0  # after the INVITEs: starting and replacing processes does not count as talk
_TAIL_S = 2.0  # before the end of the shortest call
_QUIET_PERCENT = 6.0
_QUIET_LIMIT_S = 30.0
_OURS: tuple[Group, ...] = ("agent", "gateway")


def _look(started: Started) -> dict[Group, Usage]:
    at = time.monotonic()
    looks: dict[Group, Usage] = {}
    for group, pids in started.pids.items():
        of_group = [ProcessTree(pid).usage(at) for pid in pids]
        looks[group] = Usage(
            at, sum(o.cpu_s for o in of_group), sum(o.pss_mib for o in of_group), sum(o.processes for o in of_group)
        )
    return looks


def _busy_s() -> tuple[float, float]:
    """CPU seconds of the whole machine, and of this process, which is the phones."""
    times = psutil.cpu_times()
    return sum(times) - times.idle - times.iowait - times.guest - times.guest_nice, time.process_time()


async def quiet(started: Started) -> None:
    """Wait until its processes are almost idle, for at most 30 s."""
    deadline = time.monotonic() + _QUIET_LIMIT_S
    before = _look(started)
    while time.monotonic() < deadline:
        await asyncio.sleep(1.5)
        after = _look(started)
        # A process that has ended takes its CPU seconds with it, so that is not quiet either.
        shares = [100 * (after[g].cpu_s - before[g].cpu_s) / (after[g].at - before[g].at) for g in after]
        if all(0 <= share < _QUIET_PERCENT for share in shares):
            return
        before = after


async def measure(setup: Setup, started: Started, count: int, rounds: int, clips: Sequence[Clip]) -> StackFigures:
    """The calls begin together, as in `trunkline bench`."""
    await quiet(started)
    idle = _look(started)
    async with Phone() as phone:

        async def one(index: int) -> CallFigures | CallFailed:
            mine = [*clips[index % len(clips) :], *clips[: index % len(clips)]]
            try:
                return await measure_call(phone, f"sip:{NUMBER}@{started.target}", mine, rounds, f"+1555123{index:04}")
            except CallFailed as error:
                return error

        calls = [asyncio.create_task(one(index)) for index in range(count)]
        await asyncio.sleep(_WARM_UP_S)
        before, busy_before = _look(started), _busy_s()
        spoken_s = sum(len(clips[turn % len(clips)].pcm) for turn in range(rounds)) / 16000
        talk_s = 1.0 + rounds * 1.9 + spoken_s - _WARM_UP_S - _TAIL_S
        await asyncio.wait(calls, timeout=max(talk_s, 1.0))
        after, busy_after = _look(started), _busy_s()
        results = await asyncio.gather(*calls)
    if started.tidy is not None:
        await started.tidy()
    for failure in {str(result) for result in results if isinstance(result, CallFailed)}:
        print(f"a call failed: {failure}", file=sys.stderr)
    done = [result for result in results if isinstance(result, CallFigures)]
    seconds = next(iter(after.values())).at - next(iter(before.values())).at
    cpu = {group: 100 * (after[group].cpu_s - before[group].cpu_s) / seconds for group in after}
    machine, phones = (100 * (end - begin) / seconds for begin, end in zip(busy_before, busy_after, strict=True))
    figures = RunFigures.of(
        count,
        done,
        cpu_percent=sum(cpu.values()),
        pss_mib=sum(look.pss_mib for group, look in after.items() if group in _OURS),
        pss_idle_mib=sum(look.pss_mib for group, look in idle.items() if group in _OURS),
    )
    return StackFigures(
        setup.key,
        setup.title,
        figures,
        dict(cpu),
        {group: look.pss_mib for group, look in after.items()},
        {group: look.pss_mib for group, look in idle.items()},
        max(0.0, machine - phones - sum(cpu.values())),
    )
