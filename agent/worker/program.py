"""The code that job processes run, as names that can be sent to another process."""

from __future__ import annotations

import importlib
import runpy
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.warm.parent import LoadFailed

__all__ = ["Program", "ProgramError", "Reference"]

_MAIN = "__trunkline_main__"


class ProgramError(LoadFailed):
    """The program was not found."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A module-level function or object. `path`: the file of a program started as `__main__`."""

    module: str
    name: str
    path: str = ""

    @classmethod
    def of(cls, target: Any) -> Reference:
        """Raises ProgramError for objects without a name in a module."""
        module, name = getattr(target, "__module__", ""), getattr(target, "__qualname__", "")
        if not module or not name or "<" in name:
            raise ProgramError(f"{target!r} must be defined at the top of a module: job processes look it up by name")
        if module != "__main__":
            return cls(module, name)
        main = sys.modules["__main__"]
        spec = getattr(main, "__spec__", None)
        if spec is not None and spec.name:
            return cls(spec.name, name)
        return cls("", name, str(Path(getattr(main, "__file__", "")).resolve()))

    def resolve(self) -> Any:
        """Raises ProgramError, and exceptions of the module's import."""
        try:
            found: Any = _module_at(self.path) if self.path else importlib.import_module(self.module)
            for part in self.name.split("."):
                found = found[part] if isinstance(found, dict) else getattr(found, part)
        except (AttributeError, KeyError) as error:
            raise ProgramError(f"{self.path or self.module} has no {self.name}") from error
        return found


_ran: dict[str, dict[str, Any]] = {}


def _module_at(path: str) -> dict[str, Any]:
    """A program's names. It runs once, and not as `__main__`, so that its guarded part does not start another
    worker."""
    if path not in _ran:
        sys.path.insert(0, str(Path(path).parent))
        _ran[path] = runpy.run_path(path, run_name=_MAIN)
    return _ran[path]


@dataclass(frozen=True, slots=True)
class Program:
    """`entrypoint(ctx)` runs each job. `preload(arguments)` is called once in the warm parent: import and load, start
    no thread. `prewarm(process)` is called in each process before its first job. `orphaned(process, bodies)` is awaited
    in a process whose main process has died, after its jobs have ended: with their first messages, repeated, and those
    sent since with `JobContext.send`. `arguments`: for all, pickled. `keys`: LiveKit's API key and secret, for jobs to
    renew their tokens with.
    """

    entrypoint: Reference
    preload: Reference | None = None
    prewarm: Reference | None = None
    orphaned: Reference | None = None
    arguments: Any = None
    memory_warn_mb: float = 0.0
    memory_limit_mb: float = 0.0
    keys: tuple[str, str] | None = field(default=None, repr=False)

    def entry(self) -> Callable[..., Any]:
        found: Callable[..., Any] = self.entrypoint.resolve()
        if not callable(found):
            raise ProgramError(f"{self.entrypoint.name} is not a function")
        return found
