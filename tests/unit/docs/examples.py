"""The examples of README and docs/: fenced blocks and their kinds, and the commands named in text and blocks.

A block's language says how to treat it. If a block needs more than itself, an invisible HTML comment on the line before
says what:

    <!-- run with: NAME -->    what `test_examples.py` has under that name is there
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TREE = Path(__file__).parents[3]
DOCUMENTS = (TREE / "README.md", *sorted((TREE / "docs").glob("*.md")))

_FENCE = re.compile(r"^```(\w*)\s*$")
_MARK = re.compile(r"^<!-- (run with): (.+) -->$")
_CODE = re.compile(r"`(trunkline (?![wj]\d)[^`]+)`")  # `trunkline w1-1` is the name of a process
_PROGRAM = re.compile(r"^(\$ )?(?=(trunkline|make|python|curl) )")


@dataclass(frozen=True)
class Block:
    """`line`: of its first line. `mark`: "" or "run with"; `what` stands behind it."""

    document: Path
    line: int
    language: str
    text: str
    mark: str = ""
    what: str = ""

    def __str__(self) -> str:
        return f"{self.document.name}:{self.line}"

    @property
    def file_name(self) -> str:
        """As its first line says in a comment; "" without one."""
        found = re.match(r"# ([\w./-]+\.\w+)\n", self.text)
        return found[1] if found else ""


@dataclass(frozen=True)
class Command:
    """`mention`: in running text, where what it is given may be left out."""

    document: Path
    line: int
    text: str
    mention: bool = False

    def __str__(self) -> str:
        return f"{self.document.name}:{self.line} {self.text[:60]}"

    def words(self) -> list[str]:
        """Without what is optional, a pipe's rest, and the dots of a usage."""
        plain = re.sub(r"\[[^\]]*\]", "", self.text).replace("...", "").replace("…", "FILE")
        words = shlex.split(plain, comments=True)
        return words[: words.index("|")] if "|" in words else words


def blocks(document: Path) -> list[Block]:
    found: list[Block] = []
    lines = document.read_text().splitlines()
    start: int | None = None
    for number, line in enumerate(lines):
        fence = _FENCE.match(line)
        if fence is None:
            continue
        if start is not None:
            mark = _MARK.match(lines[start - 1]) if start else None
            language = _FENCE.match(lines[start])
            assert language is not None
            found.append(
                Block(
                    document, start + 2, language[1], "\n".join(lines[start + 1 : number]) + "\n",
                    mark[1] if mark else "", mark[2] if mark else "",
                )
            )  # fmt: skip
        start = number if start is None else None
    assert start is None, f"{document}: the block of line {start} has no end"
    return found


def all_blocks(*languages: str) -> list[Block]:
    return [block for document in DOCUMENTS for block in blocks(document) if block.language in languages]


def commands(program: str) -> list[Command]:
    """In blocks, in indented lines and in the running text."""
    return [each for document in DOCUMENTS for each in _commands(document) if each.text.startswith(f"{program} ")]


def _commands(document: Path) -> Iterator[Command]:
    for number, line in enumerate(document.read_text().splitlines(), 1):
        if program := _PROGRAM.match(line.strip()):
            for text in line.strip()[program.end() :].split(" | "):
                yield Command(document, number, text)
        else:
            for code in _CODE.findall(line.replace("\\|", "|")):
                yield Command(document, number, code, mention=True)
