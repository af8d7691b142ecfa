"""Every kind of problem that the API answers with, for programs. docs/api.md has the same table; a test compares
them."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["KINDS", "PREFIX", "as_markdown"]

PREFIX = "urn:trunkline:problem:"

KINDS: Mapping[str, tuple[int, str]] = {  # kind -> status, when
    "bad_idempotency_key": (400, "`Idempotency-Key` is not one value of 1 to 255 printable characters"),
    "no_key": (401, "no key, or a wrong one"),
    "missing_scope": (403, "the key does not have the scope that is needed"),
    "closed_destination": (403, "no trunk may call that number or address"),
    "caller_not_allowed": (403, "the trunk does not allow this number as the caller's"),
    "no_such_call": (404, "there is no call with this ID"),
    "no_such_queue": (404, "there is no queue with this name"),
    "no_such_member": (404, "the queue has no such member, or they are the settings'"),
    "no_such_caller": (404, "no such caller waits in the queue, or they wait at another gateway"),
    "no_such_campaign": (404, "there is no campaign with this ID"),
    "no_such_contact": (404, "the campaign has no such contact, or the list no such number"),
    "unknown_leg": (404, "the call has no leg with this ID"),
    "wrong_state": (409, "the campaign is in a state that does not allow it"),
    "not_talking": (409, "the call has not been answered yet, or nobody is there to do it"),
    "transferring": (409, "a transfer of the call is in progress"),
    "on_hold": (409, "not while the call is on hold"),
    "no_events": (409, "keys cannot go as RFC 4733 events: the other side has not agreed to them"),
    "collecting": (409, "the caller is being asked something already"),
    "not_possible": (409, "this kind of call, room or agent cannot do it"),
    "unknown_call": (409, "the call's worker does not know it any more"),
    "no_room": (409, "the call's room is not there any more"),
    "not_placed": (409, "the first request with this `Idempotency-Key` was cut off without a result"),
    "idempotency_in_progress": (409, "the first request with this `Idempotency-Key` is still being carried out"),
    "not_live": (410, "the call is over"),
    "invalid_number": (422, "this cannot be a telephone number"),
    "invalid_target": (422, "this cannot be called: no number, and no address of a trunk"),
    "invalid_variable": (422, "a variable, or data for a human, cannot be a header of the INVITE"),
    "invalid_message": (422, "the message for voicemails cannot be left: its recording is not there, or not allowed"),
    "contradiction": (422, "two things in the request exclude each other"),
    "unknown_queue": (422, "no queue of the settings has this name"),
    "unknown_rule_set": (422, "a campaign names a rule set that is not there"),
    "unknown_persona": (422, "no dialplan lists this persona under `outbound`"),
    "no_trunk": (422, "there is no such trunk, or it places no calls"),
    "no_privacy": (422, "no trunk that may call there can withhold the caller's number"),
    "closed_webhook": (422, "the webhook's URL leads into a private network"),
    "idempotency_key_reused": (422, "this `Idempotency-Key` was used for another request"),
    "rate_limited": (429, "too many requests with this key"),
    "no_slot": (503, "all call slots are taken"),
    "not_registered": (503, "the phone is not registered, or does not answer"),
    "trunk_full": (503, "the trunks have as many calls, or new calls a second, as they may"),
    "draining": (503, "the gateway is shutting down"),
    "no_answer": (503, "the call's worker or agent did not reply"),
    "failed": (503, "the call worker did not take the call"),
    "no_store": (503, "records cannot be read or written at the moment"),
}


def as_markdown() -> str:
    rows = [f"| `{kind}` | {status} | {when} |" for kind, (status, when) in KINDS.items()]
    return "\n".join(["| kind | status | when |", "| --- | --- | --- |", *rows])
