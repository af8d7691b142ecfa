"""What a confined process can no longer do, tried in one."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

from gateway.callworker.sandbox import landlock_version

PROGRAM = """
import os, subprocess, sys
from pathlib import Path
from gateway.callworker.sandbox import confine_files, give_up_privileges
own, other = Path(sys.argv[1]), Path(sys.argv[2])
give_up_privileges()
assert "NoNewPrivs:\\t1" in Path("/proc/self/status").read_text()
held = confine_files([own, Path(os.devnull), own / "not there"])

def refused(what):
    try:
        what()
    except PermissionError:
        return held
    return not held

(own / "deep").mkdir()
(own / "deep" / "call.wav").write_bytes(b"audio")
(own / "deep" / "call.wav").rename(own / "moved.wav")
(own / "moved.wav").unlink()
open(os.devnull, "w").close()
assert (other / "kept").read_text() == "as it was"
assert refused(lambda: (other / "new").write_text("x"))
assert refused(lambda: (other / "kept").write_text("x"))
assert refused(lambda: (other / "kept").unlink())
assert refused(lambda: os.truncate(other / "kept", 0))
assert refused(lambda: subprocess.run(["/bin/true"]))
print("held" if held else "no Landlock")
"""


def test_a_confined_process(tmp_path: Path):
    own, other = tmp_path / "own", tmp_path / "other"
    own.mkdir()
    other.mkdir()
    (other / "kept").write_text("as it was")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(own), str(other)],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    if landlock_version():
        assert done.stdout == "held\n"
        assert (other / "kept").read_text() == "as it was"
    else:
        assert done.stdout == "no Landlock\n"
