"""The queues of a gateway, from its settings, its dialplan and its store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC

from gateway.config import Settings
from gateway.dialplan import Dialplan, normalise
from gateway.live_calls import LiveCalls
from gateway.phones.registered import RegisteredPhones
from gateway.queues.callbacks import PlacesCalls
from gateway.queues.of_settings import OpeningHours, members_of
from gateway.queues.personas_of_ours import OURS
from gateway.queues.service import Ask, QueueService
from gateway.queues.signing import KnownMember
from gateway.record import RecordMessage
from gateway.store import CallStore

__all__ = ["make_queues"]


def make_queues(
    settings: Settings,
    dialplan: Dialplan,
    store: CallStore,
    live: LiveCalls,
    ask: Ask,
    record: Callable[[RecordMessage], None],
    *,
    places: PlacesCalls | None = None,
    phones: RegisteredPhones | None = None,
    may_call: Callable[[str], None] = lambda number: None,
) -> QueueService:
    hours = OpeningHours(settings.queues, dialplan.timezone, dialplan.is_holiday)
    return QueueService(
        settings.queues, members_of(settings.queue_members, settings.queues), store.queues(dialplan.timezone or UTC),
        live, ask, record, hours, gateway=store.gateway_id or "gateway", places=places, may_call=may_call,
        phones=phones,
        number=lambda keyed: normalise(keyed, dialplan.region),
        file_of=lambda name: _file_of(name, dialplan),
        known=[
            KnownMember(each.name, each.target, each.number or "", each.pin.read() if each.pin else "")
            for each in settings.queue_members
        ],
    )  # fmt: skip


def _file_of(persona: str, dialplan: Dialplan) -> str:
    file = OURS if persona.startswith(f"{OURS.stem}.") else None
    return str(next((each.file.resolve() for each in dialplan.personas if str(each) == persona), file) or "")
