"""Tokens that let people join a call's LiveKit room: request, response, and the protocol of their source."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Protocol, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

__all__ = ["FakeRoomTokens", "RoomToken", "RoomTokens", "TokenRequest"]


def _not_taken(identity: str) -> str:
    if identity.startswith(("sip_", "agent-")):
        raise ValueError("sip_… and agent-… are reserved for phones and agents")
    return identity


class TokenRequest(BaseModel):
    """Who wants to join, with a microphone or only to listen. `hidden`: the others don't see this listener."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        json_schema_extra={
            "examples": [{"identity": "anna", "name": "Anna"}],
            "not": {
                "required": ["hidden", "can_publish"],
                "properties": {"hidden": {"const": True}, "can_publish": {"const": True}},
            },
        },
    )

    identity: Annotated[str, AfterValidator(_not_taken)] = Field(
        min_length=1,
        max_length=128,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]*$",
        json_schema_extra={"not": {"pattern": "^(sip_|agent-)"}},
        description="Unique in the room: joining under an identity in use removes the other participant. "
        "sip_… and agent-… are reserved for phones and agents.",
    )
    name: str = Field(
        default="", max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$", description="The name shown to the others."
    )
    can_publish: bool = Field(default=True, description="Whether they may talk. Not with `hidden`.")
    can_subscribe: bool = Field(default=True, description="Whether they may listen.")
    hidden: bool = Field(default=False, description="Whether the others don't see them.")

    @model_validator(mode="after")
    def _hidden_is_silent(self) -> Self:
        if self.hidden and self.can_publish and "can_publish" in self.model_fields_set:
            raise ValueError("a hidden participant may not talk: omit can_publish or hidden")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomToken:
    """For LiveKit's client SDKs: connect to `url` with `token` before `expires_at`."""

    url: str
    room: str
    identity: str
    token: str
    expires_at: datetime


class RoomTokens(Protocol):
    """Creates tokens for the room of a call."""

    def make(self, call_id: str, request: TokenRequest) -> RoomToken: ...


class FakeRoomTokens:
    """Records the requests."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, TokenRequest]] = []

    def make(self, call_id: str, request: TokenRequest) -> RoomToken:
        self.asked.append((call_id, request))
        room, at = f"call-{call_id}", datetime(2026, 1, 1, tzinfo=UTC)
        return RoomToken(url="ws://x", room=room, identity=request.identity, token=room, expires_at=at)
