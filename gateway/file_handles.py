"""File handles: connections, sockets and recordings take one each, and a soft limit of 1,024 is soon used up."""

from __future__ import annotations

import resource

import structlog

__all__ = ["raise_soft_limit"]

WANTED = 8_192  # SIP and HTTP connections, the channels to workers, the store, and room to spare
log = structlog.get_logger(__name__)


def raise_soft_limit(wanted: int = WANTED) -> int:
    """Raise the soft limit to the hard one; call workers inherit it. Logs a warning if less than `wanted` is
    available. Returns the effective limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    trouble = ""
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError) as error:
            trouble = str(error)
    if 0 <= soft < wanted:  # negative means RLIM_INFINITY
        log.warning("file_handles_low", limit=soft, hard_limit=hard, wanted=wanted, error=trouble)
    return soft
