"""A LiveKit server's address and keys, and tokens for its rooms. Loads livekit.api when the first token is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

__all__ = ["Dispatch", "LiveKitAccess", "RoomPlan", "call_room_name", "join_token"]

JOIN_TOKEN_S = 600  # only needed for joining: participants stay in, and LiveKit refreshes it


@dataclass(frozen=True, slots=True)
class LiveKitAccess:
    url: str  # ws:// or wss://
    api_key: str
    api_secret: str = field(repr=False)

    @property
    def http_url(self) -> str:
        """URL of the API: the same address."""
        return "http" + self.url[2:] if self.url.startswith("ws") else self.url


@dataclass(frozen=True, slots=True)
class Dispatch:
    """An agent that LiveKit is to send into a room. An empty `agent_name` means agents that take any room."""

    agent_name: str
    metadata: str = ""


@dataclass(frozen=True, slots=True)
class RoomPlan:
    """How a room is created: by the token of the first participant, or through the API."""

    metadata: str = ""
    empty_timeout_s: int = 60
    departure_timeout_s: int = 5
    dispatches: Sequence[Dispatch] = ()


def call_room_name(call_id: str) -> str:
    return f"call-{call_id}"


def join_token(
    access: LiveKitAccess,
    room: str,
    identity: str,
    *,
    name: str = "",
    kind: str = "standard",
    attributes: Mapping[str, str] | None = None,
    metadata: str = "",
    can_publish: bool = True,
    can_publish_data: bool | None = None,
    sources: Sequence[str] = (),
    can_subscribe: bool = True,
    hidden: bool = False,
    plan: RoomPlan | None = None,
    ttl_s: float = JOIN_TOKEN_S,
) -> str:
    """Lets `identity` join `room`. With a `plan`, joining also creates the room.
    `kind`: standard, sip, agent, ingress, egress. `can_publish_data` None: same as the right to publish.
    `sources`: what may be published: microphone, camera, screen_share, screen_share_audio; empty: all."""
    from livekit import api

    token = (
        api.AccessToken(access.api_key, access.api_secret)
        .with_identity(identity)
        .with_name(name or identity)
        .with_kind(kind)  # type: ignore[arg-type]  # its type is a private Literal
        .with_grants(
            api.VideoGrants(
                room_join=True,
                room=room,
                room_create=True if plan is not None else None,
                can_publish=can_publish,
                can_subscribe=can_subscribe,
                can_publish_data=can_publish if can_publish_data is None else can_publish_data,
                can_publish_sources=list(sources) or None,
                can_update_own_metadata=True if kind != "standard" else None,
                hidden=hidden or None,
            )
        )
        .with_ttl(timedelta(seconds=ttl_s))
    )
    if attributes:
        token = token.with_attributes(dict(attributes))
    if metadata:
        token = token.with_metadata(metadata)
    if plan is not None:
        token = token.with_room_config(_configuration(plan))
    return token.to_jwt()


def _configuration(plan: RoomPlan):  # type: ignore[no-untyped-def]  # generated code without types
    from livekit.protocol.agent_dispatch import RoomAgentDispatch
    from livekit.protocol.room import RoomConfiguration

    return RoomConfiguration(
        metadata=plan.metadata,
        empty_timeout=plan.empty_timeout_s,
        departure_timeout=plan.departure_timeout_s,
        agents=[RoomAgentDispatch(agent_name=each.agent_name, metadata=each.metadata) for each in plan.dispatches],
    )
