"""Legs that this worker dials: further ones of its own calls, and of calls in other workers, whose rooms they join
over a local socket."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Protocol

import structlog

from agent.warm.asking import AskError, Asking, Refused
from gateway.calls.call import media_watch_of
from gateway.calls.dialling import DIAL, MOVE_LEG, PLACE, REFER, REFER_REPORT, DialOrder, LegPlan, PlacedLeg
from gateway.calls.journal import LegJournal
from gateway.calls.key_by_info import send_by_info
from gateway.calls.leg_owner import LegOwner
from gateway.calls.queue_terms import QUEUE
from gateway.calls.verbs import TransferOrder
from gateway.callworker.announced import Slots
from gateway.callworker.held_legs import DialledWorkersLeg, HeldLeg
from gateway.callworker.hosted_leg import HostedLeg
from gateway.config import CallSettings
from gateway.control import EndLeg
from gateway.record import LegClosed, Outcome
from telephony.call import CallInfo
from telephony.errors import DialRefused, TelephonyError
from telephony.rooms.protocol import LegAudio
from telephony.rooms.remote import PlaceLost, RemotePlaces, Ticket, take_place
from telephony.rooms.remote_leg import RemoteLeg

__all__ = ["DiallingEndpoint", "LegDialling"]

log = structlog.get_logger(__name__)

ASK_LIMIT_S = 5.0  # for the gateway to decide, and for another worker to place the leg
MOVE_LIMIT_S = 45.0  # for a phone to answer our re-INVITE, or not
_FOLDER = "trunkline-legs-"  # in the system's folder for temporary files; then the process id


class DiallingEndpoint(Protocol):
    """What it needs from `telephony.pjsua.Endpoint`."""

    async def dial(self, leg_id: str, info: CallInfo, edge: tuple[str, int], audio: LegAudio) -> DialledWorkersLeg: ...


class LegDialling:
    """Implements `Dialler`, and answers `PLACE`. `connect` comes first."""

    def __init__(
        self,
        endpoint: DiallingEndpoint,
        slots: Slots,
        legs: MutableMapping[str, HeldLeg],
        record: Callable[[Mapping[str, object]], None],
        limits: CallSettings,
        over: Callable[[str], None],
    ) -> None:
        """`legs`: of the worker; `over(leg_id)` is called when one of ours has ended."""
        self._endpoint = endpoint
        self._slots = slots
        self._legs = legs
        self._record = record
        self._limits = limits
        self._over = over
        self._asking: Asking | None = None
        self._places: RemotePlaces | None = None
        self._folder: Path | None = None
        self._opening = asyncio.Lock()
        self._hosted: set[HostedLeg] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def connect(self, asking: Asking) -> None:
        """The channel to the gateway is there."""
        self._asking = asking
        asking.serve(PLACE, self._place)

    # --- of a call here ------------------------------------------------------------------------------------------

    async def dial(self, order: DialOrder, audio: LegAudio) -> PlacedLeg:
        """As `Dialler.dial`."""
        asking = self._asking
        if asking is None:
            raise DialRefused("failed", "no gateway connection")
        places = await self._open_places()
        distant = RemoteLeg()
        ticket, link, _ = places.offer(audio, distant.take, distant.lost)
        distant.use(link)
        try:
            answer = await asking.ask(DIAL, {**order.to_dict(), "ticket": asdict(ticket)}, timeout_s=ASK_LIMIT_S)
            plan = LegPlan.from_dict(answer["plan"])
        except Refused as refused:
            places.withdraw(ticket)
            raise DialRefused(refused.kind, refused.text, retryable=refused.retryable) from refused
        except (AskError, KeyError, TypeError, ValueError) as error:
            places.withdraw(ticket)
            raise DialRefused("failed", str(error), retryable=True) from error
        if not answer["here"]:
            distant.adopt(plan.info)
            return PlacedLeg(distant, elsewhere=True)
        places.withdraw(ticket)
        try:
            return PlacedLeg(await self._dial(plan, audio), elsewhere=False)
        except TelephonyError as error:
            self._not_placed(plan, str(error))
            raise DialRefused("failed", str(error), retryable=error.retryable) from error

    async def refer(self, call_id: str, leg_id: str, order: TransferOrder, *, replaces: str = "") -> None:
        """As `Dialler.refer`."""
        await self._refer(call_id, leg_id, order, only_uri=False, replaces=replaces)

    async def refer_uri(self, call_id: str, leg_id: str, order: TransferOrder) -> str:
        """For a leg that has no dialog with the edge. Raises DialRefused."""
        return str((await self._refer(call_id, leg_id, order, only_uri=True))["uri"])

    async def _refer(
        self, call_id: str, leg_id: str, order: TransferOrder, *, only_uri: bool, replaces: str = ""
    ) -> Mapping[str, Any]:
        if self._asking is None:
            raise DialRefused("failed", "no gateway connection")
        body = {
            "call_id": call_id, "leg_id": leg_id, "to": order.to, "trunk": order.trunk, "only_uri": only_uri,
            "replaces": replaces,
        }  # fmt: skip
        try:
            return await self._asking.ask(REFER, body, timeout_s=ASK_LIMIT_S)
        except Refused as refused:
            raise DialRefused(refused.kind, refused.text, retryable=refused.retryable) from refused
        except AskError as error:
            raise DialRefused("failed", str(error), retryable=True) from error

    def report_refer(self, refer_id: str, status: int, reason: str) -> None:
        """As `Dialler.report_refer`."""
        self._spawn(self._report(refer_id, status, reason))

    async def _report(self, refer_id: str, status: int, reason: str) -> None:
        body = {"refer_id": refer_id, "status": status, "reason": reason}
        with suppress(AskError):  # without a gateway the phone's leg ends anyway
            if self._asking is not None:
                await self._asking.ask(REFER_REPORT, body, timeout_s=ASK_LIMIT_S)

    async def move_leg(self, from_leg: str, to_leg: str) -> None:
        """As `Dialler.move_leg`."""
        if self._asking is None:
            raise DialRefused("failed", "no gateway connection")
        try:
            answer = await self._asking.ask(MOVE_LEG, {"from_leg": from_leg, "to_leg": to_leg}, timeout_s=MOVE_LIMIT_S)
        except AskError as error:
            raise DialRefused("failed", str(error)) from error
        if int(answer["status"]) != 200:
            raise DialRefused("failed", f"{answer['status']} {answer['reason']}")

    async def ask_queues(self, call_id: str, verb: str, how: Mapping[str, Any]) -> Mapping[str, Any]:
        """As `Dialler.ask_queues`."""
        if self._asking is None:
            raise DialRefused("failed", "no gateway connection")
        try:
            return await self._asking.ask(QUEUE, {**how, "call_id": call_id, "verb": verb}, timeout_s=ASK_LIMIT_S)
        except Refused as refused:
            raise DialRefused(refused.kind, refused.text, retryable=refused.retryable) from refused
        except AskError as error:
            raise DialRefused("failed", str(error), retryable=True) from error

    async def place(self, plan: LegPlan, audio: LegAudio) -> DialledWorkersLeg:
        """The first leg of a call that the gateway has placed here. Raises TelephonyError."""
        return await self._dial(plan, audio)

    def hold(self, owner: LegOwner) -> None:
        """As `Dialler.hold`."""
        leg: Any = owner.leg  # created by `_dial`

        def end(message: EndLeg) -> None:
            self._spawn(owner.end(message.reason))

        self._legs[owner.leg_id] = HeldLeg(leg, end)
        owner.ended.add_done_callback(lambda _: self._ended(owner.leg_id))

    def _ended(self, leg_id: str) -> None:
        self._slots.left(leg_id)
        self._over(leg_id)

    def _not_placed(self, plan: LegPlan, reason: str) -> None:
        """The gateway has taken its slot, so report it."""
        closed = LegClosed(
            leg_id=plan.leg_id, call_id=plan.info.call_id, outcome=Outcome.FAILED, ended_at=datetime.now(UTC),
            end_reason=reason,
        )  # fmt: skip
        self._record(closed.to_dict())

    async def _dial(self, plan: LegPlan, audio: LegAudio) -> DialledWorkersLeg:
        """Raises TelephonyError."""
        self._slots.dialled(plan.leg_id)
        try:
            leg = await self._endpoint.dial(plan.leg_id, plan.info, plan.edge, audio)
        except TelephonyError:
            self._slots.left(plan.leg_id)
            raise
        leg.trust_media([ip_network(text) for text in plan.media_networks])
        leg.use_keys(plan.keys, partial(send_by_info, self._asking, plan.leg_id))
        return leg

    # --- of a call in another worker -----------------------------------------------------------------------------

    async def _place(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The gateway asks. Raises Refused."""
        plan, ticket = LegPlan.from_dict(body["plan"]), Ticket(**body["ticket"])
        structlog.contextvars.bind_contextvars(call_id=plan.info.call_id, leg_id=plan.leg_id)
        hosted = HostedLeg()
        try:
            audio, link = await take_place(ticket, hosted.message, hosted.gone)
        except PlaceLost as error:
            raise Refused("failed", str(error), retryable=True) from error
        try:
            leg = await self._dial(plan, audio)
        except TelephonyError as error:
            link.close()
            raise Refused("failed", str(error), retryable=error.retryable) from error
        journal = LegJournal(plan.leg_id, asyncio.get_running_loop().time, plan.info.call_id, self._record)
        owner = LegOwner(leg, plan.role, journal, hosted.fact, media_watch_of(leg, self._limits))
        self.hold(owner)
        self._hosted.add(hosted)
        owner.ended.add_done_callback(lambda _: self._hosted.discard(hosted))
        hosted.begin(owner, link)
        return {}

    # --- the worker's end ----------------------------------------------------------------------------------------

    async def end(self, reason: str) -> None:
        """Legs of others' calls; of our own ones their calls end them. Never raises."""
        await asyncio.gather(*(hosted.end(reason) for hosted in self._hosted))

    async def close(self) -> None:
        if self._places is not None:
            await self._places.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        for task in self._tasks:
            task.cancel()

    async def _open_places(self) -> RemotePlaces:
        """Once there is a call that needs it: most never do."""
        async with self._opening:
            if self._places is None:
                _sweep()
                self._folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-"))
                self._places = RemotePlaces(self._folder)
                await self._places.open()
            return self._places

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _sweep() -> None:
    """What workers left that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        pid = folder.name.removeprefix(_FOLDER).partition("-")[0]
        with suppress(OSError):
            if pid.isdigit() and folder.stat().st_uid == os.getuid() and not Path("/proc", pid).exists():
                shutil.rmtree(folder, ignore_errors=True)
