"""An API with no sockets: requests go straight into the application."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from gateway.api import ApiDeps, FakeCalls, HealthReport, make_app
from gateway.api.deps import KEYS
from gateway.live_calls import LiveCalls
from gateway.metrics import Metrics
from gateway.record import CallDetail, Outcome, Recording
from gateway.transcript import build_turns
from telephony.call import Direction, EndedBy
from tests.unit.store.records import MEDIA, START, conversation


def detail(call_id: str = "c1", **changes: Any) -> CallDetail:
    fields: dict[str, Any] = {
        "direction": Direction.INBOUND,
        "trunk": "local",
        "called": "+15550100",
        "caller": None,
        "started_at": START,
        "outcome": Outcome.ANSWERED,
        "ended_by": EndedBy.CALLER,
        "recording": Recording(path=f"{call_id}.wav", duration_ms=1000),
        "media": MEDIA,
        "events": tuple(conversation()),
        "turns": tuple(build_turns(conversation())),
    }
    return CallDetail(call_id=call_id, **fields | changes)


class Asker:
    """Asks one application; `calls`, `report` and `recordings` may be changed between questions."""

    def __init__(self, recordings: Path, *calls: CallDetail, **changes: Any) -> None:
        self.calls = FakeCalls(*calls)
        self.report = HealthReport(state="ready", figures={"calls_active": 2})
        self.recordings = recordings
        fields: dict[str, Any] = {
            "calls": self.calls,
            "health": lambda: self.report,
            "metrics": Metrics(LiveCalls()),
            "recordings": recordings,
        }
        self.clock = 0.0
        self.app = make_app(ApiDeps(**fields | changes))
        self.app[KEYS]._now = lambda: self.clock
        self.app.freeze()

    async def get(self, path: str, *, method: str = "GET", **headers: str) -> web.StreamResponse:
        sent = {"Host": "127.0.0.1:8080"} | {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.app._handle(make_mocked_request(method, path, headers=sent, app=self.app))


def body(response: web.StreamResponse) -> Any:
    assert isinstance(response, web.Response)
    assert isinstance(response.body, bytes)
    return json.loads(response.body)


def text(response: web.StreamResponse) -> str:
    assert isinstance(response, web.Response)
    assert response.text is not None
    return response.text
