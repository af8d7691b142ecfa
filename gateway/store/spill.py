"""Files next to the store for messages it cannot take: records survive the end of their gateway, even by kill -9.

`<store>.waiting.jsonl`: messages that wait while the store fails; the next start writes them into it.
`<store>.unstorable.jsonl`: messages that a working store refused; each start tries them again. Each line is a record
message as JSON. Blocking: work with it in a thread.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

import structlog

from gateway.record import CallRecord, RecordMessage, closed_part, message_from_dict, opened_part

__all__ = ["Spill", "encoded"]

log = structlog.get_logger(__name__)


class Spill:
    """All methods that touch the disk may raise OSError."""

    def __init__(self, store: Path, role: str = "") -> None:
        """`role`: of a program that shares the store with a gateway."""
        real = Path(os.path.realpath(store))
        name = f"{real.name}.{role}" if role else real.name
        self.waiting = real.with_name(f"{name}.waiting.jsonl")
        self.unstorable = real.with_name(f"{name}.unstorable.jsonl")

    def append(self, path: Path, lines: Iterable[str]) -> None:
        """It is on disk when this returns."""
        text = "".join(f"{line}\n" for line in lines)
        if not text:
            return
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            data = memoryview(text.encode())
            while data:
                data = data[os.write(fd, data) :]
            os.fsync(fd)
        finally:
            os.close(fd)

    def replace(self, path: Path, lines: Iterable[str]) -> None:
        """Replace the file atomically; without lines it is deleted."""
        kept = list(lines)
        if not kept:
            path.unlink(missing_ok=True)
            return
        new = path.with_name(f"{path.name}.new")
        new.unlink(missing_ok=True)
        self.append(new, kept)
        new.replace(path)

    def mentions(self, call_id: str) -> bool:
        """Whether any message of this call waits or was set aside."""
        messages = [*self.read(self.waiting), *self.read(self.unstorable)]
        return any(call_id == getattr(message, "call_id", "") for message in messages)

    def read(self, path: Path) -> list[RecordMessage]:
        """In order; empty if there is no file. A line cut off by the end of its process is left out."""
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []
        messages: list[RecordMessage] = []
        for line in lines:
            try:
                messages.append(message_from_dict(json.loads(line)))
            except (ValueError, AttributeError) as error:
                log.error("spilled_record_unreadable", file=path.name, error=str(error))
        return messages


def encoded(message: RecordMessage) -> list[str]:
    """Lines of JSON; a complete record becomes its beginning and its end."""
    parts = (opened_part(message), closed_part(message)) if isinstance(message, CallRecord) else (message,)
    return [json.dumps(part.to_dict(), default=str) for part in parts]
