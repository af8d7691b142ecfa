"""schemathesis tries a real gateway by its own description, with all of its checks, and finds nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway_process import RunningGateway

EXAMPLES = 15  # of each operation and kind of data
SEED = 14
KEY = "a key for the tests"
# An order may be well-formed and yet name nobody: that is 422, which is not among the checks' own.
CONFIG = """
[[operations]]
include-method = "POST"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "410", "422", "429", "5xx"]

[[operations]]
include-path = "/healthz"
[operations.checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "503"]
"""


@pytest.fixture(params=["without keys", "with a key", "behind keys"])
def tried(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[RunningGateway, list[str]]]:
    """The gateway, and what schemathesis is told besides."""
    (tmp_path / "key").write_text(KEY)
    http = {} if request.param == "without keys" else {"api_keys": [{"file": str(tmp_path / "key")}]}
    sip = {
        "trunks": [
            {
                "name": "local", "allow": ["127.0.0.0/8"], "region": "US",
                "outbound": {"host": "127.0.0.1", "port": 9, "destinations": ["+1555"]},
            }
        ]
    }  # fmt: skip
    gateway = RunningGateway(tmp_path / "gateway", http={"listen": "127.0.0.1:0", **http}, sip=sip, workers=1).start()
    yield gateway, ["--header", f"Authorization: Bearer {KEY}"] if request.param == "with a key" else []
    gateway.stop()


@pytest.mark.timeout(180)
def test_it_finds_nothing(tried: tuple[RunningGateway, list[str]], tmp_path: Path) -> None:
    """The event stream is left out, as it never ends."""
    gateway, told = tried
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    command = [
        str(Path(sys.executable).with_name("st")), "--config-file", str(tmp_path / "schemathesis.toml"), "run",
        f"{gateway.http}/openapi.json", "--checks", "all", "--exclude-path", "/v1/events", "--seed", str(SEED),
        "--max-examples", str(EXAMPLES), "--request-timeout", "10", "--continue-on-failure", *told,
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stdout[-15_000:] + done.stderr[-2_000:]
    assert gateway.complaints() == []
