"""`trunkline store copy`: the records of a SQLite file in another store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.cli import main
from gateway.keys import Scope, make_key
from gateway.queues.figures import QueueFigures
from gateway.queues.model import Member, Place, Waiting, WaitingEnd
from gateway.store import CallStore, Selection, Spill, StoreError, StoreInUse, StoreLock
from gateway.store_copy import Copied, copy
from tests.unit.store.records import (
    START,
    closed,
    conversation,
    leg_closed,
    leg_opened,
    opened,
    talked,
    transfer_began,
    transfer_ended,
)
from tests.unit.store.test_redaction import SETTINGS


async def fill(path: Path) -> None:
    """60 calls; c0 has everything that a call can have, and one is still live."""
    old = await CallStore.open(f"sqlite:///{path}")
    await old.apply([opened("c0"), talked("c0", conversation()), leg_opened("c0"), leg_closed("c0")])
    await old.apply([transfer_began("c0"), transfer_ended("c0"), closed("c0")])
    for n in range(1, 60):
        await old.apply([opened(f"c{n}", minutes=n // 7), closed(f"c{n}", media=None, recording=None)])
    await old.apply([opened("live", minutes=60)])
    await old.keys.add(make_key("crm", {Scope.READ}, START)[1])
    await old.close()


@pytest_asyncio.fixture
async def old(tmp_path: Path) -> AsyncIterator[Path]:
    await fill(tmp_path / "old.db")
    yield tmp_path / "old.db"


async def test_calls_are_the_same_in_the_other_store(store: CallStore, old: Path) -> None:
    await store.apply([opened("own", minutes=90), closed("own")])
    assert await copy(old, store, "one") == Copied(calls=61, known=0, keys=1)
    before = await CallStore.open(f"sqlite:///{old}")
    for call_id in ("c0", "c17", "live"):
        was, is_now = await before.get_call(call_id), await store.get_call(call_id)
        assert was is not None and is_now is not None
        assert (is_now.gateway_id, was.gateway_id) == ("one", "")
        assert [getattr(is_now, name) for name in was.__dataclass_fields__ if name != "gateway_id"] == [
            getattr(was, name) for name in was.__dataclass_fields__ if name != "gateway_id"
        ]
    assert await store.keys.all() == await before.keys.all()
    await before.close()
    assert len(await store.find(Selection(), None, 200)) == 61
    await store.apply([talked("live", conversation())])  # ids of events go on where they are
    live = await store.get_call("live")
    assert live is not None and len(live.events) == len(conversation())


async def test_queues_go_on_in_the_other_store(store: CallStore, old: Path) -> None:
    """Callbacks wait for the new gateway; people who were on the line are not."""
    before = await CallStore.open(f"sqlite:///{old}")
    book, now = before.queues(), START.timestamp()
    zoe = Member("zoe", "+15550123", (Place("desk"),))
    await book.member(zoe)
    await book.pause("zoe", "lunch", now)
    for name, number in (("c0", ""), ("on the line", ""), ("back", "+15550100")):
        await book.join(Waiting(name, "desk", "", now, callback_to=number), now, 15)
    await book.leave("c0", WaitingEnd.LEFT, now + 9)
    await before.close()
    assert (await copy(old, store, "one")).waits == 2
    assert (await copy(old, store, "one")).waits == 0
    state = await store.queues().state(now)
    assert state.waiting == (Waiting("back", "desk", "one", now, callback_to="+15550100"),)
    assert (state.members, state.states["zoe"].paused) == ((zoe,), "lunch")
    assert (await store.queues().history(now, now + 10)).queues == (QueueFigures("desk", left=1, longest_wait_s=9),)


async def test_it_can_be_repeated(store: CallStore, old: Path) -> None:
    await copy(old, store, "")
    await store.apply([closed("live", ended_at=START + timedelta(minutes=61))])
    assert await copy(old, store, "") == Copied(calls=0, known=61, keys=1)
    call = await store.get_call("live")
    assert call is not None and call.outcome is not None


async def test_what_cannot_be_copied_whole_is_refused(store: CallStore, old: Path) -> None:
    lock = StoreLock.take(old)
    with pytest.raises(StoreInUse):
        await copy(old, store, "")
    lock.release()
    spill = Spill(old)
    spill.append(spill.waiting, ["{}"])
    with pytest.raises(StoreError, match="records wait in"):
        await copy(old, store, "")
    with pytest.raises(StoreError, match="no store"):
        await copy(old.with_name("none.db"), store, "")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s.yaml").write_text(SETTINGS.format(folder=tmp_path))
    asyncio.run(fill(tmp_path / "old.db"))
    command = ["store", "copy", "--config", str(tmp_path / "s.yaml"), "--from"]
    assert main([*command, str(tmp_path / "old.db")]) == 0
    assert "61 calls copied, 0 were there already; 1 API keys" in capsys.readouterr().out
    assert main([*command, str(tmp_path / "none.db")]) == 1
    assert "no store at" in capsys.readouterr().err
