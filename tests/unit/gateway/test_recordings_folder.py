"""Whether calls can be recorded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.record import Outcome, Recording
from gateway.recordings_folder import RecordingsFolder, tried
from tests.unit.store.records import closed, opened


def test_a_folder_that_can_be_used(tmp_path: Path) -> None:
    assert tried(tmp_path / "new" / "recordings") == ""
    assert list((tmp_path / "new" / "recordings").iterdir()) == []


def test_what_is_wrong_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    assert "Not a directory" in tried(tmp_path / "file" / "recordings")
    (tmp_path / ".trunkline-probe").mkdir()  # nothing can be written there
    assert "Is a directory" in tried(tmp_path)
    (tmp_path / ".trunkline-probe").rmdir()
    full = SimpleNamespace(f_bavail=5, f_frsize=1 << 20)
    monkeypatch.setattr("gateway.recordings_folder.os.statvfs", lambda path: full)
    assert tried(tmp_path) == "only 5 MiB free"


async def test_the_folder_is_tried_again(tmp_path: Path) -> None:
    place = tmp_path / "recordings"
    place.write_text("")
    folder = RecordingsFolder(place)
    await folder.look()
    assert "calls cannot be recorded in" in folder.warnings[0] and "recordings" in folder.warnings[0]
    place.unlink()
    await folder.look()
    assert (folder.warnings, folder.trouble) == ((), "")


async def test_a_recording_that_failed_is_told_until_one_works(tmp_path: Path) -> None:
    folder = RecordingsFolder(tmp_path)
    broken = replace(closed(), recording=Recording(path="", error="c1.wav: No space left on device"))
    folder.observe(opened())
    folder.observe(broken)
    assert folder.failed == 1
    assert "No space left on device" in folder.warnings[0]
    folder.observe(replace(broken, outcome=Outcome.WORKER_LOST))
    assert folder.failed == 1
    folder.observe(closed())
    assert (folder.failed, folder.warnings) == (1, ())
