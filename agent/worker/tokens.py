"""Tokens of the worker and of its jobs' agents."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from livekit import api

__all__ = ["renewed_job_token", "worker_token"]

_WORKER_TTL = timedelta(minutes=5)  # checked when the connection is opened
_JOB_TTL = timedelta(hours=1)


def worker_token(api_key: str, api_secret: str) -> str:
    grants = api.VideoGrants(agent=True)
    return api.AccessToken(api_key, api_secret).with_ttl(_WORKER_TTL).with_grants(grants).to_jwt()


def renewed_job_token(token: str, api_key: str, api_secret: str, *, room: str = "") -> str:
    """The same agent's token, valid for another hour: the job's own token may have expired by the time its process has
    to be replaced. `room`: replaces the token's room. Raises ValueError for an invalid token."""
    try:
        claims = api.TokenVerifier(api_key, api_secret).verify(token, verify_signature=False)
    except Exception as error:
        raise ValueError(f"not a token: {error}") from error
    new = api.AccessToken(api_key, api_secret).with_identity(claims.identity).with_ttl(_JOB_TTL).with_kind("agent")
    new = new.with_name(claims.name or "").with_metadata(claims.metadata or "")
    if claims.video is not None:
        new = new.with_grants(replace(claims.video, room=room or claims.video.room))
    if claims.attributes:
        new = new.with_attributes(claims.attributes)
    return new.to_jwt()
