"""The status in a NOTIFY of a REFER: its body is the beginning of a SIP message (RFC 3420, RFC 3515 section 2.4.5)."""

from __future__ import annotations

import re

__all__ = ["read_sipfrag", "read_subscription"]

_STATUS_LINE = re.compile(r"\s*SIP/2\.0[ \t]+([1-6]\d\d)(?:[ \t]+([^\r\n]*))?(?:\r?\n|\Z)", re.IGNORECASE)
_LONGEST_REASON = 100


def read_sipfrag(body: bytes) -> tuple[int, str] | None:
    """Status and reason phrase, without unprintable characters; None: it has none."""
    match = _STATUS_LINE.match(body[:500].decode("utf-8", "replace"))
    if match is None:
        return None
    reason = "".join(char for char in match[2] or "" if char.isprintable())
    return int(match[1]), reason[:_LONGEST_REASON].strip()


def read_subscription(value: str) -> tuple[bool, str]:
    """Whether a Subscription-State (RFC 6665 section 4.1.3) says that it is over, and why."""
    state, *parameters = (part.strip() for part in value.split(";"))
    reasons = [each.partition("=")[2].strip() for each in parameters if each.lower().startswith("reason")]
    return state.lower() == "terminated", reasons[0][:_LONGEST_REASON] if reasons else ""
