"""The edge without its sockets: (message, where from, now) -> actions. Time is an argument throughout.

No incoming message may raise: whatever a part cannot handle is counted and dropped here.
"""

from __future__ import annotations

from collections.abc import Callable
from random import SystemRandom

import structlog

from telephony.edge.budget import begins_something
from telephony.edge.context import EdgeContext, reply_hop
from telephony.edge.counters import counted_method
from telephony.edge.dialing import Dialing
from telephony.edge.dialogs import DialogEvent, DialogState
from telephony.edge.ending import EndingCalls
from telephony.edge.hops import Action, FloodSummedUp, Hop, NotConnected, SendPublic
from telephony.edge.inbound import InboundRequests
from telephony.edge.informing import Informing
from telephony.edge.moving import Moving
from telephony.edge.outbound import PublicResponses, WorkerMessages
from telephony.edge.pending import PendingRequests
from telephony.edge.phone_side import PhoneSide
from telephony.edge.protocol import Dial, WorkerAddress
from telephony.edge.referred import ReferredHere
from telephony.edge.referring import Referring
from telephony.edge.refreshing import Refreshing
from telephony.edge.replacing import Replacing
from telephony.edge.trunk_side import TrunkSide
from telephony.errors import TelephonyMisuse
from telephony.sip import writing
from telephony.sip.parse import Malformed, Request, parse
from telephony.sip.replaces import Replaces

__all__ = ["EdgeCore"]

log = structlog.get_logger(__name__)

_LOG_EVERY_S = 1.0


