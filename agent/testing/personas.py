"""Finding the persona that a test names: `path/to/file.py:Class`.

As for a dialplan, the file's folder counts as a package, so that `from . import other` works in it.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
import types
from pathlib import Path

from agent.persona import Agent

__all__ = ["PersonaNotFound", "find_file", "load_persona"]


class PersonaNotFound(LookupError):
    """The file, or the class in it, is not there, or it is no persona."""

    def __str__(self) -> str:
        return str(self.args[0])


def find_file(name: str, beside: Path | None = None) -> Path | None:
    """A file that a fixture names: from the working directory, else from the nearest folder above `beside` that has
    it (so that tests may run from anywhere). None: nowhere."""
    for folder in (Path.cwd(), *(beside.resolve().parents if beside is not None else ())):
        if (folder / name).is_file():
            return (folder / name).resolve()
    return None


def load_persona(reference: str, beside: Path | None = None) -> type[Agent]:
    """`reference`: `path/to/file.py:Class`. Raises PersonaNotFound; what the file itself raises comes through."""
    name, _, class_name = reference.rpartition(":")
    file = find_file(name, beside)
    if file is None or file.suffix != ".py":
        raise PersonaNotFound(f"there is no Python file {name!r}, seen from {Path.cwd()}")
    module = importlib.import_module(f"{_package(file.parent)}.{file.stem}")
    found = getattr(module, class_name, None)
    if not (isinstance(found, type) and issubclass(found, Agent)):
        raise PersonaNotFound(f"{name} has no persona {class_name!r}; it has: {', '.join(_personas(module))}")
    return found


def _package(folder: Path) -> str:
    name = f"trunkline_test_personas_{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    if name not in sys.modules:
        package = types.ModuleType(name, f"Personas in {folder}")
        package.__path__ = [str(folder)]
        sys.modules[name] = package
        importlib.invalidate_caches()
    return name


def _personas(module: types.ModuleType) -> list[str]:
    values = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, Agent)]
    return [value.__name__ for value in values if value is not Agent]
