"""Reads YAML 1.2, keeping each value's line and original text.

The usual loaders turn `+15550100` and `012` into numbers and lose the original text; for phone numbers that is
a different number. Here plain scalars follow the YAML 1.2 core schema (section 10.3.2), and `Document.written`
keeps the text of each, so that a number in place of text can be refused quoting the user's own text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

__all__ = ["ConfigError", "Document", "Located", "Problem", "number_as_text", "path_text", "read_yaml"]

Located = tuple[str | int, ...]  # a place in a document: ("sip", "listen", 0)

_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_NULL = ("", "~", "null", "Null", "NULL")
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_MAX_DIGITS = 20  # longer numbers are not meant as such, and Python refuses very long ones
_MAX_VALUES = 100_000  # aliases of aliases can make a small file enormous


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a file. `line` is 1-based; 0: the file as a whole. `where` as in `sip.listen[0]`."""

    file: str
    line: int
    where: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.where}: {self.message}" if self.where else f"{place}: {self.message}"


class ConfigError(Exception):
    """Settings or dialplans are invalid. `problems` lists all that were found, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def path_text(path: Located) -> str:
    """`("sip", "listen", 0)` as `sip.listen[0]`; keys that are not plain words are quoted."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif re.fullmatch(r"[A-Za-z_][\w-]*", part):
            text += f".{part}" if text else part
        else:
            text += f'["{part}"]'
    return text


@dataclass(slots=True)
class Document:
    """A file's content: `data` is plain (dict, tuple, str, int, float, bool, None)."""

    file: str
    data: Any = None
    lines: dict[Located, int] = field(default_factory=dict)
    key_lines: dict[Located, int] = field(default_factory=dict)
    written: dict[Located, str] = field(default_factory=dict)  # plain scalars that are not text: as written
    problems: list[Problem] = field(default_factory=list)

    def line(self, path: Located) -> int:
        """The line of a value, or of the nearest enclosing one that is in the file."""
        while path and path not in self.key_lines and path not in self.lines:
            path = path[:-1]
        return self.key_lines.get(path) or self.lines.get(path, 0)

    def problem(self, path: Located, message: str) -> None:
        self.problems.append(Problem(self.file, self.line(path), path_text(path), message))

    def done(self) -> None:
        """Raise ConfigError if anything was wrong."""
        if self.problems:
            raise ConfigError(sorted(self.problems, key=lambda problem: problem.line))


def read_yaml(path: Path | str, text: str | None = None) -> Document:
    """Read one file (or `text` in its name). Problems in the text are in the result; an unreadable file or invalid
    YAML raises ConfigError."""
    file = str(path)
    if text is None:
        try:
            text = Path(path).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise ConfigError([Problem(file, 0, "", "no such file")]) from None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError([Problem(file, 0, "", f"cannot be read: {error}")]) from error
    try:
        root = YAML(typ="rt", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = " ".join(part for part in (error.context, error.problem) if part)
        line = mark.line + 1 if mark is not None else 0
        raise ConfigError([Problem(file, line, "", f"not valid YAML: {said}")]) from error
    except YAMLError as error:
        raise ConfigError([Problem(file, 0, "", f"not valid YAML: {error}")]) from error
    except RecursionError:
        raise ConfigError([Problem(file, 0, "", "nested too deeply")]) from None
    document = Document(file)
    if root is not None:
        document.data = _Reader(document).value(root, (), ())
    return document


class _Reader:
    def __init__(self, document: Document) -> None:
        self._document = document
        self._count = 0

    def value(self, node: Node, path: Located, above: tuple[int, ...]) -> Any:
        document = self._document
        line = node.start_mark.line + 1
        document.lines.setdefault(path, line)
        self._count += 1
        if id(node) in above or len(above) > 50 or self._count > _MAX_VALUES:
            raise ConfigError([Problem(document.file, line, path_text(path), "nested too deeply, or contains itself")])
        above = (*above, id(node))
        if isinstance(node, MappingNode):
            return self._mapping(node, path, above)
        if isinstance(node, SequenceNode):
            return tuple(self.value(item, (*path, index), above) for index, item in enumerate(node.value))
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        raise ConfigError([Problem(document.file, line, path_text(path), "not a YAML value")])

    def _mapping(self, node: MappingNode, path: Located, above: tuple[int, ...]) -> dict[str, Any]:
        document, result = self._document, dict[str, Any]()
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, ScalarNode):
                document.problems.append(Problem(document.file, line, path_text(path), "a key must be plain text"))
                continue
            key = str(key_node.value)
            here = (*path, key)
            if key in result:
                first = document.key_lines[here]
                document.problems.append(
                    Problem(document.file, line, path_text(here), f"given twice; first in line {first}")
                )
                continue
            document.key_lines[here] = line
            if key_node.style is None and not isinstance(_plain(key), str):
                document.problem(here, _not_text(key))
            elif key == "<<" and key_node.style is None:
                document.problem(here, "merge keys are not part of YAML 1.2")
            result[key] = self.value(value_node, here, above)
        return result

    def _scalar(self, node: ScalarNode, path: Located) -> Any:
        if node.style is not None:  # quoted or a block: text
            return str(node.value)
        text = str(node.value)
        value = _plain(text)
        if not isinstance(value, str):
            self._document.written[path] = text
        if _LEADING_ZERO.fullmatch(text):
            meant = f'write "{text}" in quotes if it is text, or {value} if it is a number'
            self._document.problem(path, f"{text} begins with a zero, which YAML does not keep: {meant}")
        return value


def _plain(text: str) -> str | int | float | bool | None:
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text) and len(text) <= _MAX_DIGITS:
        digits = text.lstrip("+-")
        return int(text, 0) if digits[:2] in ("0o", "0x") else int(text)
    if _FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


def number_as_text(written: Mapping[Located, str], path: Located) -> str | None:
    """The error for a plain scalar in place of text; None if there is none at `path`."""
    text = written.get(path)
    return None if text is None else _not_text(text)


def _not_text(text: str) -> str:
    if text in _NULL:
        return "is empty"
    kind = "a yes/no value" if text in _BOOL else "a number"
    return f'{text} is {kind} here, not text: write "{text}" in quotes'
