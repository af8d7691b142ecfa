"""No import circles of files in the whole tree. Imports for type checkers and within functions count, too: they hide a
circle from the interpreter, not from the reader."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TOPS = ("gateway", "agent", "telephony")
Graph = Mapping[str, Mapping[str, int]]  # of each module those that it imports, with the line


def modules() -> dict[str, Path]:
    found = {}
    for top in TOPS:
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(source: str, known: Mapping[str, object]) -> dict[str, int]:
    """The modules of the tree that `source` imports anywhere."""
    found: dict[str, int] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.setdefault(alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.setdefault(inner if inner in known else node.module, node.lineno)
    return {name: line for name, line in found.items() if name in known}


def circles(graph: Graph) -> Iterator[set[str]]:
    """Groups of modules that reach each other. (A program's module may import itself by name.)"""
    reach = {name: _reached(graph, name) for name in graph}
    seen: set[str] = set()
    for name in graph:
        circle = {other for other in reach[name] if name in reach[other]}
        if len(circle) > 1 and name not in seen:
            seen |= circle
            yield circle


def _reached(graph: Graph, start: str) -> set[str]:
    found: set[str] = set()
    ahead = list(graph[start])
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead += graph[name]
    return found


def test_there_is_no_import_circle() -> None:
    paths = modules()
    graph = {name: imported(path.read_text(), paths) for name, path in paths.items()}
    found = [
        "\n".join(
            f"{paths[name].relative_to(ROOT)}:{line} imports {other}"
            for name in sorted(circle)
            for other, line in graph[name].items()
            if other in circle
        )
        for circle in circles(graph)
    ]
    assert not found, "\n\n".join(["import circles:", *found])


@pytest.mark.parametrize(
    "back",
    [
        "from agent.a import x",
        "from agent import a",
        "import agent.a",
        "if TYPE_CHECKING:\n    from agent.a import X",
        "def later():\n    from agent.a import x",
    ],
)
def test_each_kind_of_import_counts(back: str) -> None:
    known = {"agent": None, "agent.a": None, "agent.b": None}
    graph = {"agent": {}, "agent.a": imported("import agent.b", known), "agent.b": imported(back, known)}
    assert list(circles(graph)) == [{"agent.a", "agent.b"}]


def test_a_line_and_a_diamond_are_no_circle() -> None:
    assert list(circles({"a": {"b": 1, "c": 2}, "b": {"d": 1}, "c": {"d": 1}, "d": {}})) == []
