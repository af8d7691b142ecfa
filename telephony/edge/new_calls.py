"""New calls from outside: trunk, rate, challenge, checks and admission, and why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import structlog

from telephony.edge.attempts import Attempt, attempt_key
from telephony.edge.bodies import Unacceptable
from telephony.edge.challenging import challenge
from telephony.edge.context import EdgeContext
from telephony.edge.dialogs import Dialog, PublicParty, Reply, WorkerParty
from telephony.edge.forwarding import check, forward
from telephony.edge.hops import Action, Hop, InviteRefused, SendPublic
from telephony.edge.invite_info import invite_info
from telephony.edge.phone_callers import calling_phone, phone_challenge
from telephony.edge.protocol import Forward, InviteInfo, Later, Refuse, RefusedInvite
from telephony.edge.replacing import Replacing
from telephony.edge.settings import Trunk
from telephony.edge.to_worker import shown_to_worker
from telephony.edge.trunk_status import Refusal
from telephony.edge.undecided import Undecided
from telephony.edge.which_trunk import which_trunk
from telephony.sip import writing
from telephony.sip.parse import Request
from telephony.sip.resolving import Place
from telephony.sip.uri import contact_uri

__all__ = ["NewCalls"]

log = structlog.get_logger(__name__)


_OF_THE_TRUNK = frozenset({"sdp", "certificate", "digest"})  # rules by which its calls differ from its settings


class NewCalls:
    def __init__(self, context: EdgeContext, replacing: Replacing) -> None:
        self._context = context
        self._replacing = replacing

    def invite(self, request: Request, hop: Hop, now: float, *, over_rate: bool) -> list[Action]:
        context = self._context
        key = attempt_key(request, request.via, hop.ip)
        if (attempt := context.attempts_of(hop.ip).get(key) or context.over_rate.get(key)) is not None:
            return self._retransmitted(request, hop, attempt)
        if key in context.waiting or key in context.undecided:
            return [context.answer(request, hop, 100)]
        trunk = context.trunk_of(hop)
        if trunk is None:
            if not context.rates.strangers.allow("", now):  # floods get neither an answer nor a record each
                context.counters.add("dropped.stranger")
                context.floods.add(hop.ip, None, now)
                return []
            refuse = Refuse(403, "Source not allowed by any trunk", cause_text=f"no trunk allows source {hop.ip}")
            return self._refuse(request, hop, invite_info(request, hop, None, context.limits, now), refuse, "acl")
        if over_rate:
            return [self._over_rate(request, hop, trunk, now)]
        if not context.rates.invites.allow(hop.ip, now):
            if not context.waiting.add(key, request, hop):
                return [self._over_rate(request, hop, trunk, now)]
            context.counters.add("rate_limited.waiting")
            return [context.answer(request, hop, 100)]
        return self._take(request, hop, now)

    def due(self, now: float) -> list[Action]:
        """New calls that have waited for their turn."""
        context = self._context
        actions: list[Action] = []
        for request, hop in context.waiting.due(lambda ip: context.rates.invites.allow(ip, now)):
            actions += self._take(request, hop, now)
        for invite in context.undecided.overdue(now):
            log.error("call_not_decided", sip_call_id=invite.info.sip_call_id)
            refuse = Refuse(503, "Service Unavailable", cause_text="nobody decided who is to answer")
            actions += self._refuse(invite.request, invite.hop, replace(invite.info, received_at=now), refuse, "error")
        return actions

    def decided(self, token: str, now: float) -> list[Action] | None:
        """The admitter knows now what becomes of a call. None: the caller has given up."""
        invite = self._context.undecided.decided(token)
        if invite is None:
            return None
        info = replace(invite.info, received_at=now)
        return self._admitted_once(invite.request, invite.hop, info) or self._admit(
            invite.request, invite.hop, info, token
        )

    def _take(self, request: Request, hop: Hop, now: float) -> list[Action]:
        """A new call within the rate of its source."""
        context = self._context
        if phone := calling_phone(context, request, hop):
            return self._of_phone(request, hop, phone, now)
        found = which_trunk(request, self._trunks_at(hop))
        info = invite_info(request, hop, found, context.limits, now)
        if found is None:
            cause = f"no trunk at {hop.ip} takes calls to {info.called or 'this number'}"
            return self._refuse(request, hop, info, Refuse(403, "Not a number of any trunk", cause_text=cause), "acl")
        trunk = found.name
        if context.trunks.needs_certificate(trunk) and hop.trunk != trunk:
            cause = f"trunk {trunk} is to call over TLS with its client certificate"
            refuse = Refuse(403, "Client certificate required", cause_text=cause)
            return self._refuse(request, hop, info, refuse, "certificate")
        asked = challenge(context, request, hop, trunk, now)
        return self._let_in(request, hop, info, asked)

    def _trunks_at(self, hop: Hop) -> tuple[Trunk, ...]:
        """Besides the phones' trunk, whose calls are those of phones only."""
        phones = self._context.phones
        return tuple(t for t in self._context.trunks_of(hop) if phones is None or t.name != phones.trunk)

    def _of_phone(self, request: Request, hop: Hop, phone: str, now: float) -> list[Action]:
        context = self._context
        assert context.phones is not None, "there are phones"
        info = invite_info(request, hop, context.trunks.named(context.phones.trunk), context.limits, now)
        info = replace(info, phone=phone)
        return self._let_in(request, hop, info, phone_challenge(context, request, hop, phone, now))

    def _let_in(self, request: Request, hop: Hop, info: InviteInfo, asked: SendPublic | Refuse | None) -> list[Action]:
        """`asked`: of its password; None: it needs none, or has shown it."""
        context = self._context
        if isinstance(asked, Refuse):
            return self._refuse(request, hop, info, asked, "digest")
        if asked is not None:
            return [asked]
        try:
            check(context, request, hop, info.trunk)
        except Unacceptable as error:
            refuse = Refuse(error.status, "", cause_text=error.cause)
            return self._refuse(request, hop, info, refuse, error.rule, error.headers)
        if refused := self._admitted_once(request, hop, info):
            return refused
        if "replaces" in request.headers and context.takes_replaces(info.trunk or ""):
            replaced = self._replacing.invite(request, hop, info)
            return self._refuse(request, hop, info, replaced, "replaces") if isinstance(replaced, Refuse) else replaced
        return self._admit(request, hop, info)

    def _admitted_once(self, request: Request, hop: Hop, info: InviteInfo) -> list[Action]:
        """A refusal, if the same call came over a second path (RFC 3261 section 8.2.2.2)."""
        old = self._context.dialogs.find(request.call_id, request.from_tag)
        if old is None or not old.live:
            return []
        refuse = Refuse(482, "Loop Detected", cause_text="this call came in already")
        return self._refuse(request, hop, info, refuse, "loop")

    def _over_rate(self, request: Request, hop: Hop, trunk: str, now: float) -> Action:
        """Refuse it as part of a flood: it is aggregated with others of the same minute and is not kept among the known
        attempts."""
        context = self._context
        context.counters.add("rate_limited.invite")
        context.floods.add(hop.ip, trunk, now)
        headers = {
            "Retry-After": str(context.limits.retry_after_s),
            "Reason": writing.reason_header(503, f"too many new calls a second from {hop.ip}"),
        }
        answer = context.answer(request, hop, 503, reason="Too Many Calls", headers=headers)
        context.over_rate.add(
            attempt_key(request, request.via, hop.ip), Attempt(None, "", now, answer.data, answered_by_us=True)
        )
        return answer

    def _retransmitted(self, request: Request, hop: Hop, attempt: Attempt) -> list[Action]:
        context = self._context
        context.counters.add("retransmissions.INVITE")
        if attempt.final:
            return [SendPublic(context.reply_hop(request, hop), attempt.final)]
        if attempt.dialog is None:
            return []
        relay = context.relays.get(attempt.branch, "INVITE")
        again: list[Action] = [] if relay is None or relay.taken else [relay.sent]
        return [context.answer(request, hop, 100), *again]

    def _admit(self, request: Request, hop: Hop, info: InviteInfo, token: str = "") -> list[Action]:
        context = self._context
        rule, leg_id = "admitter", ""
        decision: Forward | Refuse | Later
        try:
            decision = context.admitter.admit_later(info, token) if token else context.admitter.admit(info)
        except Exception:  # whatever the gateway's failure, the caller gets an answer
            log.exception("admitter_failed", sip_call_id=info.sip_call_id)
            decision, rule = Refuse(500, "Server Internal Error", cause_text="admission failed"), "error"
        if isinstance(decision, Later):
            key = attempt_key(request, request.via, hop.ip)
            context.undecided.add(key, Undecided(request, hop, info, decision.token))
            return [context.answer(request, hop, 100)]
        if isinstance(decision, Forward) and decision.worker != context.workers.get(decision.worker.name):
            log.error("unknown_worker", leg_id=decision.leg_id, worker=decision.worker.name)
            rule, leg_id = "error", decision.leg_id
            decision = Refuse(503, "Service Unavailable", cause_text="the call's worker is gone")
        if isinstance(decision, Refuse):
            return self._refuse(request, hop, info, decision, rule, leg_id=leg_id)
        return self._forward_new(request, hop, info, decision)

    def _forward_new(self, request: Request, hop: Hop, info: InviteInfo, decision: Forward) -> list[Action]:
        context, now = self._context, info.received_at
        branch = context.branches.forwarded(request)
        reply = Reply(request.lines, request.via, (hop.ip, hop.port), hop)
        dialog = Dialog(
            leg_id=decision.leg_id,
            sip_call_id=request.call_id,
            public=PublicParty(
                request.from_tag,
                _written(request, "from"),
                contact_uri(request.value("contact")) or request.sender.uri,
                hop,
                request.cseq,
                tuple(request.headers.get("record-route")),
            ),
            worker=WorkerParty(decision.worker, decision.leg_id, _written(request, "to")),
            trunk=info.trunk or "",
            invite_cseq=request.cseq,
            branch=branch,
            created_at=now,
            expires_at=now + context.limits.invite_timeout_s,
            invite=reply,
            shown=shown_to_worker(request, decision.worker, context.branches.public_tag(decision.leg_id)),
            info=info,
            sips=request.uri.scheme == "sips",
        )
        context.dialogs.add(dialog)
        context.sessions.begin(dialog)
        dialog.learn_methods(request.headers)
        context.attempts_of(hop.ip).add(attempt_key(request, request.via, hop.ip), Attempt(dialog, branch, now))
        return [
            context.answer(request, hop, 100),
            forward(context, request, hop, dialog, now, extra=decision.headers, initial=True),
        ]

    def given_up(self, invite: Request, hop: Hop, now: float) -> list[Action]:
        """The caller has cancelled it while it waited for its turn."""
        trunk = which_trunk(invite, self._trunks_at(hop))
        info = invite_info(invite, hop, trunk, self._context.limits, now)
        refuse = Refuse(487, "Request Terminated", cause_text="the caller gave up while it waited for its turn")
        return self._refuse(invite, hop, info, refuse, "cancelled")

    def _refuse(
        self,
        request: Request,
        hop: Hop,
        info: InviteInfo,
        refuse: Refuse,
        rule: str,
        extra: Mapping[str, str] | None = None,
        leg_id: str = "",
    ) -> list[Action]:
        context, now = self._context, info.received_at
        cause = refuse.cause_text or refuse.reason
        headers = {"Reason": writing.reason_header(refuse.status, cause), **(extra or {})}
        retry_after = refuse.retry_after
        if refuse.status == 503 and retry_after is None:
            retry_after = context.limits.retry_after_s
        if retry_after is not None:
            headers["Retry-After"] = str(retry_after)
        answer = context.answer(request, hop, refuse.status, reason=refuse.reason, headers=headers)
        context.attempts_of(hop.ip).add(
            attempt_key(request, request.via, hop.ip), Attempt(None, "", now, answer.data, answered_by_us=True)
        )
        context.counters.add(f"refused.{rule}")
        if rule in _OF_THE_TRUNK and (kept := context.turned_away.get(info.trunk or "")) is not None:
            kept.append(Refusal(now, Place(hop.transport, hop.ip, hop.port), refuse.status, cause[:100]))
        refused = RefusedInvite(info, refuse.status, refuse.reason or cause, cause, rule, now, leg_id)
        return [answer, InviteRefused(refused)]


def _written(request: Request, name: str) -> str:
    """A header value as the caller wrote it, to be sent back to the caller."""
    return next(line.value for line in request.lines if line.name == name)
