"""Reads a fixture's YAML so that all mistakes can be reported at once, with file and line. A number in place of text is
refused: `dtmf: 0123` without quotes is 123 to other YAML parsers."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

__all__ = ["Entry", "FixtureError", "Problems", "read_entry"]


class FixtureError(Exception):
    """A fixture is invalid. `problems` are lines of `file:line: mistake`, in the order of the file."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class Problems:
    """The mistakes in one file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._found: list[tuple[int, str]] = []

    def add(self, line: int, message: str) -> None:
        """`line` 0: the file as a whole."""
        if (line, message) not in self._found:
            self._found.append((line, message))

    def check(self) -> None:
        """Raise FixtureError if anything was wrong."""
        if self._found:
            ordered = sorted(self._found, key=lambda found: found[0])
            raise FixtureError(
                f"{self.file}:{line}: {text}" if line else f"{self.file}: {text}" for line, text in ordered
            )


class Entry:
    """One value of the file. Its methods return the value as a certain type, or note the problem and return a harmless
    substitute."""

    def __init__(self, node: Node, name: str, problems: Problems) -> None:
        self._node = node
        self.name = name
        self.problems = problems
        self.line: int = node.start_mark.line + 1

    def wrong(self, message: str) -> None:
        self.problems.add(self.line, f"{self.name}: {message}" if self.name else message)

    @property
    def is_mapping(self) -> bool:
        return isinstance(self._node, MappingNode)

    @property
    def is_text(self) -> bool:
        return isinstance(self._node, ScalarNode) and isinstance(self._scalar(), str)

    def mapping(self, known: Iterable[str] | None = None) -> dict[str, Entry]:
        """Its entries by key. Keys not in `known` are problems."""
        if not isinstance(self._node, MappingNode):
            self.wrong("must be a group of `key: value`")
            return {}
        found: dict[str, Entry] = {}
        names = None if known is None else list(known)
        for key_node, value_node in self._node.value:
            key = str(key_node.value) if isinstance(key_node, ScalarNode) else "?"
            line = key_node.start_mark.line + 1
            entry = Entry(value_node, key, self.problems)
            if key in found:
                self.problems.add(line, f"{key} is given twice")
            elif names is not None and key not in names:
                close = difflib.get_close_matches(key, names, 1)
                self.problems.add(
                    line, f"there is no `{key}` here" + (f"; did you mean `{close[0]}`?" if close else "")
                )
                continue
            found[key] = entry
        return found

    def items(self) -> Iterator[Entry]:
        if not isinstance(self._node, SequenceNode):
            self.wrong("must be a list")
            return
        for number, node in enumerate(self._node.value, 1):
            yield Entry(node, f"{self.name}, entry {number}" if self.name else f"entry {number}", self.problems)

    def text(self) -> str:
        if not isinstance(self._node, ScalarNode):
            self.wrong("must be text")
            return ""
        value = self._scalar()
        if not isinstance(value, str):
            written = str(self._node.value)
            self.wrong(f'{written} is not text: write "{written}" in quotes' if written else "is empty")
            return written
        return value

    def texts(self) -> tuple[str, ...]:
        """One text or a list of them."""
        if isinstance(self._node, SequenceNode):
            return tuple(item.text() for item in self.items())
        return (self.text(),)

    def number(self, least: float, most: float) -> float:
        value = self._scalar()
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.wrong("must be a number")
        elif not least <= value <= most:
            self.wrong(f"must be from {least:g} to {most:g}, not {value:g}")
        else:
            return float(value)
        return least

    def flag(self) -> bool:
        value = self._scalar()
        if not isinstance(value, bool):
            self.wrong("must be true or false")
        return value is True

    def plain(self) -> Any:
        """Any value, as plain Python."""
        if isinstance(self._node, MappingNode):
            return {name: entry.plain() for name, entry in self.mapping().items()}
        if isinstance(self._node, SequenceNode):
            return [item.plain() for item in self.items()]
        return self._scalar()

    def _scalar(self) -> str | int | float | bool | None:
        if not isinstance(self._node, ScalarNode):
            return None
        text = str(self._node.value)
        return text if self._node.style is not None else _plain(text)


def _plain(text: str) -> str | int | float | bool | None:
    """The YAML 1.2 core schema (section 10.3.2), without notations that no fixture needs."""
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return text.lower() == "true"
    if re.fullmatch(r"[-+]?[0-9]{1,15}", text):
        return int(text)
    if re.fullmatch(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)", text):
        return float(text)
    return text


def read_entry(file: Path) -> Entry:
    """The whole file. Raises FixtureError if it cannot be read or is not YAML."""
    try:
        root = YAML(typ="rt", pure=True).compose(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FixtureError([f"{file}: no such file"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise FixtureError([f"{file}: cannot be read: {error}"]) from error
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{file}:{mark.line + 1}" if mark is not None else str(file)
        said = " ".join(part for part in (error.context, error.problem) if part)
        raise FixtureError([f"{place}: not valid YAML: {said}"]) from error
    except (YAMLError, RecursionError) as error:
        raise FixtureError([f"{file}: not valid YAML: {error}"]) from error
    if root is None:
        raise FixtureError([f"{file}: is empty"])
    return Entry(root, "", Problems(file))
