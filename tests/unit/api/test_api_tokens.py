"""Tokens for LiveKit rooms: who gets one."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp import web
from aiohttp.streams import StreamReader
from aiohttp.test_utils import make_mocked_request
from livekit import api

from gateway.api.room_tokens import FakeRoomTokens, TokenRequest
from gateway.config import LiveKitSettings
from gateway.livekit.tokens import CallRoomTokens
from tests.unit.api.asking import Asker, body, detail

PATH = "/v1/calls/c1/token"


async def post(asker: Asker, path: str, sent: Any, content_type: str = "application/json") -> web.StreamResponse:
    stream = StreamReader(Mock(), 2**16, loop=asyncio.get_running_loop())
    stream.feed_data(sent if isinstance(sent, bytes) else json.dumps(sent).encode())
    stream.feed_eof()
    headers = {"Host": "127.0.0.1:8080", "Content-Type": content_type}
    limit = asker.app._client_max_size
    request = make_mocked_request("POST", path, headers=headers, payload=stream, app=asker.app, client_max_size=limit)
    return await asker.app._handle(request)


async def test_a_live_call_gives_a_token(tmp_path: Path) -> None:
    tokens = FakeRoomTokens()
    asker = Asker(tmp_path, detail(outcome=None), room_tokens=tokens)
    response = await post(asker, PATH, {"identity": "ann", "name": "Ann", "can_publish": False, "hidden": True})
    assert response.status == 200
    assert body(response) == {
        "url": "ws://x", "room": "call-c1", "identity": "ann", "token": "call-c1", "expires_at": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    ((call_id, request),) = tokens.asked
    assert (call_id, request.can_publish, request.can_subscribe, request.hidden) == ("c1", False, True, True)


@pytest.mark.parametrize(
    ("path", "sent", "content_type", "status"),
    [
        (PATH, {}, "application/json", 400),
        (PATH, b"{", "application/json", 400),
        (PATH, {"identity": "sip_15550100"}, "application/json", 400),
        (PATH, {"identity": "agent-1"}, "application/json", 400),
        (PATH, {"identity": "a b"}, "application/json", 400),
        (PATH, {"identity": "ann", "admin": True}, "application/json", 400),
        (PATH, {"identity": "ann", "hidden": "yes"}, "application/json", 400),
        (PATH, {"identity": "ann", "hidden": True, "can_publish": True}, "application/json", 400),
        (PATH, {"identity": ""}, "application/json", 400),
        (PATH, {"identity": "a" * 129}, "application/json", 400),
        (PATH, {"identity": "ann\n"}, "application/json", 400),
        (PATH, {"identity": "änn"}, "application/json", 400),
        (PATH, {"identity": 5}, "application/json", 400),
        (PATH, {"identity": "ann", "name": "A" * 257}, "application/json", 400),
        (PATH, {"identity": "ann", "name": "Ann\x1b[2J"}, "application/json", 400),
        (PATH, ["ann"], "application/json", 400),
        (PATH, b"\xff", "application/json", 400),
        (PATH, b" " * 70_000, "application/json", 413),
        (PATH, {"identity": "ann"}, "text/plain", 415),
        (PATH + "?x=1", {"identity": "ann"}, "application/json", 400),
        ("/v1/calls/over/token", {"identity": "ann"}, "application/json", 409),
        ("/v1/calls/nobody/token", {"identity": "ann"}, "application/json", 404),
    ],
)
async def test_what_is_refused(tmp_path: Path, path: str, sent: Any, content_type: str, status: int) -> None:
    tokens = FakeRoomTokens()
    asker = Asker(tmp_path, detail(outcome=None), detail("over"), room_tokens=tokens)
    assert (await post(asker, path, sent, content_type)).status == status
    assert not tokens.asked


def claims_of(token: str) -> api.access_token.Claims:
    return api.TokenVerifier("key", "s" * 32).verify(token)


@pytest.fixture
def tokens(tmp_path: Path) -> CallRoomTokens:
    (tmp_path / "key").write_text("key")
    (tmp_path / "secret").write_text("s" * 32)
    secrets = {name: {"file": str(tmp_path / name.removeprefix("api_"))} for name in ("api_key", "api_secret")}
    return CallRoomTokens(LiveKitSettings.model_validate({"url": "ws://here", "public_url": "wss://there", **secrets}))


def test_a_token_opens_one_room_to_a_microphone_and_nothing_else(tokens: CallRoomTokens) -> None:
    made = tokens.make("c1", TokenRequest(identity="ann", name="Ann"))
    claims = claims_of(made.token)
    assert (made.url, made.room, claims.identity, claims.name) == ("wss://there", "call-c1", "ann", "Ann")
    video = claims.video
    assert video is not None
    assert (video.room, video.room_join, video.can_publish, video.can_subscribe) == ("call-c1", True, True, True)
    assert video.can_publish_sources == ["microphone"]
    assert not any((video.room_admin, video.room_create, video.room_list, video.can_update_own_metadata))
    assert not video.can_publish_data, "agents tell the call worker events by data"
    assert not any((video.hidden, video.agent, video.recorder))
    assert 0 < (made.expires_at - datetime.now(UTC)).total_seconds() <= 600


def test_somebody_hidden_listens_only(tokens: CallRoomTokens) -> None:
    video = claims_of(tokens.make("c1", TokenRequest(identity="ann", hidden=True)).token).video
    assert video is not None
    assert (video.hidden, video.can_publish, video.can_publish_data, video.can_subscribe) == (True, False, False, True)


async def test_local_rooms_have_none_and_keys_are_asked_for(tmp_path: Path) -> None:
    assert (await post(Asker(tmp_path, detail(outcome=None)), PATH, {"identity": "ann"})).status == 409
    locked = Asker(tmp_path, detail(outcome=None), room_tokens=FakeRoomTokens(), api_keys=["k"])
    assert (await post(locked, PATH, {"identity": "ann"})).status == 401
