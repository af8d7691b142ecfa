"""`trunkline show`: a call from the store with its recording, as text and as a picture."""

from __future__ import annotations

import asyncio
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gateway.cli import main
from gateway.record import CallEvents, Recording
from gateway.store import CallStore
from telephony.media.wav import write_wav
from tests.unit.store.records import closed, message_left, opened, verdict
from tests.unit.store.test_redaction import SAID, SETTINGS, said


@pytest.fixture
def config(tmp_path: Path) -> str:
    """Settings of a gateway that took two calls: c1 was recorded, c2 was not."""
    (tmp_path / "s.yaml").write_text(SETTINGS.format(folder=tmp_path))
    (tmp_path / "recordings").mkdir()
    write_wav(tmp_path / "recordings" / "c1.wav", b"\x00\x20\x00\xe0" * 32_000, bytes(128_000))

    async def fill() -> None:
        store = await CallStore.open(f"sqlite:///{tmp_path}/t.db")
        recording = Recording(path="c1.wav", duration_ms=8000)
        for call_id, kept in (("c1", recording), ("c2", None)):
            await store.apply([opened(call_id), said(call_id), closed(call_id, recording=kept)])
        await store.close()

    asyncio.run(fill())
    return str(tmp_path / "s.yaml")


def test_the_transcript(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "c1", "--config", config]) == 0
    shown = capsys.readouterr().out
    assert f"    3.50  caller: {SAID}\n" in shown
    assert shown.endswith("  answered (SIP 200, Q.850 31), ended by the caller: caller hung up\n")


def test_who_answered_and_the_message(config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = (verdict("human", 900.0), verdict("voicemail", 2900.0, corrects="human"))
    left = message_left(9000.0, delivered=False, why="hung_up")

    async def fill() -> None:
        store = await CallStore.open(f"sqlite:///{tmp_path}/t.db")
        await store.apply([opened("c4"), CallEvents(call_id="c4", events=(*told, left)), closed("c4", recording=None)])
        await store.close()

    asyncio.run(fill())
    assert main(["show", "c4", "--config", config]) == 0
    shown = capsys.readouterr().out
    assert "answered by: voicemail, 90%: words, after human\n" in shown
    assert "message not delivered: hung_up\n" in shown


def test_the_picture(config: str, tmp_path: Path) -> None:
    out = tmp_path / "call.svg"
    assert main(["show", "c1", "--config", config, "--svg", "--out", str(out)]) == 0
    assert len(out.read_text()) > 3000 and ElementTree.fromstring(out.read_text()).tag.endswith("svg")


def test_a_call_that_was_not_recorded_has_its_words(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "c2", "--config", config, "--svg"]) == 0
    assert "my account is" in capsys.readouterr().out


def test_what_is_not_there_is_said(config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "c3", "--config", config]) == 2
    assert "no call c3" in capsys.readouterr().err
    (tmp_path / "recordings" / "c1.wav").unlink()
    assert main(["show", "c1", "--config", config, "--svg"]) == 1
    assert main(["show", "c1", "--url", "http://127.0.0.1:1"]) == 1
