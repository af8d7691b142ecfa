"""Fields that a job adds to all its log lines: `ctx.log_context_fields`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

__all__ = ["FIELDS", "LOG_FORMAT", "add_log_fields"]

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s%(job_fields)s"
FIELDS: ContextVar[Mapping[str, Any] | None] = ContextVar("log fields of the job", default=None)


class _Record(logging.LogRecord):
    """With the fields of the job whose task created it: each as an attribute, as with `extra`, unless that name is
    taken; all as text in `job_fields`."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        fields = FIELDS.get() or {}
        self.job_fields = "".join(f" {name}={value}" for name, value in fields.items())
        for name, value in fields.items():
            if not hasattr(self, name) and name not in ("message", "asctime"):  # logging refuses these two
                setattr(self, name, value)


def add_log_fields() -> None:
    """Add them to all records that this process creates from now on."""
    logging.setLogRecordFactory(_Record)
