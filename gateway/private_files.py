"""Only the gateway's user may read records and recordings: files 0600, folders 0700."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

import structlog

__all__ = ["close_to_others", "tighten", "tighten_recordings"]

log = structlog.get_logger(__name__)

_FOR_OTHERS = 0o077


def close_to_others() -> None:
    """From now on this process and its children create files that only their owner may read."""
    os.umask(_FOR_OTHERS)


def tighten(store: Path, recordings: Path) -> int:
    """Remove other users' rights from a database (with SQLite's and our files next to it) and from the top folder of
    recordings, in case an older version or a copy left them open; return how many were changed.

    Files of other users are left alone and logged. The store's folder may contain other files, so
    its rights stay.
    """
    real = store.resolve()
    beside = sorted(real.parent.glob(f"{real.name}[-.]*")) if real.parent.is_dir() else []
    return _tightened((real, *beside, recordings.resolve()))


def tighten_recordings(recordings: Path) -> int:
    """The same for everything in the recordings folder. Blocking, 5 us per file: run it in a thread."""
    return _tightened(_below(recordings))


def _tightened(paths: Iterable[Path]) -> int:
    count = 0
    for path in paths:
        try:
            mode = path.lstat().st_mode
            if not stat.S_ISLNK(mode) and mode & _FOR_OTHERS:
                path.chmod(stat.S_IMODE(mode) & ~_FOR_OTHERS)
                count += 1
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            log.warning("file_open_to_others", file=str(path), error=str(error))
    if count:
        log.info("closed_to_other_users", files=count)
    return count


def _below(recordings: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(recordings):
        for name in (*folders, *files):
            yield Path(folder) / name
