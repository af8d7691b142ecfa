"""`trunkline store`: old calls are removed, calls are exported as JSON lines."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.pruning import prune
from gateway.queues.model import Waiting, WaitingEnd
from gateway.record import CallDetail, Recording
from gateway.store import CallStore, Kept, Selection
from telephony.media.wav import write_wav
from tests.unit.store.records import START, closed, conversation, leg_opened, opened, talked, transfer_began
from tests.unit.store.test_redaction import SETTINGS

OLD = Selection(until=START + timedelta(minutes=2))


async def fill(store: CallStore, folder: Path) -> None:
    """c0 to c3 began a minute apart, each with words and a recording; c1 goes on."""
    for n in range(4):
        name = f"day/c{n}.wav"
        (folder / "day").mkdir(parents=True, exist_ok=True)
        write_wav(folder / name, b"\1\0" * 8000, b"\2\0" * 8000)
        rule = f"dialplans/{'desk' if n else 'clinic'}.yaml:5 otherwise"
        await store.apply([opened(f"c{n}", minutes=n, rule=rule), talked(f"c{n}", conversation())])
        await store.apply([leg_opened(f"c{n}"), transfer_began(f"c{n}", f"t{n}")])
        if n != 1:
            await store.apply([closed(f"c{n}", recording=Recording(path=name, duration_ms=1000))])


async def detail(store: CallStore, call_id: str) -> CallDetail:
    call = await store.get_call(call_id)
    assert call is not None
    return call


async def ids(store: CallStore) -> list[str]:
    return sorted(call.call_id for call in (await store.list_calls()).calls)


async def test_old_records_go_with_all_that_belongs_to_them(store: CallStore, tmp_path: Path) -> None:
    await fill(store, tmp_path)
    done = await prune(store, tmp_path, OLD, Kept.RECORDS)
    assert (done.calls, done.recordings, done.bytes > 32_000) == (1, 1, True)
    assert await ids(store) == ["c1", "c2", "c3"], "c1 still goes on"
    assert not (tmp_path / "day/c0.wav").exists() and (tmp_path / "day/c2.wav").exists()
    await store.apply([opened("c0")])  # nothing of it is left that would come back
    again = await detail(store, "c0")
    assert (again.events, again.turns, len(again.legs), again.transfers) == ((), (), 1, ())


async def test_a_dry_run_changes_nothing(store: CallStore, tmp_path: Path) -> None:
    await fill(store, tmp_path)
    for what in Kept:
        done = await prune(store, tmp_path, Selection(), what, dry_run=True)
        assert (done.calls, done.recordings) == (3, 0 if what is Kept.TRANSCRIPTS else 3)
    assert await ids(store) == ["c0", "c1", "c2", "c3"]
    assert len(list(tmp_path.glob("day/*.wav"))) == 4


async def test_recordings_go_and_their_records_say_so(store: CallStore, tmp_path: Path) -> None:
    await fill(store, tmp_path)
    (tmp_path / "day/c0-2.wav").write_bytes(b"a part of it")
    done = await prune(store, tmp_path, OLD, Kept.RECORDINGS)
    assert (done.calls, done.recordings) == (1, 2)
    call = await detail(store, "c0")
    assert call.recording == Recording(path="", duration_ms=1000, error="pruned")
    assert len(call.turns) == 6
    assert (await prune(store, tmp_path, OLD, Kept.RECORDINGS)).calls == 0


async def test_transcripts_go_and_their_records_say_so(store: CallStore, tmp_path: Path) -> None:
    await fill(store, tmp_path)
    assert (await prune(store, tmp_path, OLD, Kept.TRANSCRIPTS)).calls == 1
    call = await detail(store, "c0")
    assert (call.turns, [event["type"] for event in call.events]) == ((), ["pruned"])
    assert call.recording is not None and call.recording.path == "day/c0.wav"
    assert (await prune(store, tmp_path, OLD, Kept.TRANSCRIPTS)).calls == 0
    assert len((await detail(store, "c2")).turns) == 6


async def test_only_calls_of_one_dialplan(store: CallStore, tmp_path: Path) -> None:
    await fill(store, tmp_path)
    clinic = Selection(dialplan="dialplans/clinic.yaml")
    assert await store.find(clinic, None, 10) == ["c0"]
    assert await store.find(Selection(dialplan="dialplans/Clinic.yaml"), None, 10) == []
    assert (await prune(store, tmp_path, clinic, Kept.RECORDS)).calls == 1
    assert await ids(store) == ["c1", "c2", "c3"]


async def test_more_than_a_step(store: CallStore, tmp_path: Path) -> None:
    for n in range(230):
        await store.apply([opened(f"c{n:03}", minutes=n % 7), closed(f"c{n:03}", recording=None)])
    assert (await prune(store, tmp_path, Selection(), Kept.TRANSCRIPTS)).calls == 0
    assert (await prune(store, tmp_path, Selection(), Kept.RECORDS)).calls == 230
    assert await ids(store) == []


async def test_a_recording_that_cannot_be_removed_keeps_its_record(
    store: CallStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(store, tmp_path)

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("gateway.pruning.erase", refuse)
    done = await prune(store, tmp_path, OLD, Kept.RECORDS)
    assert (done.calls, len(done.errors)) == (0, 1) and "c0: [Errno 13] Permission denied" in done.errors[0]
    assert await ids(store) == ["c0", "c1", "c2", "c3"]


async def test_a_recording_elsewhere_is_not_touched(store: CallStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside.wav"
    write_wav(outside, b"\1\0", b"\1\0")
    (tmp_path / "recordings").mkdir()
    await store.apply([opened(), closed(recording=Recording(path="../outside.wav", duration_ms=1))])
    assert (await prune(store, tmp_path / "recordings", Selection(), Kept.RECORDS)).recordings == 0
    assert outside.exists() and await ids(store) == []


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path) -> str:
    (tmp_path / "s.yaml").write_text(SETTINGS.format(folder=tmp_path))

    async def make() -> None:
        store = await CallStore.open(f"sqlite:///{tmp_path}/t.db")
        await fill(store, tmp_path / "recordings")
        await store.apply([opened("young", minutes=1e6, rule="demo.yaml:3 x"), closed("young", recording=None)])
        await store.close()

    asyncio.run(make())
    return str(tmp_path / "s.yaml")


def test_prune_says_what_goes(config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hours = int((datetime.now(UTC) - START).total_seconds() // 3600) - 1  # all began in the first minutes of START
    command = ["store", "prune", "--config", config, "--records", f"{hours}h"]
    assert main([*command, "--transcripts", "1d", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "3 calls would go, 3 files with 0.1 MB" in out and "transcripts of before" in out
    assert main([*command, "--compact"]) == 0
    assert "3 calls gone, 3 files" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "recordings/day").iterdir()] == ["c1.wav"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to remove"),
        (
            ["--records", "1d", "--dialplan", "other.yaml"],
            "other.yaml is not a dialplan of the settings; known are: demo",
        ),
    ],
)
def test_prune_refuses_in_words(
    config: str, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["store", "prune", "--config", config, *arguments]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("age", ["0d", "90", "d", "-1d", "1y", "1.5d"])
def test_an_age_that_is_none(config: str, capsys: pytest.CaptureFixture[str], age: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["store", "prune", "--config", config, f"--records={age}"])
    assert caught.value.code == 2
    assert "90d" in capsys.readouterr().err


def test_export_is_json_lines_oldest_first(config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", "export", "--config", config]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [call["call_id"] for call in lines] == ["c0", "c2", "c3", "young"]
    assert len(lines[0]["turns"]) == 6 and lines[0]["legs"][1]["role"] == "human"
    out = tmp_path / "calls.jsonl"
    times = ["--since", "2026-11-20T09:01:00Z", "--until", "2026-11-20T09:03:00"]
    assert main(["store", "export", "--config", config, *times, "--out", str(out)]) == 0
    assert [json.loads(line)["call_id"] for line in out.read_text().splitlines()] == ["c2"]
    assert "1 calls" in capsys.readouterr().out
    assert main(["store", "export", "--config", config, "--dialplan", "demo.yaml"]) == 0
    assert [json.loads(line)["call_id"] for line in capsys.readouterr().out.splitlines()] == ["young"]


def test_there_is_no_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s.yaml").write_text(SETTINGS.format(folder=tmp_path))
    assert main(["store", "export", "--config", str(tmp_path / "s.yaml")]) == 1
    assert "no store" in capsys.readouterr().err
    assert not (tmp_path / "t.db").exists()


async def test_waits_in_queues_go_with_the_records(store: CallStore, tmp_path: Path) -> None:
    """Also callbacks that nobody has made, whose people's numbers nobody will need."""
    await fill(store, tmp_path)
    book, began = store.queues(), START.timestamp()
    for n, name in enumerate(("c0", "old", "back", "waits", "c2", "new")):
        number = "+15550100" if name == "back" else ""
        at = began + (600 if name in ("c2", "new") else n)
        await book.join(Waiting(name, "desk", "g1", at, callback_to=number), at, 15)
        if name not in ("back", "waits"):
            await book.leave(name, WaitingEnd.ABANDONED, at + 30)
    assert (await prune(store, tmp_path, OLD, Kept.RECORDINGS)).waits == 0
    assert (await prune(store, tmp_path, OLD, Kept.RECORDS, dry_run=True)).waits == 3
    assert (await prune(store, tmp_path, OLD, Kept.RECORDS)).waits == 2, "the third went with its call"
    assert [each.call_id for each in (await book.state(began)).waiting] == ["waits"]
    (desk,) = (await book.history(0, began + 10_000)).queues
    assert desk.abandoned == 2
    one_dialplan = Selection(until=START + timedelta(hours=1), dialplan="dialplans/desk.yaml")
    await prune(store, tmp_path, one_dialplan, Kept.RECORDS)
    (desk,) = (await book.history(0, began + 10_000)).queues
    assert desk.abandoned == 1, "c2 was answered by a rule of it"
