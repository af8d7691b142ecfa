"""PJSIP's call object, and its callbacks. On the PJSIP thread, except digits (media thread)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Protocol, TypeVar

from telephony.pjsua._api import (
    Account,
    Call,
    OnCallMediaStateParam,
    OnCallReplaceRequestParam,
    OnCallStateParam,
    OnCallTransferRequestParam,
    OnDtmfEventParam,
    OnStreamCreatedParam,
    OnStreamDestroyedParam,
)

__all__ = ["CallEvents", "SipCall", "guarded"]

log = logging.getLogger(__name__)

_DECLINE = 603

_S = TypeVar("_S")
_P = TypeVar("_P")


class CallEvents(Protocol):
    """Receives the callbacks."""

    def state_changed(self, prm: OnCallStateParam) -> None: ...
    def media_changed(self) -> None: ...
    def stream_created(self, index: int, stream: int) -> None: ...
    def stream_ends(self, index: int) -> None: ...
    def digit_received(self, prm: OnDtmfEventParam) -> None: ...


def guarded(method: Callable[[_S, _P], None]) -> Callable[[_S, _P], None]:
    """Decorates PJSIP callbacks: an exception that leaves a SWIG director aborts the process."""

    @wraps(method)
    def call(self: _S, prm: _P) -> None:
        try:
            method(self, prm)
        except BaseException:
            log.exception("%s failed", method.__qualname__)

    return call


class SipCall(Call):
    """PJSIP's call object. `line` is None once the call is over."""

    def __init__(self, account: Account, call_id: int, line: CallEvents) -> None:
        super().__init__(account, call_id)
        self.line: CallEvents | None = line

    @guarded
    def onCallState(self, prm: OnCallStateParam) -> None:
        if self.line is not None:
            self.line.state_changed(prm)

    @guarded
    def onCallMediaState(self, prm: OnCallMediaStateParam) -> None:
        if self.line is not None:
            self.line.media_changed()

    @guarded
    def onStreamCreated(self, prm: OnStreamCreatedParam) -> None:
        if self.line is not None:
            self.line.stream_created(prm.streamIdx, int(prm.stream))

    @guarded
    def onStreamDestroyed(self, prm: OnStreamDestroyedParam) -> None:
        if self.line is not None:
            self.line.stream_ends(prm.streamIdx)

    @guarded
    def onCallTransferRequest(self, prm: OnCallTransferRequestParam) -> None:
        """A peer's REFER. Left alone, PJSIP would call whatever number the peer names."""
        prm.statusCode = _DECLINE

    @guarded
    def onCallReplaceRequest(self, prm: OnCallReplaceRequestParam) -> None:
        """An INVITE with Replaces. Left alone, PJSIP would put its sender in place of the caller."""
        prm.statusCode = _DECLINE

    @guarded
    def onDtmfEvent(self, prm: OnDtmfEventParam) -> None:
        line = self.line
        if line is not None:
            line.digit_received(prm)
