"""The legs that a worker holds, by their ids: calls' first legs, and further ones of its own or others' calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from gateway.control import EndLeg
from telephony.call import CallInfo, Leg
from telephony.keys import KeyTerms, KnowsItsWays, SendByInfo
from telephony.media.sources import Network

__all__ = ["DialledWorkersLeg", "HeldLeg", "OneLeg", "WorkersLeg"]


class OneLeg(Leg, Protocol):
    def press_by_info(self, digit: str, duration_ms: int) -> None:
        """The peer pressed a key, and its phone said so by INFO, which the SIP stack has not seen. More than a hand can
        press are dropped, and counted in the leg's statistics."""


class DialledWorkersLeg(OneLeg, KnowsItsWays, Protocol):
    """A leg of this worker's SIP stack."""

    def trust_media(self, networks: Iterable[Network]) -> None: ...

    def use_keys(self, terms: KeyTerms, send_by_info: SendByInfo | None = None) -> None: ...


class WorkersLeg(DialledWorkersLeg, Protocol):
    """A leg identified by its INVITE, which can be told about events."""

    @property
    def headers(self) -> Mapping[str, str]: ...

    def adopt(self, info: CallInfo) -> None: ...


@dataclass(frozen=True, slots=True)
class HeldLeg:
    """`end` ends it for the gateway."""

    leg: OneLeg
    end: Callable[[EndLeg], None]
