"""Requests from outside: admission of new calls, and the way of everything else to the worker that has the call."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import structlog

from telephony.edge import rewrite
from telephony.edge.attempts import Attempt, attempt_key
from telephony.edge.counters import counted_method
from telephony.edge.dialogs import Dialog, DialogState, Reply
from telephony.edge.ground import AFTER_BYE_S, Ground, reply_hop
from telephony.edge.hops import Action, CallCancelled, Hop, InviteRefused, SendPublic, SendWorker
from telephony.edge.invite_info import invite_info
from telephony.edge.parse import KNOWN_SCHEMES, Request
from telephony.edge.protocol import Forward, InviteInfo, Refuse, RefusedInvite
from telephony.edge.uri import contact_uri

__all__ = ["InboundRequests"]

log = structlog.get_logger(__name__)

_ALLOW = {"Allow": rewrite.ALLOW}
_CAPABLE = {**_ALLOW, "Accept": "application/sdp", "Supported": "replaces, 100rel, timer, norefersub"}


class InboundRequests:
    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def handle(self, request: Request, hop: Hop, now: float, *, over_rate: bool) -> list[Action]:
        """`over_rate`: the source sends more than it may; only what belongs to a call is served."""
        if request.method == "ACK":
            return self._ack(request, hop, now)
        if request.method == "CANCEL":
            return self._cancel(request, hop, now)
        if request.method == "INVITE" and not request.to_tag:
            return self._invite(request, hop, now, over_rate=over_rate)
        if request.to_tag:
            return self._refuse_unusable(request, hop) or self._in_dialog(request, hop, now)
        return [self._outside_dialog(request, hop, over_rate=over_rate)]

    # New calls

    def _invite(self, request: Request, hop: Hop, now: float, *, over_rate: bool) -> list[Action]:
        ground = self._ground
        key = attempt_key(request, request.via, hop.ip)
        if (attempt := ground.attempts_of(hop.ip).get(key) or ground.over_rate.get(key)) is not None:
            return self._retransmitted(request, hop, attempt)
        trunk = ground.trunks.trunk_of(hop.ip)
        if trunk is None:
            if not ground.rates.strangers.allow("", now):  # who floods gets neither an answer nor a record each
                ground.counters.add("dropped.stranger")
                ground.floods.add(hop.ip, None, now)
                return []
            refuse = Refuse(403, "Source not allowed by any trunk", cause_text=f"no trunk allows source {hop.ip}")
            return self._refuse(request, hop, invite_info(request, hop, None, ground.limits, now), refuse, "acl")
        if over_rate or not ground.rates.invites.allow(hop.ip, now):
            return [self._over_rate(request, hop, trunk, now)]
        info = invite_info(request, hop, trunk, ground.limits, now)
        if (unusable := self._unusable(request)) is not None:
            refuse, rule, extra = unusable
            return self._refuse(request, hop, info, refuse, rule, extra)
        old = ground.dialogs.find(request.call_id, request.from_tag)
        if old is not None and old.live:  # the same call by a second way (RFC 3261 section 8.2.2.2)
            refuse = Refuse(482, "Loop Detected", cause_text="this call came in already")
            return self._refuse(request, hop, info, refuse, "loop")
        return self._admit(request, hop, info)

    def _over_rate(self, request: Request, hop: Hop, trunk: str, now: float) -> Action:
        """Refused in passing: it is told of with the others of its minute, and takes no call's place among the known
        attempts."""
        ground = self._ground
        ground.counters.add("rate_limited.invite")
        ground.floods.add(hop.ip, trunk, now)
        headers = {
            "Retry-After": str(ground.limits.retry_after_s),
            "Reason": rewrite.reason_header(503, f"too many new calls a second from {hop.ip}"),
        }
        answer = ground.answer(request, hop, 503, reason="Too Many Calls", headers=headers)
        ground.over_rate.add(
            attempt_key(request, request.via, hop.ip), Attempt(None, "", now, answer.data, answered_by_us=True)
        )
        return answer

    def _retransmitted(self, request: Request, hop: Hop, attempt: Attempt) -> list[Action]:
        ground = self._ground
        ground.counters.add("retransmissions.INVITE")
        if attempt.final:
            return [SendPublic(reply_hop(request.via, hop), attempt.final)]
        if attempt.dialog is None:
            return []
        trying = ground.answer(request, hop, 100)
        return [trying, self._to_worker(request, hop, attempt.dialog, attempt.branch)]

    def _admit(self, request: Request, hop: Hop, info: InviteInfo) -> list[Action]:
        ground = self._ground
        rule, call_id = "admitter", ""
        try:
            decision = ground.admitter.admit(info)
        except Exception:  # whatever the gateway's fault is, the caller gets an answer
            log.exception("admitter failed", sip_call_id=info.sip_call_id)
            decision, rule = Refuse(500, "Server Internal Error", cause_text="admission failed"), "error"
        if isinstance(decision, Forward) and decision.worker != ground.workers.get(decision.worker.name):
            log.error("call given to an unknown worker", call_id=decision.call_id, worker=decision.worker.name)
            rule, call_id = "error", decision.call_id
            decision = Refuse(500, "Server Internal Error", cause_text="the call's worker is gone")
        if isinstance(decision, Refuse):
            return self._refuse(request, hop, info, decision, rule, call_id=call_id)
        return self._forward_new(request, hop, info, decision)

    def _forward_new(self, request: Request, hop: Hop, info: InviteInfo, decision: Forward) -> list[Action]:
        ground, now = self._ground, info.received_at
        branch = ground.branches.forwarded(request, request.via, hop.listener, hop.connection)
        contact = request.value("contact")
        dialog = Dialog(
            call_id=decision.call_id,
            sip_call_id=request.call_id,
            caller_tag=request.from_tag,
            worker=decision.worker,
            trunk=info.trunk or "",
            hop=hop,
            caller_address=request.value("from"),
            worker_address=request.value("to"),
            caller_contact=contact_uri(contact) or request.sender.uri,
            invite_uri=request.uri_text,
            invite_cseq=request.cseq,
            branch=branch,
            created_at=now,
            expires_at=now + ground.limits.invite_timeout_s,
            invite=Reply(request.lines, request.via, (hop.ip, hop.port), hop),
            routes=tuple(request.headers.get("record-route")),
            caller_cseq=request.cseq,
        )
        ground.dialogs.add(dialog)
        ground.attempts_of(hop.ip).add(attempt_key(request, request.via, hop.ip), Attempt(dialog, branch, now))
        return [
            ground.answer(request, hop, 100),
            self._to_worker(request, hop, dialog, branch, ground.record_routes(hop.listener), decision.headers),
        ]

    def _unusable(self, request: Request) -> tuple[Refuse, str, dict[str, str]] | None:
        """What a proxy checks before it forwards (RFC 3261 section 16.3)."""
        if request.uri.scheme not in KNOWN_SCHEMES:
            return Refuse(416, "", cause_text=f"URI scheme {request.uri.scheme} is not known"), "scheme", {}
        if request.max_forwards == 0:
            return Refuse(483, "", cause_text="Max-Forwards is 0"), "max-forwards", {}
        if rewrite.too_large(request):
            return Refuse(513, "", cause_text="the message is too large"), "too-large", {}
        if extensions := request.headers.get("proxy-require"):
            unsupported = ", ".join(extensions)
            return (
                Refuse(420, "", cause_text=f"unsupported extension {unsupported}"),
                "extension",
                {"Unsupported": unsupported},
            )
        return None

    def _refuse(
        self,
        request: Request,
        hop: Hop,
        info: InviteInfo,
        refuse: Refuse,
        rule: str,
        extra: Mapping[str, str] | None = None,
        call_id: str = "",
    ) -> list[Action]:
        ground, now = self._ground, info.received_at
        cause = refuse.cause_text or refuse.reason
        headers = {"Reason": rewrite.reason_header(refuse.status, cause), **(extra or {})}
        retry_after = refuse.retry_after
        if refuse.status == 503 and retry_after is None:
            retry_after = ground.limits.retry_after_s
        if retry_after is not None:
            headers["Retry-After"] = str(retry_after)
        answer = ground.answer(request, hop, refuse.status, reason=refuse.reason, headers=headers)
        ground.attempts_of(hop.ip).add(
            attempt_key(request, request.via, hop.ip), Attempt(None, "", now, answer.data, answered_by_us=True)
        )
        ground.counters.add(f"refused.{rule}")
        refused = RefusedInvite(info, refuse.status, refuse.reason or cause, cause, rule, now, call_id)
        return [answer, InviteRefused(refused)]

    # What belongs to an INVITE

    def _ack(self, request: Request, hop: Hop, now: float) -> list[Action]:
        ground = self._ground
        key = attempt_key(request, request.via, hop.ip)
        attempt = ground.attempts_of(hop.ip).get(key)
        if attempt is not None:
            if attempt.answered_by_us or attempt.dialog is None:
                ground.resends.answered(key)
                ground.counters.add("absorbed.ACK")
                return []
            if attempt.dialog.state is not DialogState.LOST:
                return [self._to_worker(request, hop, attempt.dialog, attempt.branch)]
        dialog = self._dialog_of(request, hop)
        if dialog is None or dialog.state is DialogState.LOST:
            ground.counters.add("absorbed.ACK")
            return []
        self._seen(request, hop, dialog, now)
        return [self._to_worker(request, hop, dialog)]

    def _cancel(self, request: Request, hop: Hop, now: float) -> list[Action]:
        """Goes the way of its INVITE with the same branch (RFC 3261 section 16.10)."""
        ground = self._ground
        attempt = ground.attempts_of(hop.ip).get(attempt_key(request, request.via, hop.ip))
        if attempt is None:
            dialog = self._dialog_of(request, hop)
            if dialog is None or dialog.state is DialogState.LOST:
                return [ground.answer(request, hop, 481)]
            return [self._to_worker(request, hop, dialog)]
        if attempt.dialog is None or attempt.answered_by_us or attempt.dialog.state is DialogState.LOST:
            return [ground.answer(request, hop, 200)]
        actions: list[Action] = [self._to_worker(request, hop, attempt.dialog, attempt.branch)]
        if not attempt.cancelled and not attempt.final:
            attempt.cancelled = True
            actions.append(CallCancelled(attempt.dialog.call_id))
        return actions

    # Inside and outside dialogs

    def _in_dialog(self, request: Request, hop: Hop, now: float) -> list[Action]:
        ground = self._ground
        dialog = self._dialog_of(request, hop)
        if dialog is None:
            ground.counters.add("unknown_dialog")
            return [ground.answer(request, hop, 481)]
        if dialog.state is DialogState.LOST:
            return [ground.answer(request, hop, 200 if request.method == "BYE" else 481)]
        self._seen(request, hop, dialog, now)
        if request.method == "BYE" and dialog.live and dialog.state is not DialogState.ENDING:
            dialog.state = DialogState.ENDING
            ground.dialogs.expire_at(dialog, now + AFTER_BYE_S)
        return [self._to_worker(request, hop, dialog)]

    def _dialog_of(self, request: Request, hop: Hop) -> Dialog | None:
        """By its tags, and only for those whose dialog it is."""
        ground = self._ground
        dialog = ground.dialogs.find(request.call_id, request.from_tag)
        if dialog is None or not dialog.worker_tag or dialog.worker_tag != request.to_tag:
            return None
        if not ground.trust.may_speak(dialog, hop):
            ground.counters.add("untrusted.request")
            return None
        return dialog

    def _seen(self, request: Request, hop: Hop, dialog: Dialog, now: float) -> None:
        """Learn the caller's present address, target and CSeq (RFC 3261 section 12.2.2): not from what is older than
        that, nor from an ACK, which anybody can send and nobody answers."""
        if request.method != "ACK" and request.cseq >= dialog.caller_cseq:
            dialog.hop = hop
            dialog.caller_cseq = request.cseq
            if request.method in ("INVITE", "UPDATE"):
                dialog.caller_contact = contact_uri(request.value("contact")) or dialog.caller_contact
        if dialog.state is DialogState.CONFIRMED:
            self._ground.dialogs.expire_at(dialog, now + self._ground.limits.dialog_idle_s)

    def _refuse_unusable(self, request: Request, hop: Hop) -> list[Action]:
        unusable = self._unusable(request)
        if unusable is None:
            return []
        refuse, rule, extra = unusable
        self._ground.counters.add(f"refused.{rule}")
        return [self._ground.answer(request, hop, refuse.status, headers=extra)]

    def _outside_dialog(self, request: Request, hop: Hop, *, over_rate: bool) -> Action:
        ground = self._ground
        if over_rate:
            ground.counters.add("rate_limited.message")
            return ground.answer(request, hop, 503, headers={"Retry-After": str(ground.limits.retry_after_s)})
        if request.method == "OPTIONS" and request.uri.scheme in KNOWN_SCHEMES:
            if refused := self._refuse_unusable(request, hop) if request.max_forwards != 0 else []:
                return refused[0]
            status = ground.admitter.status()
            if status.accepting:
                return ground.answer(request, hop, 200, headers=_CAPABLE)
            headers = {"Retry-After": str(status.retry_after), "Reason": rewrite.reason_header(503, status.reason)}
            return ground.answer(request, hop, 503, headers=headers)
        if refused := self._refuse_unusable(request, hop):
            return refused[0]
        if request.method == "BYE":
            return ground.answer(request, hop, 481)
        ground.counters.add("refused.method")
        return ground.answer(request, hop, 405, headers=_ALLOW)

    def _to_worker(
        self,
        request: Request,
        hop: Hop,
        dialog: Dialog,
        branch: str = "",
        record_routes: list[str] | None = None,
        extra: Mapping[str, str] | None = None,
    ) -> Action:
        """The Route set ends here: whatever names its entries carry, behind the edge there are only workers."""
        ground = self._ground
        branch = branch or ground.branches.forwarded(request, request.via, hop.listener, hop.connection)
        forward = partial(
            rewrite.forward_request,
            request,
            via=ground.worker_via(branch),
            received_from=(hop.ip, hop.port),
            uri=self._worker_uri(request),
            record_routes=record_routes or (),
            extra=extra,
        )
        data = forward()
        if len(data) > rewrite.WORKER_MESSAGE_BYTES:
            data = forward(lines=rewrite.needed_lines(request))
        ground.counters.add(f"forwarded_in.{counted_method(request.method)}")
        return SendWorker(dialog.worker.host, dialog.worker.port, data)

    def _worker_uri(self, request: Request) -> str:
        """A strict router before us has put our Record-Route entry into the Request-URI and the worker's Contact at the
        end of Route (RFC 3261 section 16.4)."""
        routes = request.headers.get("route")
        if request.uri.user or "lr" not in request.uri.params.split(";") or not routes:
            return request.uri_text
        return contact_uri(routes[-1]) or request.uri_text if self._ground.is_ours(request.uri) else request.uri_text
