"""A key to a leg's peer by INFO: its worker asks the gateway, whose edge has the dialog."""

from __future__ import annotations

from agent.warm.asking import AskError, Asking, AskTimedOut, Refused
from telephony.errors import DigitsNotSent

__all__ = ["KEY_BY_INFO", "KEY_LIMIT_S", "send_by_info"]

KEY_BY_INFO = "key_by_info"  # body {leg_id, key, duration_ms}; its answer {status, reason} is the peer's, 0: none
KEY_LIMIT_S = 5.0  # for the peer's answer: a phone takes some milliseconds, and a caller does not wait for long
_MARGIN_S = 1.0


async def send_by_info(asking: Asking | None, leg_id: str, key: str, duration_ms: int) -> None:
    """Returns once the peer has taken it. Raises DigitsNotSent."""
    if asking is None:
        raise DigitsNotSent("failed", "no gateway connection")
    body = {"leg_id": leg_id, "key": key, "duration_ms": duration_ms}
    try:
        answer = await asking.ask(KEY_BY_INFO, body, timeout_s=KEY_LIMIT_S + _MARGIN_S)
    except Refused as refused:
        raise DigitsNotSent(refused.kind, refused.text) from refused
    except AskTimedOut as error:
        raise DigitsNotSent("no_answer", str(error)) from error
    except AskError as error:
        raise DigitsNotSent("failed", str(error)) from error
    status, reason = int(answer["status"]), str(answer["reason"])
    if not status:
        raise DigitsNotSent("no_answer", reason)
    if not 200 <= status < 300:
        raise DigitsNotSent("refused", f"the peer refuses keys by INFO: {status} {reason}".rstrip(), sip_status=status)
