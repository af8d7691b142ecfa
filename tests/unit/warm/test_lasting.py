"""Nothing in one task ends the loop of a process that serves several calls."""

from __future__ import annotations

import asyncio
import sys
import threading
import time

import pytest

from agent.warm.lasting import run_to_end


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_a_task_that_exits_ends_alone(error):
    async def exits() -> None:
        raise error

    async def main() -> str:
        tasks = [asyncio.create_task(exits()) for _ in range(3)]
        neighbour = asyncio.create_task(asyncio.sleep(0.02, "goes on"))
        await asyncio.wait(tasks)
        for task in tasks:
            assert task.exception() is error
        return await neighbour

    assert run_to_end(main()) == "goes on"


def test_the_end_of_main_is_the_end():
    async def main() -> None:
        sys.exit(4)

    with pytest.raises(SystemExit):
        run_to_end(main())


def test_threads_that_hang_are_not_waited_for_and_tasks_are_cancelled():
    cancelled: list[bool] = []
    release = threading.Event()

    async def lingers() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.append(True)

    async def main() -> None:
        asyncio.get_running_loop().run_in_executor(None, release.wait, 30)
        task = asyncio.create_task(lingers())
        await asyncio.sleep(0.01)
        assert not task.done()

    began = time.monotonic()
    run_to_end(main())
    release.set()
    assert cancelled == [True]
    assert time.monotonic() - began < 5
