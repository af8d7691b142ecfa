"""Modules that a process does not need cost memory in every process of a machine."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("program", "not_needed"),
    [("gateway.app", "sqlalchemy.dialects.postgresql"), ("gateway.app", "onnxruntime"), ("gateway.app", "livekit")],
)
def test_a_gateway_on_sqlite_does_not_load(program: str, not_needed: str) -> None:
    look = f"import {program}, sys; print({not_needed!r} in sys.modules)"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
