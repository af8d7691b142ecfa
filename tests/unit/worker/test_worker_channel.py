"""The messages between the worker and its job processes, and the programs that these run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from agent.warm.channel import FrameDecoder
from agent.worker.channel import WIRE, Beat, ChannelError, EndJob, JobState, RunJob
from agent.worker.program import Program, ProgramError, Reference

ORDER = RunJob("AJ_1", "0a00", "ws://h", "token", "agent-AJ_1", "AW_1", attempt=2, state={"history": [1, "zwei"]})


def test_messages_come_out_as_they_went_in_whatever_the_pieces() -> None:
    messages = [ORDER, EndJob("AJ_1", True, "drained"), Beat(["AJ_1"], 0.5)]
    stream = b"".join(map(WIRE.encode, messages))
    decoder = FrameDecoder(WIRE)
    assert [found for byte in stream for found in decoder.feed(bytes([byte]))] == messages


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"kind":"Nobody"}', b'{"kind":"Beat","x":1}', b"\xff"])
def test_frames_that_cannot_be_ours(body: bytes) -> None:
    with pytest.raises(ChannelError, match="not a control message"):
        FrameDecoder(WIRE).feed(len(body).to_bytes(4, "big") + body)


def test_a_frame_that_is_too_large_is_refused_before_it_comes() -> None:
    with pytest.raises(ChannelError, match="is announced"):
        FrameDecoder(WIRE).feed(b"\x7f\xff\xff\xff")


def test_state_must_be_json() -> None:
    with pytest.raises(ChannelError, match="JSON values only"):
        WIRE.encode(JobState("AJ_1", {"when": object()}))


def entrypoint(_: object) -> None: ...


def test_functions_travel_by_name() -> None:
    reference = Reference.of(entrypoint)
    assert reference.resolve() is entrypoint
    assert Program(reference).entry() is entrypoint
    with pytest.raises(ProgramError, match="at the top of a module"):
        Reference.of(lambda _: None)
    with pytest.raises(ProgramError, match="has no nobody"):
        Reference(__name__, "nobody").resolve()
    with pytest.raises(ProgramError, match="is not a function"):
        Program(Reference("sys", "path")).entry()


def test_a_programs_own_file_is_run_once_and_not_as_main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    file = tmp_path / "prog.py"
    file.write_text("name = __name__\ncount = []\ndef entry(ctx): count.append(1); return len(count)\n")
    reference = Reference("", "entry", str(file))
    assert reference.resolve()(None) == 1
    assert reference.resolve()(None) == 2
    assert Reference("", "name", str(file)).resolve() != "__main__"


def test_keys_are_not_shown() -> None:
    assert "secret" not in repr(Program(Reference("a", "b"), keys=("key", "secret")))
