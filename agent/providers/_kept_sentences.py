"""Audio of sentences spoken before: greetings and canned answers are the same in each call. Pure.

Sentences kept for all before a process forks are in memory shared by all forks, and are never dropped; of later ones
each process keeps the latest.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

__all__ = ["KeptSentences"]

_Key = tuple[str, str]  # voice, text


class KeptSentences:
    """For threads. `most_bytes`: of what is kept for all; `latest_bytes`: of the rest."""

    def __init__(self, most_bytes: int, latest_bytes: int) -> None:
        self._for_all: dict[_Key, bytes] = {}
        self._room_for_all = most_bytes
        self._latest: OrderedDict[_Key, bytes] = OrderedDict()
        self._room = latest_bytes
        self._lock = Lock()

    def get(self, voice: str, text: str) -> bytes | None:
        key = (voice, text)
        found = self._for_all.get(key)
        if found is not None:
            return found
        with self._lock:
            found = self._latest.get(key)
            if found is not None:
                self._latest.move_to_end(key)
            return found

    def keep(self, voice: str, text: str, pcm: bytes) -> None:
        key = (voice, text)
        with self._lock:
            if key in self._latest:
                return
            self._latest[key] = pcm
            self._room -= len(pcm)
            while self._room < 0:
                self._room += len(self._latest.popitem(last=False)[1])

    def keep_for_all(self, voice: str, text: str, pcm: bytes) -> bool:
        """False: there is no room left."""
        if len(pcm) > self._room_for_all:
            return False
        self._room_for_all -= len(pcm)
        self._for_all[voice, text] = pcm
        return True
