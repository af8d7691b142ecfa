"""Immortal objects in a process of their own: what pytest has loaded is not to live for ever."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agent.warm import immortal

HERE = Path(__file__).parent


def run_program() -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, HERE / "immortal_program.py"],
        cwd=HERE.parents[2],
        env={"PYTHONPATH": str(HERE.parents[2])},
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    assert done.stderr == ""
    seen: dict[str, object] = json.loads(done.stdout)
    return seen


def test_a_fork_shares_what_it_uses_where_python_has_immortal_objects_and_works_where_not() -> None:
    seen = run_program()
    grown, made = seen["grown_kib"], seen["made"]
    assert isinstance(grown, int) and isinstance(made, int)
    if sys.version_info[:2] == (3, 12):
        assert made > 100_000  # things and their names
        assert seen["immortal"] == [True] * 8
        assert seen["again"] < 1000  # type: ignore[operator]  # only what has come since
        assert grown < 512
    else:
        assert made == 0
        assert seen["immortal"] == [False] * 8
        assert grown > 2048  # what counting copies: 50,000 things of some 150 bytes


def test_the_program_goes_on_as_before() -> None:
    seen = run_program()
    assert seen["used"] == sum(len(f"thing {number}") for number in range(50_000))
    assert seen["changed"] == "another"
    assert seen["freed"] is True  # what is made later is freed as ever
    assert seen["told"] == "a constant of the function"
    assert seen["rest"] == "b"  # a generator that was suspended runs on


def test_nothing_is_touched_by_an_interpreter_of_which_we_know_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 14, 0, "final", 0))
    kept = object()
    before = sys.getrefcount(kept)
    assert immortal.make_immortal() == 0
    assert sys.getrefcount(kept) == before
