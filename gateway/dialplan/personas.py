"""From `clinic.Reception` in a dialplan to the class, or from `clinic.reception` to the factory: looked for without
running its file, and loaded.

Each dialplan folder is a package of its own under a made-up name, so that two folders may both have an `orders.py`,
files in one folder can use each other with `from . import orders`, and nothing is added to sys.path.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from gateway.config.located_yaml import ConfigError, Problem
from gateway.dialplan.model import PersonaRef

if TYPE_CHECKING:
    from agent import Agent
    from agent.factory import PersonaMaker

__all__ = ["PersonaSource", "classes_in", "line_of", "load_persona"]

PersonaSource = Mapping[str, int] | Problem  # names -> lines, or why the file cannot be read


def classes_in(file: Path) -> PersonaSource:
    """What could be a persona or a factory in a file, found by reading it: classes, functions, and names that are
    imported or assigned."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    except FileNotFoundError:
        return Problem(str(file), 0, "", "no such file")
    except (OSError, UnicodeDecodeError) as error:
        return Problem(str(file), 0, "", f"cannot be read: {error}")
    except SyntaxError as error:
        return Problem(str(file), error.lineno or 0, "", f"not valid Python: {error.msg}")
    names: dict[str, int] = {}
    for statement in tree.body:
        if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names[statement.name] = statement.lineno
        elif isinstance(statement, ast.ImportFrom):
            names.update({alias.asname or alias.name: statement.lineno for alias in statement.names})
        elif isinstance(statement, ast.Assign):
            names.update({target.id: statement.lineno for target in statement.targets if isinstance(target, ast.Name)})
    return names


def load_persona(ref: PersonaRef, base: type | None = None) -> PersonaMaker:
    """Import the file (once per process) and return the class or the factory. Raises ConfigError naming file and line.

    `base`: what a class must be derived from; None: `agent.Agent`, imported only here.
    """
    if ref.flow is not None:
        from gateway.flows.persona import flow_persona  # here, as `_agent` is

        return flow_persona(ref.flow)
    required = base or _agent()
    found: Any = _module(ref.file)
    file = str(ref.file)
    named = f" (named in {ref.where})" if ref.where else ""
    for part in ref.name.split("."):
        found = getattr(found, part, None)
    if found is None:
        raise ConfigError([Problem(file, 0, "", f"has no class or factory {ref.name}{named}")])
    wrong = _wrong(found, required)
    if wrong:
        raise ConfigError([Problem(file, line_of(ref), "", f"{ref.name} is not a persona: {wrong}{named}")])
    return cast("PersonaMaker", found)


def line_of(ref: PersonaRef) -> int:
    """Line of the class or the factory in its file; 0: not found."""
    found = classes_in(ref.file)
    return 0 if isinstance(found, Problem) else found.get(ref.name.partition(".")[0], 0)


def _wrong(found: object, required: type) -> str:
    """Why it cannot answer calls; empty if it can."""
    if isinstance(found, type):
        good = issubclass(found, required) and found is not required
        return "" if good else "it must be a class derived from agent.Agent"
    from agent.factory import BadFactory, check_factory

    try:
        check_factory(cast("Any", found))
    except BadFactory as error:
        return str(error)
    return ""


def _agent() -> type[Agent]:
    from agent import Agent  # here, so that a dry run of a dialplan does not load the agent

    return Agent


def _module(file: Path) -> types.ModuleType:
    package = _package(file.parent.resolve())
    name = f"{package}.{file.stem}"
    if name in sys.modules:
        return sys.modules[name]
    if not file.is_file():
        raise ConfigError([Problem(str(file), 0, "", "no such file")])
    importlib.invalidate_caches()  # the folder may have changed since the import system cached it
    try:
        return importlib.import_module(name)
    except SyntaxError as error:
        broken = error.filename or str(file)
        raise ConfigError([Problem(broken, error.lineno or 0, "", f"not valid Python: {error.msg}")]) from error
    except Exception as error:
        line, hint = _line_in(file, error), ""
        if isinstance(error, ModuleNotFoundError) and error.name and (file.parent / f"{error.name}.py").is_file():
            hint = f'; import files in the same folder with a dot: "from .{error.name} import …"'
        said = f"import failed: {type(error).__name__}: {error}{hint}"
        raise ConfigError([Problem(str(file), line, "", said)]) from error


def _package(folder: Path) -> str:
    digest = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
    name = f"trunkline_dialplan_{digest}"
    if name not in sys.modules:
        package = types.ModuleType(name, f"Personas in {folder}")
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    return name


def _line_in(file: Path, error: BaseException) -> int:
    """The last line of `file` that the error came through; 0: none."""
    line, trace = 0, error.__traceback__
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename).resolve() == file.resolve():
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
