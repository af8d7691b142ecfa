"""The picture of the tree in docs/architecture.md names every folder of code, and no other."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
TOPS = ("telephony", "agent", "gateway")


def drawn() -> set[str]:
    """The folders of the picture, as paths: two spaces of indentation a level."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    picture = text.split("The tree, a line a folder", 1)[1].split("```")[1]
    found: set[str] = set()
    path: list[str] = []
    for indent, name in re.findall(r"^( *)(\w+)/  +\S", picture, re.MULTILINE):
        path[len(indent) // 2 :] = [name]
        found.add("/".join(path))
    return found


def test_the_picture_of_the_tree_names_every_folder_of_code() -> None:
    folders = {str(path.parent.relative_to(ROOT)) for top in TOPS for path in (ROOT / top).rglob("*.py")}
    assert drawn() == folders
