"""The arrows of docs/architecture.md: gateway -> agent -> telephony, and each vendor SDK in its one folder."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LAYERS = {"telephony": {"telephony"}, "agent": {"agent", "telephony"}, "gateway": {"gateway", "agent", "telephony"}}
# Within the gateway, of the folders that have to do with calls: each may import those before it.
CALLS = ["gateway.calls", "gateway.livekit", "gateway.callworker", "gateway.livekit_jobs"]
HOMES = {
    "pjsua2": ["telephony/pjsua"],
    "livekit": ["telephony/livekit", "agent/worker"],
    "onnxruntime": ["agent/providers"],
    "pocketsphinx": ["agent/providers"],
    "espeakng_loader": ["agent/providers"],
    "openai": ["agent/providers"],
    "dns": ["telephony/edge"],
    "sqlalchemy": ["gateway/store"],
    "alembic": ["gateway/store"],
    "aiohttp": [
        "gateway/api",
        "gateway/bench",
        "gateway/commands",
        "gateway/events",
        "telephony/livekit",
        "agent/worker",
    ],
    "ruamel": ["gateway/config", "agent/testing"],
    "phonenumbers": ["gateway/dialplan", "gateway/config", "gateway/outbound", "gateway/campaigns"],
}
PURE = [
    "agent/turns",
    "agent/speech",
    "agent/chat_context.py",
    "agent/bounds.py",
    "agent/tool_arguments.py",
    "agent/providers/_chat_stream.py",
    "telephony/sip",
    "telephony/media/frames.py",
    "telephony/media/g711.py",
    "gateway/dialplan/decide.py",
    "gateway/queues/deciding.py",
    "gateway/queues/figures.py",
    "gateway/queues/members.py",
    "gateway/queues/model.py",
    "gateway/queues/strategies.py",
    "gateway/queues/waits.py",
]
IMPURE = {"asyncio", "socket", "threading", "time", "subprocess", "os"}


def imports(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import hides its arrow"
            yield node.lineno, node.module or ""


def sources(*tops: str) -> list[Path]:
    found = [path for top in tops for path in sorted((ROOT / top).rglob("*.py"))]
    assert found, f"no sources under {tops}"
    return found


@pytest.mark.parametrize("layer", LAYERS)
def test_arrows_point_one_way(layer: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sources(layer)
        for line, name in imports(path)
        if name.split(".")[0] in LAYERS and name.split(".")[0] not in LAYERS[layer]
    ]
    assert wrong == []


@pytest.mark.parametrize("folder", CALLS)
def test_a_call_does_not_know_who_has_it(folder: str) -> None:
    later = tuple(CALLS[CALLS.index(folder) + 1 :])
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sources(folder.replace(".", "/"))
        for line, name in imports(path)
        if any(name == other or name.startswith(f"{other}.") for other in later)
    ]
    assert wrong == []


def test_sip_knows_neither_edge_nor_phone() -> None:
    """Both stand on it."""
    users = ("telephony.edge", "telephony.phone", "telephony.pjsua")
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sources("telephony/sip")
        for line, name in imports(path)
        if name.startswith(users)
    ]
    assert wrong == []


def test_vendor_sdks_stay_in_their_folders() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}, whose home is {' or '.join(HOMES[name.split('.')[0]])}"
        for path in sources("gateway", "agent", "telephony")
        for line, name in imports(path)
        if not any(path.is_relative_to(ROOT / home) for home in HOMES.get(name.split(".")[0], [""]))
    ]
    assert wrong == []


def test_pure_parts_do_no_io() -> None:
    paths = [p for pure in PURE for p in ([ROOT / pure] if pure.endswith(".py") else sources(pure))]
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in paths
        for line, name in imports(path)
        if name.split(".")[0] in IMPURE
    ]
    assert wrong == []
