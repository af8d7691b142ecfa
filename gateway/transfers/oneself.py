"""A transfer to who is in the call already. Pure."""

from __future__ import annotations

from agent.warm.asking import Refused
from gateway.live_calls import LiveCall
from gateway.outbound.addresses import is_sip, number_of
from telephony.sip.uri import phone_user, try_uri

__all__ = ["not_oneself"]


def not_oneself(call: LiveCall, to: str) -> None:
    """Raises Refused."""
    uri = try_uri(to) if is_sip(to) else None
    number = _digits(number_of(to if uri is None else phone_user(uri)))
    if not number:
        return
    if number == _digits(call.customer):
        raise Refused("invalid_target", f"{to} is the caller's own number")
    if number == _digits(call.ours):
        raise Refused("invalid_target", f"{to} is the number that this call came in on, and would come back to us")


def _digits(number: str | None) -> str:
    return (number or "").removeprefix("+")
