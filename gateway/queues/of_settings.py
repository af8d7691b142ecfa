"""The settings' queues and members as the queues' machine has them, and when each is open. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from gateway.config import MemberSettings, QueueSettings
from gateway.config.queues import OverflowSettings
from gateway.dialplan.times import TimeSpec, parse_times
from gateway.queues.model import Absent, LeaveWith, Member, Overflow, Place, Queue, Skill, Strategy

__all__ = ["OpeningHours", "members_of", "queue_of", "skills_of"]


def skills_of(levels: Mapping[str, int]) -> tuple[Skill, ...]:
    return tuple(Skill(name, level) for name, level in levels.items())


def queue_of(queue: QueueSettings) -> Queue:
    return Queue(
        queue.name, Strategy(queue.strategy), queue.weight, queue.ring_s, queue.retry_s, queue.wrap_up_s,
        queue.most_waiting, queue.most_wait_s, _overflow(queue.overflow),
        Absent.SIGNED_OUT if queue.leave_empty else Absent.NEVER, None, queue.service_level_s,
        skills_of(queue.skills), queue.widen_after_s, queue.announce_every_s,
        {key: LeaveWith(how) for key, how in queue.leave_by_key.items()}, queue.agent_helps,
    )  # fmt: skip


def _overflow(to: OverflowSettings | None) -> Overflow | None:
    return None if to is None else Overflow(to.queue or "", to.persona or "", to.number or "", to.voicemail)


def members_of(members: Iterable[MemberSettings], queues: Iterable[QueueSettings]) -> tuple[Member, ...]:
    places: dict[str, list[Place]] = {}
    for queue in queues:
        for order, place in enumerate(queue.members):
            places.setdefault(place.name, []).append(Place(queue.name, place.penalty, place.weight, order))
    return tuple(
        Member(
            each.name,
            each.target,
            tuple(places.get(each.name, ())),
            skills_of(each.skills),
            each.calls_at_once,
            each.signed_in,
        )
        for each in members
    )


class OpeningHours:
    """Since when each queue is closed."""

    def __init__(
        self, queues: Iterable[QueueSettings], timezone: ZoneInfo | None, is_holiday: Callable[[date], bool]
    ) -> None:
        """`timezone`: of the dialplans, for queues without one. Raises ValueError for hours that cannot be read."""
        self._hours: dict[str, tuple[TimeSpec, ZoneInfo]] = {}
        self._closed: dict[str, float] = {}
        self._is_holiday = is_holiday
        for queue in queues:
            if queue.hours is not None:
                zone = ZoneInfo(queue.timezone) if queue.timezone else timezone or ZoneInfo("UTC")
                self._hours[queue.name] = parse_times(queue.hours), zone

    def is_open(self, queue: str, now: float) -> bool:
        if queue not in self._hours:
            return True
        spec, zone = self._hours[queue]
        return spec.matches(datetime.fromtimestamp(now, UTC).astimezone(zone), self._is_holiday)

    def applied(self, queue: Queue, now: float) -> Queue:
        """Times go forward."""
        if self.is_open(queue.name, now):
            self._closed.pop(queue.name, None)
            return queue
        return replace(queue, closed_since=self._closed.setdefault(queue.name, now))
