"""Line numbers of a persona class's attributes, so that mistakes can be reported with their line."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = ["lines_of_classes"]


def lines_of_classes(file: Path) -> Mapping[str, Mapping[str, int]]:
    """For each class of the file: the lines of its attributes by name, of the keys of dictionaries among them as
    `canned.goodbye`, and its own line as "". Empty for a file that can't be read."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return {}
    return {
        statement.name: {"": statement.lineno, **dict(_attributes(statement))}
        for statement in tree.body
        if isinstance(statement, ast.ClassDef)
    }


def _attributes(body: ast.ClassDef) -> Iterator[tuple[str, int]]:
    for statement in body.body:
        targets: list[ast.expr] = []
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        else:
            continue
        for name in (target.id for target in targets if isinstance(target, ast.Name)):
            yield name, statement.lineno
            if isinstance(statement.value, ast.Dict):
                for key in statement.value.keys:
                    if isinstance(key, ast.Constant) and isinstance(key.value, str):
                        yield f"{name}.{key.value}", key.lineno
