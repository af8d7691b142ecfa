"""Finds the persona that a test names: `path/to/file.py:Class`, or `path/to/file.py:factory`.

As for a dialplan, the file's folder counts as a package, so that `from . import other` works in it.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import inspect
import sys
import types
from pathlib import Path
from typing import Any

from agent.factory import BadFactory, PersonaMaker, check_factory
from agent.persona import Agent

__all__ = ["PersonaNotFound", "find_file", "load_persona"]


class PersonaNotFound(LookupError):
    """The file, or the class or factory in it, does not exist or is not a persona. The text says what was looked for,
    where, and what to write instead."""

    def __str__(self) -> str:
        return str(self.args[0])


def find_file(name: str, beside: Path | None = None) -> Path | None:
    """A file that a fixture names: relative to the working directory, else to the nearest folder above `beside` that
    has it (so that tests may run from anywhere). None: not found."""
    for folder in (Path.cwd(), *(beside.resolve().parents if beside is not None else ())):
        if (folder / name).is_file():
            return (folder / name).resolve()
    return None


def load_persona(reference: str, beside: Path | None = None) -> PersonaMaker:
    """`reference`: `path/to/file.py:Class`, or `:factory`. Raises PersonaNotFound; exceptions of the file itself pass
    through."""
    name, colon, wanted = reference.rpartition(":")
    file = find_file(name, beside) if colon else None
    if file is None or file.suffix != ".py":
        raise PersonaNotFound(_not_there(reference, beside))
    module = importlib.import_module(f"{_package(file.parent)}.{file.stem}")
    found: Any = module
    for part in wanted.split("."):
        found = getattr(found, part, None)
    if isinstance(found, type) and issubclass(found, Agent):
        return found
    try:
        if found is not None and not isinstance(found, type):
            check_factory(found)
            return found  # type: ignore[no-any-return]  # callable: it has been checked
    except BadFactory as error:
        raise PersonaNotFound(f"{name}:{wanted}: {error}") from error
    there = ", ".join(_names(module)) or "none"
    raise PersonaNotFound(f"{name} has no persona {wanted!r}; personas and factories in it: {there}")


def _not_there(reference: str, beside: Path | None) -> str:
    """The error for a dialplan's name, a module, or a file elsewhere."""
    name, colon, wanted = reference.rpartition(":")
    if not colon:
        module, _, wanted = reference.partition(".") if not reference.endswith(".py") else (reference[:-3], "", "")
        name = f"{module.replace('.', '/')}.py"
    elif not name.endswith(".py"):
        name = f"{name.replace('.', '/')}.py"
    file_name, wanted = Path(name).name, wanted or "Class"
    looked = [Path.cwd(), *(beside.resolve().parents if beside is not None else ())]
    if not colon and reference.endswith(".py") and Path(reference).is_file():
        return f"{reference!r} names no persona: write it as {reference}:Class, or :factory"
    lines = [f"no persona {reference!r}: no file {name} in {looked[0]}" + (" or above the test" if beside else "")]
    elsewhere = sorted(path for path in Path.cwd().glob(f"*/{file_name}") if not path.parent.name.startswith("."))
    if not elsewhere and Path(name).is_file():
        elsewhere = [Path(name)]
    if elsewhere:
        lines += [f"did you mean {_relative(path)}:{wanted}?" for path in elsewhere[:3]]
    else:
        files = sorted(path for path in [*Path.cwd().glob("*.py"), *Path.cwd().glob("dialplans/*.py")])
        near = difflib.get_close_matches(file_name, [path.name for path in files], 1)
        lines += [f"did you mean {_relative(path)}:{wanted}?" for path in files if path.name in near]
        lines.append("write the file and the class or factory in it, as in dialplans/clinic.py:Reception")
    return "\n".join(lines)


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_absolute() else path


def _package(folder: Path) -> str:
    name = f"trunkline_test_personas_{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    if name not in sys.modules:
        package = types.ModuleType(name, f"Personas in {folder}")
        package.__path__ = [str(folder)]
        sys.modules[name] = package
        importlib.invalidate_caches()
    return name


def _names(module: types.ModuleType) -> list[str]:
    """Personas, and functions of the file that return one by their annotation."""
    names = []
    for name, value in vars(module).items():
        is_persona = isinstance(value, type) and issubclass(value, Agent) and value is not Agent
        if is_persona or (inspect.isfunction(value) and value.__module__ == module.__name__ and _returns_agent(value)):
            names.append(name)
    return names


def _returns_agent(function: Any) -> bool:
    hint = str(function.__annotations__.get("return", ""))
    return "Agent" in hint
