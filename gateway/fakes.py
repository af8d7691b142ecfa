"""Fakes of the edge and the workers for `gateway.reconciler` and `gateway.drain`: they keep what came out."""

from __future__ import annotations

from collections.abc import Callable

from gateway.control import Message

__all__ = ["FakeEdge", "FakeWorkers"]


class FakeEdge:
    """Implements `EdgeControl`. `words`: call id -> its last word, given out once."""

    def __init__(self) -> None:
        self.did: list[tuple[str, ...]] = []
        self.words: dict[str, tuple[str, int, bytes]] = {}

    def add_worker(self, name: str, host: str, port: int) -> None:
        self.did.append(("add", name))

    def end_worker_calls(self, name: str) -> None:
        self.did.append(("end worker", name))

    def remove_worker(self, name: str) -> None:
        self.did.append(("remove", name))

    def last_word(self, call_id: str) -> tuple[str, int, bytes] | None:
        return self.words.pop(call_id, None)

    def close_call(self, call_id: str, sip_status: int, cause: str) -> None:
        self.did.append(("close call", call_id, str(sip_status), cause))

    def end_call(self, call_id: str) -> bool:
        self.did.append(("end call", call_id))
        return True


class FakeWorkers:
    """Implements `WorkerControl`. `broadcasts` has the seconds of `now` with each message."""

    def __init__(self, now: Callable[[], float], wanted: int = 1) -> None:
        self.wanted = wanted
        self.sent: list[tuple[str, Message]] = []
        self.broadcasts: list[tuple[float, Message]] = []
        self._now = now

    def send(self, name: str, message: Message) -> bool:
        self.sent.append((name, message))
        return True

    def broadcast(self, message: Message) -> None:
        self.broadcasts.append((self._now(), message))
