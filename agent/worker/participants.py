"""Selects participants of a room, and runs callbacks for each one that joins."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from telephony.livekit.events import ParticipantKind, RemoteParticipant

    Kinds: TypeAlias = ParticipantKind | Collection[ParticipantKind] | None
    Entry: TypeAlias = Callable[[RemoteParticipant], Awaitable[None]]

__all__ = ["ParticipantEntrypoints", "fits"]

_log = logging.getLogger(__name__)


def fits(who: RemoteParticipant, kind: Kinds, identity: str | None = None) -> bool:
    """Whether it is one of these kinds, and has this identity if one is given; without kinds, agents don't count."""
    from telephony.livekit.events import ParticipantKind

    if identity is not None and who.identity != identity:
        return False
    if kind is None:
        return who.kind is not ParticipantKind.AGENT
    return who.kind is kind if isinstance(kind, ParticipantKind) else who.kind in kind


class ParticipantEntrypoints:
    """Functions that run for each joining participant, in parallel, but one at a time for the same participant."""

    def __init__(self) -> None:
        self._functions: dict[object, tuple[Entry, Kinds]] = {}
        self._tasks: dict[tuple[str, object], asyncio.Task[None]] = {}

    def add(self, name: object, function: Entry, kind: Kinds, present: Collection[RemoteParticipant]) -> None:
        """Also runs it for those `present`. Raises ValueError for a duplicate name."""
        if name in self._functions:
            raise ValueError("a participant entrypoint is added once")
        self._functions[name] = (function, kind)
        for who in present:
            self._run(name, function, kind, who)

    def came(self, who: RemoteParticipant) -> None:
        for name, (function, kind) in list(self._functions.items()):
            self._run(name, function, kind, who)

    async def close(self) -> None:
        """Cancel everything still running."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _run(self, name: object, function: Entry, kind: Kinds, who: RemoteParticipant) -> None:
        key = (who.identity, name)
        if not fits(who, kind) or key in self._tasks:
            return

        async def run() -> None:
            try:
                await function(who)
            except Exception:  # noqa: BLE001 - user code; the job and the others continue
                _log.exception("a participant's entrypoint failed for %s", who.identity)
            finally:
                self._tasks.pop(key, None)

        self._tasks[key] = asyncio.create_task(run(), name=f"participant {who.identity}")
