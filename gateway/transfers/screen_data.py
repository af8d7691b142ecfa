"""What a human's phone or desk is to show about the call, as headers of the INVITE to them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from telephony.warm import Warm

__all__ = ["MOST_HEADERS", "problem_of", "screen_headers"]

MOST_HEADERS = 8
_NAME = re.compile(r"[Xx]-[A-Za-z0-9-]{1,60}")
_MOST_BYTES = 256  # of a header's value
_MOST_UUI_BYTES = 128  # of its data (RFC 7433 section 4.1: what ISDN carries, and gateways expect)


def problem_of(order: Warm) -> str | None:
    """Why this cannot be sent; None: it can. Values are not cut or escaped: the other side would take the result for
    the original."""
    if order.handover and order.introduction:
        return "The agent cannot introduce the two: a call that is handed over by REFER is without it."
    if len(order.headers) > MOST_HEADERS:
        return f"At most {MOST_HEADERS} headers can be sent with a transfer."
    for name, value in order.headers.items():
        if not _NAME.fullmatch(name):
            return f"{name[:64]!r} is not a header that can be sent: its name must begin with X-."
        if not value.isprintable() or not value.strip() or len(value.encode("utf-8", "replace")) > _MOST_BYTES:
            return f"The value of {name} must be of at most {_MOST_BYTES} bytes, all printable."
    if len(order.user_to_user.encode("utf-8", "replace")) > _MOST_UUI_BYTES:
        return f"User-to-User data must be of at most {_MOST_UUI_BYTES} bytes."
    return None


def screen_headers(order: Warm | None) -> Mapping[str, str]:
    """As the INVITE has them. User-to-User in hexadecimal, as RFC 7433 section 4.1 has it."""
    if order is None:
        return {}
    headers = {name: value.strip() for name, value in order.headers.items()}
    if order.user_to_user:
        headers["User-to-User"] = order.user_to_user.encode("utf-8", "replace").hex() + ";encoding=hex"
    return headers
