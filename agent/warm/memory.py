"""Keeps the memory of forked processes small and shared. Linux with glibc; does nothing elsewhere."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path

__all__ = ["Trimming", "clean_mappings", "give_back", "map_library", "use_few_arenas"]

_M_ARENA_MAX = -8  # <malloc.h>
_MADV_DONTNEED = 4  # <sys/mman.h>
_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (....) \S+ \S+ \d+ *(.*)\n")
_WRITTEN = ("Private_Dirty:", "Shared_Dirty:", "Anonymous:", "Swap:")


def give_back() -> None:
    """Return memory to the system that only loading needed: free memory within the heap (7 MiB after a Silero model),
    and unchanged pages of libraries (10 MiB), which come back from the page cache on use. Call it in a process with a
    single thread, before it forks."""
    libc = ctypes.CDLL(None)
    trim = getattr(libc, "malloc_trim", None)
    if trim is not None:
        trim(0)
    try:
        smaps = Path("/proc/self/smaps").read_text()
    except OSError:
        return
    for start, end in clean_mappings(smaps.splitlines(keepends=True)):
        libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED)


class Trimming:
    """Gives free memory back to the system after work that took much, once in a while: it takes a millisecond."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        self._again_at = 0.0

    def __call__(self, now: float) -> None:
        """Work is done. `now`: seconds, of a clock that doesn't jump."""
        if self._trim is not None and now >= self._again_at:
            self._again_at = now + self._every_s
            self._trim(0)


def clean_mappings(smaps: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Start and end of each read-only mapping of a file whose pages are all unchanged; memory relocated by the linker
    is not."""
    found: tuple[int, int] | None = None
    for line in smaps:
        mapping = _MAPPING.match(line)
        if mapping is not None:
            if found is not None:
                yield found
            start, end, access, name = mapping.groups()
            of_file = name.startswith("/") and access[1] == "-" and access[3] == "p"
            found = (int(start, 16), int(end, 16)) if of_file else None
        elif line.startswith(_WRITTEN) and line.split()[1] != "0":
            found = None
    if found is not None:
        yield found


def map_library(package: str, name: str) -> None:
    """Map the shared library `name` of `package`'s files, without calling anything in it. For a warm parent: its forks
    then share the pages written by the linker (1 MiB for LiveKit's library) and ctypes' data about it."""
    path = resources.files(package).joinpath(name)
    if path.is_file():
        ctypes.CDLL(str(path))


def use_few_arenas(most: int) -> None:
    """Limit the number of malloc's arenas. By default every native thread gets its own, up to eight per core."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, most)