class EdgeCore:
    def __init__(self, context: EdgeContext, random: Callable[[], float] | None = None) -> None:
        """`random` returns numbers from 0 to 1."""
        self._context = context
        self.phones = PhoneSide(context)
        self._referred = ReferredHere(context)
        self._dialing = Dialing(context)
        self._ending = EndingCalls(context, self._dialing)
        replacing = Replacing(context, self._dialing, self._ending)
        self._inbound = InboundRequests(context, self._referred, replacing, self.phones)
        self._moving = Moving(context, self._ending, self._referred)
        self._from_worker = WorkerMessages(context, self._dialing, replacing, self._moving)
        self.trunks = TrunkSide(context, random or SystemRandom().random)
        self._pending = PendingRequests(context)
        self._referring = Referring(context)
        self._informing = Informing(context)
        self._refreshing = Refreshing(context, self._ending)
        self._from_public = PublicResponses(
            context,
            self._pending,
            self._dialing,
            self.trunks,
            (self._referring, self._refreshing, self._informing, self._referred, self._moving, self.phones),
        )
        self._next_log_at = 0.0
        self._next_error_log_at = 0.0
        self._unlogged = 0

    def receive(self, data: bytes, hop: Hop, now: float) -> list[Action]:
        """A datagram, or a framed message of a TCP connection, from outside."""
        try:
            return self._receive(data, hop, now)
        except Exception:  # noqa: BLE001  (a fault of ours must cost one message, not the socket; it is logged)
            return self._failed(len(data), now)

    def receive_from_worker(self, data: bytes, address: tuple[str, int], now: float) -> list[Action]:
        """A datagram on the loopback socket."""
        try:
            return self._receive_from_worker(data, address, now)
        except Exception:  # noqa: BLE001  (as above)
            return self._failed(len(data), now)

    def _failed(self, size: int, now: float) -> list[Action]:
        self._context.counters.add("internal_errors")
        if now >= self._next_error_log_at:
            self._next_error_log_at = now + _LOG_EVERY_S
            log.exception("message_failed", size=size)
        return []

    def _receive(self, data: bytes, hop: Hop, now: float) -> list[Action]:
        context = self._context
        trunk = context.trunk_of(hop)
        over_rate = False
        if trunk is None:
            if not context.budget.allow(len(data), now):
                return self._dropped(data, hop, trunk, "dropped.stranger", now)
        else:
            if not context.rates.anything.allow(hop.ip, now):
                return self._dropped(data, hop, trunk, "rate_limited.dropped", now)
            over_rate = not context.rates.messages.allow(hop.ip, now)
            if over_rate and begins_something(data) and not context.rates.refusals.allow(hop.ip, now):
                return self._dropped(data, hop, trunk, "rate_limited.dropped", now)
        if len(data) > context.limits.message_bytes:
            return self._malformed(Malformed("too-large", "Message too large"), hop, now)
        if not data.strip(b"\r\n\0 "):
            context.counters.add("keepalives")
            return []
        try:
            message = parse(data, stream=hop.stream)
        except Malformed as error:
            return self._malformed(error, hop, now)
        if isinstance(message, Request):
            context.counters.add(f"received.{counted_method(message.method)}")
            return self._inbound.handle(message, hop, now, over_rate=over_rate)
        context.counters.add(f"received.{message.status // 100}xx")
        return self._from_public.handle(message, hop, now)

    def _dropped(self, data: bytes, hop: Hop, trunk: str | None, counter: str, now: float) -> list[Action]:
        """Drop it unread. What looks like a new call is counted in the flood's summary."""
        self._context.counters.add(counter)
        if data.startswith(b"INVITE ") and begins_something(data):
            self._context.floods.add(hop.ip, trunk, now)
        return []

    def _receive_from_worker(self, data: bytes, address: tuple[str, int], now: float) -> list[Action]:
        context = self._context
        worker = context.worker_addresses.get(address)
        if worker is None:
            context.counters.add("dropped.not_a_worker")
            return []
        if not data.strip(b"\r\n\0 "):
            return []
        try:
            message = parse(data)
        except Malformed as error:
            context.counters.add("malformed_from_worker")
            self._log_garbage("malformed message from a worker", error.kind, worker.name, now)
            return []
        if isinstance(message, Request):
            context.counters.add(f"from_workers.{counted_method(message.method)}")
            return self._from_worker.request(message, worker, now)
        context.counters.add(f"from_workers.{message.status // 100}xx")
        return self._from_worker.response(message, worker, now)

    def _malformed(self, error: Malformed, hop: Hop, now: float) -> list[Action]:
        """Answered when it was a request with readable Via, From, To, Call-ID and CSeq; never forwarded."""
        context = self._context
        context.counters.add(f"malformed.{error.kind}")
        self._log_garbage("malformed message", error.kind, hop.ip, now)
        if not error.lines or error.via is None:
            return []
        texts = {line.name: line.text for line in error.lines}
        tagged = ";tag=" in "".join(texts["to"].lower().split())
        tag = "" if tagged else context.branches.to_tag(texts["call-id"], texts["from"], error.via)
        data = writing.respond(
            error.lines, error.via, (hop.ip, hop.port), error.status, reason=error.reason, to_tag=tag
        )
        context.counters.add(f"answered.{error.status}")
        return [SendPublic(reply_hop(error.via, hop), data)]

    def _log_garbage(self, event: str, kind: str, source: str, now: float) -> None:
        """Log at most one line per second, without any content of the message."""
        if now < self._next_log_at:
            self._unlogged += 1
            return
        self._next_log_at = now + _LOG_EVERY_S
        log.warning(event, kind=kind, source=source, not_logged=self._unlogged)
        self._unlogged = 0

    # Workers and calls

    def add_worker(self, worker: WorkerAddress) -> None:
        context = self._context
        address = (worker.host, worker.port)
        if context.workers.get(worker.name) == worker:
            return
        if worker.name in context.workers or address in context.worker_addresses:
            raise TelephonyMisuse(
                f"worker {worker.name!r} or its address {worker.host}:{worker.port} is already registered"
            )
        context.workers[worker.name] = worker
        context.worker_addresses[address] = worker

    def remove_worker(self, name: str, now: float) -> list[Action]:
        """Its remaining calls are ended first. Idempotent."""
        _, actions = self.end_worker_legs(name, now)
        worker = self._context.workers.pop(name, None)
        if worker is not None:
            del self._context.worker_addresses[(worker.host, worker.port)]
        return actions

    def end_worker_legs(self, name: str, now: float) -> tuple[list[str], list[Action]]:
        ended: list[str] = []
        actions: list[Action] = []
        for dialog in self._context.dialogs.of_worker(name):
            if dialog.live:
                ended.append(dialog.leg_id)
                actions += self._ending.end(dialog, "worker lost", now, tell_worker=False, status=503)
            elif dialog.state is DialogState.ENDED:
                dialog.happened(DialogEvent.CUT)  # nobody is left to answer retransmissions
        return ended, actions

    def allow_dial(self, dial: Dial, now: float) -> None:
        if self._context.workers.get(dial.worker.name) != dial.worker:
            raise TelephonyMisuse(f"worker {dial.worker.name!r} is not there")
        self._dialing.allow(dial, now)

    def decided(self, token: str, now: float) -> list[Action] | None:
        """None: the caller has given up."""
        return self._inbound.decided(token, now)

    def not_connected(self, failed: NotConnected, now: float) -> list[Action]:
        """No connection could be made to this address, or it broke at once."""
        return self._dialing.not_connected(failed, now) + self.trunks.not_connected(failed, now)

    def connection_closed(self, connection: int, now: float) -> list[Action]:
        return self.phones.closed(connection, now)

    def last_word(self, leg_id: str, cause: str) -> SendPublic | None:
        dialog = self._context.dialogs.of_leg(leg_id)
        return None if dialog is None else self._ending.last_word(dialog, cause)

    def refer(self, leg_id: str, target: str, now: float) -> list[Action]:
        dialog = self._context.dialogs.of_leg(leg_id)
        if dialog is None:
            raise TelephonyMisuse(f"there is no call of leg {leg_id}")
        return self._referring.refer(dialog, target, now)

    def report_refer(self, refer_id: str, status: int, reason: str, now: float) -> list[Action]:
        return self._referred.report(refer_id, status, reason, now)

    def move_leg(self, from_leg: str, to_leg: str, token: str, now: float) -> list[Action]:
        source, target = self._context.dialogs.of_leg(from_leg), self._context.dialogs.of_leg(to_leg)
        if source is None or target is None:
            raise TelephonyMisuse(f"there are no calls of both legs {from_leg} and {to_leg}")
        return self._moving.begin(source, target, token, now)

    def is_answered(self, leg_id: str) -> bool:
        dialog = self._context.dialogs.of_leg(leg_id)
        return dialog is not None and dialog.state is DialogState.CONFIRMED

    def in_place_of(self, leg_id: str) -> str:
        dialog = self._context.dialogs.of_leg(leg_id)
        if dialog is None or dialog.state is not DialogState.CONFIRMED:
            raise TelephonyMisuse(f"there is no answered call of leg {leg_id}")
        named = Replaces(dialog.sip_call_id, dialog.public.tag, dialog.worker.public_tag)
        return f"{dialog.public.contact.partition('?')[0]}?{named.in_uri}&Require=replaces"

    def send_key(self, leg_id: str, key: str, duration_ms: int, token: str, now: float) -> list[Action]:
        dialog = self._context.dialogs.of_leg(leg_id)
        if dialog is None:
            raise TelephonyMisuse(f"there is no call of leg {leg_id}")
        return self._informing.send(dialog, key, duration_ms, token, now)

    def end_leg(self, leg_id: str, cause: str, now: float) -> list[Action]:
        """Empty when there is no such live call."""
        dialog = self._context.dialogs.of_leg(leg_id)
        return [] if dialog is None else self._ending.end(dialog, cause, now, tell_worker=True)

    def finish(self) -> list[Action]:
        """The edge closes: the remaining notifications."""
        return [FloodSummedUp(flood) for flood in self._context.floods.rest()]

    def close_leg(self, leg_id: str, status: int, cause: str, now: float) -> list[Action]:
        """The gateway's record of the call is closed: a caller still waiting for an answer gets one (`status`, or 500),
        and a connected one gets a BYE."""
        dialog = self._context.dialogs.of_leg(leg_id)
        if dialog is None or dialog.state not in (DialogState.INVITING, DialogState.CONFIRMED):
            return []
        return self._ending.end(dialog, cause, now, tell_worker=True, status=status if status >= 400 else 500)

    def tick(self, now: float) -> list[Action]:
        """Retransmissions and expiry; call it every 100 ms or so."""
        context = self._context
        again, lost = context.resends.due(now)
        actions: list[Action] = [*again]
        for key in lost:
            actions += self._dialing.unreachable(key, now)
            actions += self.trunks.lost(key, now)
            actions += self.phones.lost(key, now)
            actions += self._referring.lost(key)
            actions += self._informing.lost(key)
            actions += self._referred.lost(key)
            actions += self._moving.lost(key, now)
            actions += self._refreshing.lost(key, now)
        actions += [FloodSummedUp(flood) for flood in context.floods.due(now)]
        actions += self._pending.due(now)
        actions += self._refreshing.due(now)
        actions += self._inbound.due(now)
        actions += self._dialing.due(now)
        actions += self.trunks.due(now)
        actions += self.phones.due(now)
        for due in context.relays.due(now):
            actions += self._ending.due(due, now)
        for dialog in context.dialogs.expired(now):
            if dialog.state is DialogState.INVITING:
                actions += self._ending.no_answer(dialog, now)
                continue
            if dialog.live:
                actions += context.end_dialog(dialog, DialogEvent.SILENT, now)
                context.counters.add("dialogs_expired")
            context.dialogs.remove(dialog)
        context.expire_attempts(now)
        return actions
