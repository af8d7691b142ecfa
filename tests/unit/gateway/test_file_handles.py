"""The soft limit of file handles, in a process of its own: a limit once lowered stays so."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
from gateway.file_handles import raise_soft_limit
soft, hard = int(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(raise_soft_limit(800), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(
    ("soft", "hard", "told"), [(256, 900, False), (256, 512, True), (512, 512, True), (900, 900, False)]
)
def test_the_soft_limit_is_raised_or_it_is_said(soft: int, hard: int, told: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(soft), str(hard)], capture_output=True, text=True, check=True
    )
    assert f"{hard} {hard}" in done.stdout
    assert ("file_handles_low" in done.stdout + done.stderr) is told
