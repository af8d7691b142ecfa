"""The gateway's answer to the edge for each new INVITE: route it, take a slot, tell the worker - or say why not.

Everything is synchronous: nothing can happen between the decision and taking the slot.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import structlog

from gateway.after_call import AfterCalls
from gateway.before_call import AsksBeforeCall, Said, entry, question
from gateway.config import Settings
from gateway.control import LEG_HEADER, Prepare
from gateway.dialplan import BeforeCall, Dialplan, NoRoute, Route
from gateway.dialplan.numbers import normalise
from gateway.dispatch import Dispatcher
from gateway.flows import step_to_dict
from gateway.live_calls import LiveCalls
from gateway.outbound.number_format import TrunkNumbers
from gateway.record import CallEvents, CallOpened
from telephony.call import CallInfo, Direction, Diversion
from telephony.edge import Forward, GatewayStatus, InviteInfo, Later, Refuse, WorkerAddress
from telephony.keys import KeyTerms

__all__ = ["Admission"]

log = structlog.get_logger(__name__)

RETRY_AFTER_S = 5
_VARIABLE_CHARACTERS = 1000  # as of variables over REST


class Admission:
    """Implements the edge's Admitter."""

    def __init__(
        self,
        settings: Settings,
        dialplan: Dialplan,
        dispatcher: Dispatcher,
        live: LiveCalls,
        *,
        prepare: Callable[[str, Prepare], bool],
        opened: Callable[[CallOpened | CallEvents], None],
        now: Callable[[], float],
        asker: AsksBeforeCall,
        after_calls: AfterCalls,
        key_terms: Callable[[Sequence[str]], KeyTerms] = lambda _: KeyTerms(),
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`prepare` sends to a worker by name, False if it is gone; `now` is the loop clock in seconds; `key_terms`:
        how keys go over these trunks."""
        self._key_terms = key_terms
        self._settings = settings
        self._dialplan = dialplan
        self._dispatcher = dispatcher
        self._live = live
        self._prepare = prepare
        self._opened = opened
        self._asker = asker
        self._after_calls = after_calls
        self._answered: dict[str, tuple[CallInfo, Route, Said, datetime]] = {}  # by call id
        self._asking: dict[str, str] = {}  # the SIP Call-ID of calls whose hook is pending -> our id
        self._decide: Callable[[str], bool] = lambda _: False
        self._supervision: Callable[[InviteInfo], Refuse | None] = lambda _: None
        self._now = now
        self._wall = wall
        self._numbers = {trunk.name: TrunkNumbers(trunk) for trunk in settings.sip.trunks}
        self._headers_in = {trunk.name: trunk.headers_in for trunk in settings.sip.trunks}
        self._regions = {trunk.name: trunk.region for trunk in settings.sip.trunks}
        self._phones = settings.sip.phones
        self._media_networks = {trunk.name: list(trunk.media_sources) for trunk in settings.sip.trunks}
        self.draining = False

    def status(self) -> GatewayStatus:
        if self.draining:
            return GatewayStatus(False, RETRY_AFTER_S, "draining")
        if self._dispatcher.free == 0:
            return GatewayStatus(False, RETRY_AFTER_S, "full")
        return GatewayStatus()

    def info(self, invite: InviteInfo, call_id: str = "") -> CallInfo:
        """The attempt as records and agents know it."""
        call_id = call_id or self._asking.get(invite.sip_call_id, "")
        return self._info(invite, call_id, *self._dialplan.numbers(*self._read(invite), self._region(invite)))

    def _info(self, invite: InviteInfo, call_id: str, called: str, caller: str | None) -> CallInfo:
        return CallInfo(
            call_id=call_id or secrets.token_hex(8),
            direction=Direction.INBOUND,
            called=called,
            caller=caller,
            trunk=invite.trunk or "",
            sip_call_id=invite.sip_call_id,
            headers=dict(invite.headers),
            variables=self._variables(invite),
            diversions=self._diversions(invite),
        )

    def _variables(self, invite: InviteInfo) -> dict[str, str]:
        """Headers that the trunk's settings turn into variables of the call."""
        headers = {name.lower(): value for name, value in invite.headers.items()}
        wanted = self._headers_in.get(invite.trunk or "", ())
        found = {each.variable: headers.get(each.header.lower(), "") for each in wanted}
        variables = {name: cleaned for name, value in found.items() if (cleaned := _readable(value))}
        return variables | ({"phone": invite.phone} if invite.phone else {})

    def _diversions(self, invite: InviteInfo) -> tuple[Diversion, ...]:
        numbers, region = self._numbers.get(invite.trunk or ""), self._region(invite)
        if numbers is None or not invite.diversions:
            return ()
        return tuple(replace(each, number=normalise(numbers.read(each.number), region)) for each in invite.diversions)

    def admit(self, invite: InviteInfo) -> Forward | Refuse | Later:
        if self.draining:
            return _busy("the gateway is shutting down")
        if (supervised := self._supervision(invite)) is not None:
            return supervised
        decision = self._dialplan.decide(*self._read(invite), self._wall(), self._region(invite))
        if isinstance(decision, NoRoute):
            return Refuse(decision.sip_status, decision.phrase, cause_text=self._without_folders(decision.reason))
        info = self._info(invite, "", decision.called, decision.caller)
        if decision.before_call is not None and self._is_asked(info, decision, decision.before_call):
            return Later(info.call_id)
        return self._taken(info, decision)

    def admit_later(self, invite: InviteInfo, token: str) -> Forward | Refuse:
        info, route, said, began = self._answered.pop(token)
        if self.draining:
            return _busy("the gateway is shutting down")
        route = _with_persona(route, said.persona)
        answer = self._taken(replace(info, variables={**info.variables, **said.variables}), route, began)
        if isinstance(answer, Forward):
            note = entry(said, self._now(), str(route.persona))
            self._opened(CallEvents(call_id=token, events=(note,)))
        return answer

    def connect(
        self, decide: Callable[[str], bool], supervision: Callable[[InviteInfo], Refuse | None] = lambda _: None
    ) -> None:
        """Once, before any call. `decide`: the edge's; it asks `admit_later`. `supervision`: the answer to a phone that
        dials to supervise a call; None: it is another call."""
        self._decide = decide
        self._supervision = supervision

    def _is_asked(self, info: CallInfo, route: Route, hook: BeforeCall) -> bool:
        began = self._wall()

        def answered(said: Said) -> None:
            said = _allowed(said, route)
            if said.error:
                log.warning("before_call_not_answered", call_id=info.call_id, error=said.error, took_ms=said.took_ms)
            self._answered[info.call_id] = info, route, said, began
            self._decide(info.call_id)
            self._answered.pop(info.call_id, None)  # the caller has given up
            self._asking.pop(info.sip_call_id, None)

        asked = self._asker.ask(question(hook, info, str(route.persona)), answered)
        if asked:
            self._asking[info.sip_call_id] = info.call_id
        return asked

    def _taken(self, info: CallInfo, decision: Route, began: datetime | None = None) -> Forward | Refuse:
        slot = self._dispatcher.take(info.call_id, self._now())
        if slot is None:
            total = self._dispatcher.total
            return _busy(f"all {total} call slots are taken" if total else "no call worker is ready")
        if not self._prepare(slot.worker, self._prepared(slot.leg_id, info, decision)):
            self._dispatcher.release(slot.leg_id)
            return _busy("the call worker is gone")
        self._live.put_on_trunk(slot.leg_id, info.trunk, placed=False)
        persona, began = str(decision.persona), began or self._wall()
        self._opened(CallOpened.of(info, started_at=began, persona=persona, rule=decision.rule, worker=slot.worker))
        if info.diversions:
            self._opened(CallEvents(call_id=info.call_id, events=(_diverted(info, self._now()),)))
        log.info(
            "call_admitted",
            call_id=info.call_id,
            sip_call_id=info.sip_call_id,
            called=info.called,
            persona=persona,
            worker=slot.worker,
        )
        return Forward(WorkerAddress(slot.worker, "127.0.0.1", slot.sip_port), slot.leg_id, {LEG_HEADER: slot.leg_id})

    def _read(self, invite: InviteInfo) -> tuple[str, str | None]:
        """Called number and caller, read in the trunk's number format. A registered phone calls from its own number,
        whatever it says."""
        if invite.phone:
            phone = None if self._phones is None else self._phones.named(invite.phone)
            return invite.called, invite.phone if phone is None else phone.number or phone.name
        numbers = self._numbers.get(invite.trunk or "")
        if numbers is None:
            return invite.called, invite.caller
        return numbers.read_called(invite.called), None if invite.caller is None else numbers.read(invite.caller)

    def _without_folders(self, reason: str) -> str:
        """Callers learn which rule refused the call, but not its file on this machine."""
        for path in self._settings.dialplans:
            reason = reason.replace(str(path), path.name)
        return reason

    def _media_of(self, info: CallInfo) -> list[str]:
        """Where its audio may come from, besides what its SDP says."""
        if self._phones is not None and info.trunk == self._phones.trunk:
            return list(self._phones.media_sources)
        return self._media_networks.get(info.trunk, [])

    def _region(self, invite: InviteInfo) -> str | None:
        """The trunk's region; without one, each dialplan file uses its own."""
        return self._regions.get(invite.trunk or "")

    def _prepared(self, leg_id: str, info: CallInfo, route: Route) -> Prepare:
        record = route.recording if route.recording is not None else self._settings.record_calls
        name = f"{self._wall():%Y-%m-%d}/{info.call_id}.wav"
        if record and (call := self._live.get(info.call_id)) is not None:
            call.recording = name
        return Prepare(
            leg_id=leg_id,
            call=asdict(info),
            persona_file=str(route.persona.file),
            persona_class=route.persona.name,
            rule=route.rule,
            recording=str((self._settings.recordings / name).resolve()) if record else "",
            session=dict(route.session),
            speech=dict(route.speech),
            media_networks=self._media_of(info),
            summary=self._after_calls.author(route.rule, str(route.persona)),
            keys=asdict(self._key_terms((info.trunk,))),
            flow=None if route.persona.flow is None else step_to_dict(route.persona.flow),
        )


def _readable(value: str) -> str:
    """Without what personas and models are not to see in a header: control characters, line separators."""
    return "".join(char for char in value if char.isprintable())[:_VARIABLE_CHARACTERS].strip()


def _diverted(info: CallInfo, at: float) -> dict[str, Any]:
    """An entry for the call's events."""
    by = [{"number": each.number, "reason": each.reason} for each in info.diversions]
    return {"type": "diverted", "at": at, "t_ms": 0.0, "by": by}


def _allowed(said: Said, route: Route) -> Said:
    """What was said, or why it does not hold."""
    hook = route.before_call
    names = {str(route.persona)} | ({str(each) for each in hook.personas} if hook is not None else set())
    if said.persona in ("", *names):
        return said
    return Said(error=f"{said.persona} is not among the personas that may be named", took_ms=said.took_ms)


def _with_persona(route: Route, name: str) -> Route:
    hook = route.before_call
    named = [each for each in hook.personas if str(each) == name] if hook is not None else []
    return replace(route, persona=named[0]) if named else route


def _busy(why: str) -> Refuse:
    return Refuse(503, "Service Unavailable", retry_after=RETRY_AFTER_S, cause_text=why)
