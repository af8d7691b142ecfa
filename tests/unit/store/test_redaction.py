"""`trunkline redact` removes speech and keyed digits from the files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.cli import main
from gateway.record import CallClosed, CallEvents, Recording
from gateway.redaction import REDACTED, digits_masked, redacted, spans_of
from gateway.store import CallStore, Spill
from telephony.media.recording import WavRecorder
from telephony.media.redaction import silence
from telephony.media.wav import read_channels
from tests.unit.store.records import closed, opened

SETTINGS = """\
sip:
  listen: ["udp://127.0.0.1:5060"]
  trunks: [{{name: local, allow: ["127.0.0.0/8"]}}]
dialplans: [demo.yaml]
store: sqlite:///{folder}/t.db
recordings: {folder}/recordings
"""
SAID = "my account is 4711 and my mother's name is Hildegard"


def said(call_id: str) -> CallEvents:
    def event(type_: str, at: float, **fields: Any) -> dict[str, Any]:
        return {"type": type_, "at": at, "t_ms": at * 1000, **fields}

    return CallEvents(
        call_id=call_id,
        events=(
            event("session_started", 0.0, persona="Reception"),
            event("digit_received", 2.0, digit="9"),
            event("user_message", 2.5, text="98", started_at=2.0, ended_at=2.5, source="dtmf", confidence=1.0),
            event("user_message", 5.0, text=SAID, started_at=3.5, ended_at=4.5, source="speech", confidence=1.0),
            event("function_call", 5.1, call_id="t1", name="look_up", arguments={"account": 4711}),
            event(
                "function_call_output", 5.2, call_id="t1", name="look_up", output="Hildegard", is_error=False,
                duration_ms=3.0,
            ),
            event(
                "agent_message", 7.0, text="Thank you, Hildegard.", full_text="Thank you, Hildegard.",
                interrupted=False, started_at=5.5, kind="reply",
            ),
            event("summary_of_tomorrow", 7.5, words=["Hildegard"], count=3),
            event("session_closed", 8.0, reason="leg_ended", error="", details={}),
        ),
    )  # fmt: skip


class World:
    def __init__(self, folder: Path, store: CallStore) -> None:
        self.folder = folder
        self.store = store
        self.recording = folder / "recordings" / "day" / "c1.wav"
        (folder / "s.yaml").write_text(SETTINGS.format(folder=folder))

    def redact(self, *arguments: str) -> int:
        return main(["redact", *arguments, "--config", str(self.folder / "s.yaml")])

    def bytes(self) -> bytes:
        return b"".join(path.read_bytes() for path in self.folder.glob("t.db*"))

    async def texts(self, call_id: str = "c1") -> str:
        call = await self.store.get_call(call_id)
        assert call is not None
        return str(call)


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """The store is open, as by a gateway, throughout."""
    store = await CallStore.open(f"sqlite:///{tmp_path}/t.db")
    made = World(tmp_path, store)
    recorder = WavRecorder(made.recording)
    for _ in range(400):
        recorder.write(b"\1\0" * 160, b"\2\0" * 160)
    await recorder.close()
    recording = Recording(path="day/c1.wav", duration_ms=8000)
    await store.apply(
        [opened("c1"), said("c1"), _closed("c1", recording), opened("c2"), said("c2"), closed("c2", recording=None)]
    )
    await store.apply([opened("live"), said("live")])
    yield made
    await store.close()


def _closed(call_id: str, recording: Recording) -> CallClosed:
    return closed(call_id, recording=recording, end_reason="hung up 4711")


async def redact_beside(world: World, *arguments: str) -> int:
    """In a thread, as the command has its own loop."""
    import asyncio

    return await asyncio.to_thread(world.redact, *arguments)


async def test_nothing_that_was_said_is_left(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert await redact_beside(world, "c1", "c2") == 0
    out = capsys.readouterr().out
    assert "c1: 7 events and the transcript redacted; day/c1.wav overwritten and deleted" in out
    assert "c2: 7 events and the transcript redacted; it has no recording" in out
    assert not world.recording.exists()
    text = await world.texts()
    assert "Hildegard" not in text and "4711" not in text and REDACTED in text
    call = await world.store.get_call("c1")
    assert call is not None and call.recording is not None
    assert (call.recording.path, call.recording.duration_ms, call.recording.error) == ("", 8000, "redacted")
    assert [turn.start_ms for turn in call.turns] == [2000.0, 3500.0, 5500.0]  # who talked when is still there
    assert call.events[-1]["type"] == "redacted"
    await world.store.apply([closed("live")])  # its words are the same, and would be found
    assert await redact_beside(world, "live") == 0
    assert b"Hildegard" not in world.bytes()


async def test_only_digits(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert await redact_beside(world, "c1", "--digits") == 0
    call = await world.store.get_call("c1")
    assert call is not None
    texts = [turn.text for turn in call.turns]
    assert texts == ["••", SAID.replace("4711", "••••"), "Thank you, Hildegard."]
    assert call.end_reason == "hung up ••••"
    assert call.turns[2].tool_calls[0].arguments == {"account": "••••"}
    left, right = read_channels(world.recording)
    assert len(left) == 8000 * 16
    silent = [ms for ms in range(0, 8000, 100) if not left[ms * 16 : ms * 16 + 320].strip(b"\0")]
    assert silent == [*range(1600, 2900, 100), *range(3100, 4900, 100)]  # the keys, and what was said
    assert [ms for ms in range(0, 8000, 100) if not right[ms * 16 : ms * 16 + 320].strip(b"\0")] == silent
    assert "s of day/c1.wav silenced" in capsys.readouterr().out
    assert "4711" in await world.texts("c2")


async def test_what_cannot_be_redacted_is_said(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spill = Spill(tmp_path / "t.db")
    spill.append(spill.waiting, ['{"message": "call_events", "call_id": "c2", "events": []}'])
    assert await redact_beside(world, "live", "nobody", "c2") == 1
    err = capsys.readouterr().err
    assert "live: not redacted: the call is still in progress" in err
    assert "nobody: no such call" in err
    assert "c2: not redacted: parts of it are waiting to be written" in err
    assert "Hildegard" in await world.texts("c2")


def test_there_is_no_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s.yaml").write_text(SETTINGS.format(folder=tmp_path))
    assert main(["redact", "c1", "--config", str(tmp_path / "s.yaml")]) == 1
    assert "no store" in capsys.readouterr().err
    assert not (tmp_path / "t.db").exists()


def test_events_of_unknown_types_lose_their_words() -> None:
    event = {"type": "new", "t_ms": 1.0, "note": "secret", "nested": {"a": "secret"}, "ok": True, "reason": "my secret"}
    assert redacted(event) == {
        "type": "new", "t_ms": 1.0, "note": REDACTED, "nested": REDACTED, "ok": True, "reason": REDACTED,
    }  # fmt: skip
    assert digits_masked({"type": "x", "text": "one two three, 45, 678"})["text"] == "• • •, ••, •••"


def test_spans_of_what_changed() -> None:
    before = said("c1").events
    after = [digits_masked(event) for event in before]
    assert spans_of(before, after) == [(1600.0, 2400.0), (1600.0, 2900.0), (3100.0, 4900.0)]


def test_silence_within_the_file(tmp_path: Path) -> None:
    path = tmp_path / "c.wav"
    path.write_bytes(bytes(44) + b"\1" * 32 * 100)
    assert silence(path, [(-50.0, 10.0), (5.0, 20.0), (90.0, 500.0)]) == 31.0
    data = path.read_bytes()[44:]
    assert len(data) == 3200
    assert data[: 21 * 32] == bytes(21 * 32) and data[21 * 32 : 90 * 32] == b"\1" * 69 * 32
