"""Where the personas of ours around queues are: a file that is loaded as a dialplan's are."""

from __future__ import annotations

from pathlib import Path

__all__ = ["OURS"]

OURS = Path(__file__).with_name("queue_personas.py")
