"""onnxruntime would report to its vendor from every process; the switch against that must be set before it is
loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import importlib, os, sys

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "onnxruntime":
            print(os.environ.get("ORT_DISABLE_TELEMETRY"))
        return None

sys.meta_path.insert(0, Watch())
importlib.import_module(sys.argv[1])
import onnxruntime
"""


@pytest.mark.parametrize("module", ["agent.providers.silero", "agent.providers._onnx", "agent.providers.registry"])
def test_no_report_is_sent(module: str) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, module], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == "1"
