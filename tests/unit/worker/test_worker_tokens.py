"""Tokens: the worker's own, and a job's token renewed for the process that takes it over."""

from __future__ import annotations

from datetime import timedelta

import pytest
from livekit import api

from agent.worker.tokens import renewed_job_token, worker_token

KEY, SECRET = "key", "s" * 32


def test_the_workers_token_opens_no_room() -> None:
    claims = api.TokenVerifier(KEY, SECRET).verify(worker_token(KEY, SECRET))
    assert claims.video is not None
    assert claims.video.agent is True
    assert claims.video.room_join is None


def test_a_token_that_ran_out_is_renewed_with_all_that_it_said() -> None:
    old = (
        api.AccessToken(KEY, SECRET)
        .with_identity("agent-AJ_1")
        .with_name("clinic")
        .with_kind("agent")
        .with_attributes({"lk.agent_name": "clinic"})
        .with_grants(api.VideoGrants(room_join=True, room="call-1", agent=True, can_update_own_metadata=True))
        .with_ttl(timedelta(hours=-1))
        .to_jwt()
    )
    claims = api.TokenVerifier(KEY, SECRET).verify(renewed_job_token(old, KEY, SECRET))
    assert (claims.identity, claims.name, claims.kind) == ("agent-AJ_1", "clinic", "agent")
    assert claims.attributes == {"lk.agent_name": "clinic"}
    assert claims.video is not None
    assert (claims.video.room_join, claims.video.room, claims.video.agent) == (True, "call-1", True)


def test_what_is_no_token() -> None:
    with pytest.raises(ValueError, match="not a token"):
        renewed_job_token("nonsense", KEY, SECRET)
