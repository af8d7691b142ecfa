"""Models that run in onnxruntime: where they lie, whether they are whole, and how a session of ours is set up."""

from __future__ import annotations

import hashlib
import platform
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

from agent.providers.base import ProviderUnavailable
from agent.warm.memory import Trimming

__all__ = ["check_machine", "files_of", "open_model", "worked"]

_SPARE_MIB = 64  # that the rest of the gateway needs to start
_TRIM_EVERY_S = 0.5
_trim = Trimming(_TRIM_EVERY_S)


def worked() -> None:
    """To be called after a model has worked on a sentence: that took 10 to 30 MiB, which malloc would keep."""
    _trim(time.monotonic())


def check_machine(provider: str, needs_mib: int, cpu_flags: str | None = None, free_mib: int | None = None) -> None:
    """Before a model is loaded: one that this processor can't run, or that does not fit, would end the whole process.
    `cpu_flags`, `free_mib`: the machine's, if they are not given. Raises ProviderUnavailable."""
    flags = _cpu_flags() if cpu_flags is None else cpu_flags
    if flags and "avx" not in flags.split():
        raise ProviderUnavailable(provider, "it needs a processor with AVX, which this one lacks")
    free = int(psutil.virtual_memory().available / 2**20) if free_mib is None else free_mib
    if free < needs_mib + _SPARE_MIB:
        raise ProviderUnavailable(provider, f"it needs {needs_mib} MiB of memory; {free} MiB are free")


def _cpu_flags() -> str:
    """Empty: they can't be told, or are of another kind of processor."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return ""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2] for line in lines if line.startswith("flags")), "")


def files_of(provider: str, package: str, folder: str, hashes: dict[str, str], extra: str) -> dict[str, Path]:
    """Files of an installed package, which is not imported for it, each checked against its SHA-256. `extra`: how to
    install the package. Raises ProviderUnavailable that says what is missing or damaged."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ProviderUnavailable(provider, f"the package {package} is not installed: pip install '{extra}'")
    base = Path(spec.submodule_search_locations[0]) / folder
    found = {name: base / name for name in hashes}
    for name, path in found.items():
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise ProviderUnavailable(provider, f"{name} of {package} cannot be read: {error.strerror}") from error
        if digest != hashes[name]:
            raise ProviderUnavailable(provider, f"{name} of {package} is damaged, or of another version: reinstall it")
    return found


def open_model(provider: str, model: Path | bytes) -> Any:
    """A session on one thread: many calls share a process, and what they ask is short. `model`: a file, or what would
    be in it. Raises ProviderUnavailable."""
    try:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # an arena keeps what its longest input ever took
        options.enable_mem_pattern = False  # one more buffer for each length of input
        options.log_severity_level = 3
        given = model if isinstance(model, bytes) else str(model)
        session = onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
        session._model_bytes = None  # it has its own copy, and would keep these for other processors
        return session
    except ImportError as error:
        raise ProviderUnavailable(provider, f"onnxruntime cannot be loaded: {error}") from error
    except Exception as error:  # onnxruntime's errors have no common base
        name = model.name if isinstance(model, Path) else "a model made of it"
        raise ProviderUnavailable(provider, f"{name} cannot be loaded: {error}") from error
