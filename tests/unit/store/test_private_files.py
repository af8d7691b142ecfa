"""Other users of the machine cannot see records or recordings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.private_files import close_to_others, tighten, tighten_recordings
from gateway.store import CallStore
from telephony.media.recording import WavRecorder
from tests.unit.store.records import opened


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def test_what_an_older_version_left_open_is_closed(tmp_path: Path) -> None:
    store, recordings = tmp_path / "t.db", tmp_path / "recordings"
    records = await CallStore.open(f"sqlite:///{store}")
    await records.apply([opened()])
    day = recordings / "2026-11-20"
    day.mkdir(parents=True)
    (day / "c1.wav").write_bytes(b"RIFF")
    beside = [tmp_path / "t.db-wal", tmp_path / "t.db-shm"]
    assert {mode(path) for path in (store, *beside)} == {0o644}
    assert tighten(store, recordings) == 4
    assert tighten_recordings(recordings) == 2
    assert {mode(path) for path in (store, *beside)} == {0o600}
    assert (mode(recordings), mode(day), mode(day / "c1.wav")) == (0o700, 0o700, 0o600)
    assert mode(tmp_path) & 0o700 == 0o700  # it is not ours alone
    assert tighten(store, recordings) + tighten_recordings(recordings) == 0
    await records.close()


async def test_what_is_made_from_now_on_is_closed(tmp_path: Path) -> None:
    close_to_others()
    records = await CallStore.open(f"sqlite:///{tmp_path}/new/t.db")
    await records.apply([opened()])
    recorder = WavRecorder(tmp_path / "recordings" / "day" / "c1.wav")
    await recorder.close()
    assert mode(tmp_path / "recordings") == mode(tmp_path / "recordings" / "day") == mode(tmp_path / "new") == 0o700
    assert mode(recorder.path) == 0o600
    assert {mode(path) for path in (tmp_path / "new").iterdir()} == {0o600}
    await records.close()


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "somebody_elses.wav"
    outside.write_bytes(b"")
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    (recordings / "link.wav").symlink_to(outside)
    tighten_recordings(recordings)
    assert mode(outside) == 0o644
