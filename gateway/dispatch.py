"""Decides which worker gets a leg. Slots are taken in one step, before any answer, so no two legs share one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.live_calls import LiveCalls
from gateway.record import leg_id_of

__all__ = ["Dispatcher", "SlotTaken", "WorkerSlots"]


@dataclass(frozen=True, slots=True)
class SlotTaken:
    """One leg's place in a worker. `sip_port` is on loopback."""

    leg_id: str
    worker: str
    sip_port: int


@dataclass(slots=True)
class WorkerSlots:
    """A worker and how many legs it takes. `lingering`: slots still occupied by legs that have ended.
    `unannounced`: legs in it that it knows from their INVITE alone. `doubted`: it did not accept a leg, and has been
    silent since."""

    name: str
    sip_port: int
    limit: int
    lingering: int = 0
    unannounced: frozenset[str] = frozenset()
    doubted: bool = False


class Dispatcher:
    """Slots of all workers. Synchronous and on one loop: taking a slot can't be interleaved with anything."""

    def __init__(self, live: LiveCalls, *, fill: bool = False) -> None:
        """`fill`: calls go to the fullest worker with a free slot, for when the cost of each process matters more
        than the number of calls lost in a crash. Otherwise to the one with most free slots."""
        self._live = live
        self._fill = fill
        self._workers: dict[str, WorkerSlots] = {}

    def add(self, name: str, sip_port: int, limit: int) -> None:
        """A worker is ready. Raises ValueError for a name that is already there."""
        if name in self._workers:
            raise ValueError(f"worker {name} is already there")
        self._workers[name] = WorkerSlots(name, sip_port, limit)

    def remove(self, name: str) -> list[str]:
        """Remove a worker and its slots; returns the IDs of the legs that held them. Empty for an unknown name."""
        if self._workers.pop(name, None) is None:
            return []
        legs = list(self._live.of_worker(name))
        for leg_id in legs:
            self._live.withdraw(leg_id)
        return legs

    def heard_of(self, name: str, lingering: int, unannounced: Iterable[str] = ()) -> None:
        """A worker is alive, with this many slots not free yet although their legs have ended, and with these legs
        whose `Prepare` it has not seen: a slot each, too, unless they are live and counted as such."""
        if name in self._workers:
            self._workers[name].lingering = lingering
            self._workers[name].unannounced = frozenset(unannounced)
            self._workers[name].doubted = False

    def doubt(self, name: str) -> None:
        """A call got no response: prefer other workers until this one shows a sign of life."""
        if name in self._workers:
            self._workers[name].doubted = True

    def take(self, call_id: str, now: float, *, leg_id: str = "", prefer: str = "") -> SlotTaken | None:
        """A slot in the next worker; None: all are full. `leg_id`: not given for the customer's. `prefer`: this
        worker first, if it has a free slot.

        Raises ValueError when the leg has a slot already."""
        open_ones = [(free, worker) for worker in self._workers.values() if (free := self._free_in(worker))]
        if not open_ones:
            return None
        _, worker = max(
            open_ones,
            key=lambda each: (
                each[1].name == prefer, not each[1].doubted, -each[0] if self._fill else each[0], each[1].name,
            ),
        )  # fmt: skip
        leg = self._live.place(leg_id or leg_id_of(call_id), call_id, worker.name, now)
        return SlotTaken(leg.leg_id, worker.name, worker.sip_port)

    def release(self, leg_id: str) -> bool:
        """Free the slot of a leg that was never recorded. Idempotent; False if it held none. The end record of other
        legs frees their slot."""
        return self._live.withdraw(leg_id)

    def orphans(self, name: str, held: set[str], now: float, grace_s: float) -> list[str]:
        """Legs that have had a slot of this worker for more than `grace_s`, but that it does not hold."""
        legs = self._live.of_worker(name).values()
        return [leg.leg_id for leg in legs if leg.leg_id not in held and now - leg.slot_taken_at > grace_s]

    def _free_in(self, worker: WorkerSlots) -> int:
        taken = len(self._live.of_worker(worker.name).keys() | worker.unannounced) + worker.lingering
        return max(0, worker.limit - taken)

    @property
    def free(self) -> int:
        return sum(self._free_in(worker) for worker in self._workers.values())

    @property
    def total(self) -> int:
        return sum(worker.limit for worker in self._workers.values())

    @property
    def busy(self) -> int:
        return self._live.in_workers

    @property
    def workers(self) -> dict[str, WorkerSlots]:
        """A view for metrics and health; not to be changed."""
        return self._workers
