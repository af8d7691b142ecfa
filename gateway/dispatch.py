"""Which worker gets a call. Slots are taken in one step, before anything is answered: no two calls share one."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Dispatcher", "SlotTaken", "WorkerSlots"]


@dataclass(frozen=True, slots=True)
class SlotTaken:
    """One call's place in a worker. `sip_port` is on loopback."""

    call_id: str
    worker: str
    sip_port: int


@dataclass(slots=True)
class WorkerSlots:
    """What one worker holds. `calls`: call id -> loop-clock time in seconds at which the slot was taken. `lingering`:
    slots that calls which are over still occupy."""

    name: str
    sip_port: int
    limit: int
    calls: dict[str, float] = field(default_factory=dict)
    accepting: bool = True
    lingering: int = 0

    @property
    def free(self) -> int:
        return max(0, self.limit - len(self.calls) - self.lingering) if self.accepting else 0


class Dispatcher:
    """Slots of all workers. Synchronous and on one loop: taking a slot can't be interleaved with anything."""

    def __init__(self, *, fill: bool = False) -> None:
        """`fill`: calls go to the fullest worker that has a free slot, where what each process costs counts for more
        than how many calls a crash takes along. Otherwise to the one with most free slots."""
        self._fill = fill
        self._workers: dict[str, WorkerSlots] = {}
        self._by_call: dict[str, str] = {}

    def add(self, name: str, sip_port: int, limit: int) -> None:
        """A worker is ready. Raises ValueError for a name that is already there."""
        if name in self._workers:
            raise ValueError(f"worker {name} is already there")
        self._workers[name] = WorkerSlots(name, sip_port, limit)

    def remove(self, name: str) -> list[str]:
        """A worker is gone: the ids of the calls that it held. Empty for an unknown name."""
        worker = self._workers.pop(name, None)
        if worker is None:
            return []
        for call_id in worker.calls:
            del self._by_call[call_id]
        return list(worker.calls)

    def stop_accepting(self, name: str) -> None:
        """The worker keeps its calls and gets no new ones."""
        if name in self._workers:
            self._workers[name].accepting = False

    def linger(self, name: str, slots: int) -> None:
        """So many of a worker's slots are not free yet although their calls are over."""
        if name in self._workers:
            self._workers[name].lingering = slots

    def take(self, call_id: str, now: float) -> SlotTaken | None:
        """A slot in the worker that is next; None: all are full.

        Raises ValueError when the call has a slot already."""
        if call_id in self._by_call:
            raise ValueError(f"call {call_id} already has a slot")
        open_ones = [worker for worker in self._workers.values() if worker.free]
        if not open_ones:
            return None
        worker = max(open_ones, key=lambda w: (-w.free if self._fill else w.free, w.name))
        worker.calls[call_id] = now
        self._by_call[call_id] = worker.name
        return SlotTaken(call_id, worker.name, worker.sip_port)

    def release(self, call_id: str) -> bool:
        """The call is over. Idempotent; False when it held no slot."""
        name = self._by_call.pop(call_id, None)
        if name is None:
            return False
        del self._workers[name].calls[call_id]
        return True

    def worker_of(self, call_id: str) -> str | None:
        return self._by_call.get(call_id)

    def orphans(self, name: str, held: set[str], now: float, grace_s: float) -> list[str]:
        """Calls that have had a slot of this worker for more than `grace_s`, but that it does not hold."""
        worker = self._workers.get(name)
        if worker is None:
            return []
        return [c for c, taken_at in worker.calls.items() if c not in held and now - taken_at > grace_s]

    @property
    def free(self) -> int:
        return sum(worker.free for worker in self._workers.values())

    @property
    def total(self) -> int:
        return sum(worker.limit for worker in self._workers.values())

    @property
    def busy(self) -> int:
        return len(self._by_call)

    @property
    def workers(self) -> dict[str, WorkerSlots]:
        """A view for metrics and health; not to be changed."""
        return self._workers
