"""The real LiveKit server, LiveKit SIP and Redis, once for all tests of this folder."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

_DEPLOY = Path(__file__).resolve().parents[3] / "deploy" / "livekit" / "stack.py"

# RunningGateway and what else drives a whole gateway.
sys.path.append(str(Path(__file__).resolve().parents[1] / "gateway"))

if TYPE_CHECKING:
    from stack import LiveKitStack


def _stack_module():
    """deploy/ is no package: it has what is run by itself."""
    if "livekit_stack_of_deploy" not in sys.modules:
        spec = importlib.util.spec_from_file_location("livekit_stack_of_deploy", _DEPLOY)
        module = importlib.util.module_from_spec(spec)
        sys.modules["livekit_stack_of_deploy"] = module
        spec.loader.exec_module(module)
    return sys.modules["livekit_stack_of_deploy"]


@pytest.fixture(scope="session")
def livekit_stack() -> Iterator[LiveKitStack]:
    """Shared: tests that kill a part take `own_livekit_stack`."""
    with _stack_module().LiveKitStack() as stack:
        yield stack


@pytest.fixture
def own_livekit_stack() -> Iterator[LiveKitStack]:
    """Redis and LiveKit server for one test alone, to be killed and started again."""
    with _stack_module().LiveKitStack(parts=("redis", "server")) as stack:
        yield stack


@pytest.fixture
def own_whole_stack() -> Iterator[LiveKitStack]:
    """The same with LiveKit SIP."""
    with _stack_module().LiveKitStack() as stack:
        yield stack


_callers = count(1)


@pytest.fixture
def caller() -> str:
    """A number that no other test calls from."""
    return f"+1555300{next(_callers):04}"
