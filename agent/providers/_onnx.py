"""Models that run in onnxruntime: where they lie, whether they are whole, and how a session of ours is set up."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from agent.providers.base import ProviderUnavailable

__all__ = ["files_of", "open_model"]


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


def open_model(provider: str, path: Path) -> Any:
    """A session on one thread: many calls share a process, and what they ask is short. Raises ProviderUnavailable."""
    try:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # an arena keeps what its longest input ever took
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except ImportError as error:
        raise ProviderUnavailable(provider, f"onnxruntime cannot be loaded: {error}") from error
    except Exception as error:  # onnxruntime's errors have no common base
        raise ProviderUnavailable(provider, f"{path.name} cannot be loaded: {error}") from error
