"""News of the gateway's queues for a call of this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from agent.warm.asking import Refused

__all__ = ["Queued"]


class TakesNews(Protocol):
    def queue_news(self, news: Mapping[str, Any]) -> None: ...


class Queued:
    """Answers questions of the topic `gateway.calls.queue_terms.QUEUED`."""

    def __init__(self, find: Callable[[str], TakesNews | None]) -> None:
        """`find`: the call of that id."""
        self._find = find

    async def __call__(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Raises Refused."""
        call = self._find(str(body["call_id"]))
        if call is None:
            raise Refused("not_live", f"Call {body['call_id']} is over.")
        call.queue_news(body)
        return {}
