"""What the settings' queues take from dialplans: hours as they are written there, and personas that callers overflow
to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gateway.config import Problem, Settings
from gateway.dialplan.model import PersonaRef
from gateway.dialplan.times import parse_times

__all__ = ["queue_problems"]


def queue_problems(settings: Settings, personas: Iterable[PersonaRef], *, has_timezone: bool) -> Iterator[Problem]:
    known = {str(persona) for persona in personas}
    for index, queue in enumerate(settings.queues):
        where = f"queues[{index}]"
        over = queue.overflow.persona if queue.overflow is not None else None
        if over is not None and over not in known:
            yield Problem("settings", 0, f"{where}.overflow.persona", f"no dialplan names the persona {over}")
        if queue.hours is None:
            continue
        try:
            parse_times(queue.hours)
        except ValueError as error:
            yield Problem("settings", 0, f"{where}.hours", str(error))
        if queue.timezone is None and not has_timezone:
            yield Problem("settings", 0, f"{where}.timezone", "required: the dialplans have no time zone in common")
        elif queue.timezone is not None:
            try:
                ZoneInfo(queue.timezone)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                yield Problem("settings", 0, f"{where}.timezone", f'no time zone is called "{queue.timezone}"')
