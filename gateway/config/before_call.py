"""The question that a dialplan asks about a call before it is answered."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from gateway.config.fields import Secret
from gateway.config.webhooks import WebhookUrl

__all__ = ["BeforeCallSettings"]

PersonaName = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class BeforeCallSettings(BaseModel):
    """A URL that is asked which persona and variables an inbound call is to have; see docs/dialplan.md."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    url: WebhookUrl = Field(description="Where the question is posted.")
    secret: Secret | None = Field(default=None, description="Signing key as in Standard Webhooks. Default: unsigned.")
    personas: tuple[PersonaName, ...] = Field(
        default=(), max_length=100, description="Whom the answer may name besides the rule's own persona."
    )
    limit_ms: int = Field(
        default=800, ge=50, le=2000, description="How long the answer may take. Then the rule's own persona answers."
    )
    allow_private: bool = Field(
        default=False, description="Whether the URL may lead to this machine or into a private network."
    )
