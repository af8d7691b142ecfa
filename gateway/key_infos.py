"""Keys by INFO, on workers' requests: sent by the edge, and answered to the worker once the peer has answered."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import count
from typing import Any, Protocol

from agent.warm.asking import Refused
from gateway.calls.key_by_info import KEY_LIMIT_S
from gateway.live_calls import LiveCalls
from telephony.edge import KeyAnswered
from telephony.errors import TelephonyMisuse

__all__ = ["KeyEdge", "KeyInfos"]


class KeyEdge(Protocol):
    """What we use of the edge (`telephony.edge.Edge`)."""

    def send_key(self, leg_id: str, key: str, duration_ms: int, token: str) -> None: ...


class KeyInfos:
    """`connect` comes first."""

    def __init__(self, live: LiveCalls) -> None:
        self._live = live
        self._edge: KeyEdge | None = None
        self._tokens = count(1)
        self._waiting: dict[str, asyncio.Future[KeyAnswered]] = {}

    def connect(self, edge: KeyEdge) -> None:
        self._edge = edge

    def answered(self, answer: KeyAnswered) -> None:
        """From the edge."""
        waiting = self._waiting.get(answer.token)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    async def send(self, worker: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """A worker's question `KEY_BY_INFO`. Raises Refused."""
        leg_id = str(body["leg_id"])
        if self._edge is None or self._live.worker_of(leg_id) != worker:
            raise Refused("unknown_leg", f"{worker} has no leg {leg_id}")
        token = f"key-{next(self._tokens)}"
        waiting = self._waiting[token] = asyncio.get_running_loop().create_future()
        try:
            self._edge.send_key(leg_id, str(body["key"]), int(body["duration_ms"]), token)
            async with asyncio.timeout(KEY_LIMIT_S):
                answer = await waiting
        except TelephonyMisuse as error:
            raise Refused("not_possible", str(error)) from error
        except TimeoutError:
            raise Refused("no_answer", f"the peer did not answer the INFO within {KEY_LIMIT_S:g} s") from None
        finally:
            del self._waiting[token]
        return {"status": answer.status, "reason": answer.reason}
