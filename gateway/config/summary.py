"""What is posted after a call."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.config.fields import Secret

__all__ = ["SummarySettings"]


class SummarySettings(BaseModel):
    """After each answered call its record, transcript and a summary are posted as JSON; see docs/records.md."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    url: str = Field(pattern=r"^https?://[^\s/]+\S*$", description="URL to post to.")
    secret: Secret | None = Field(default=None, description="Signing key as in Standard Webhooks. Default: unsigned.")
    by: Literal["template", "model"] = Field(
        default="template",
        description="Author of the summary: the gateway's template or the language model. A persona's own summary "
        "takes precedence.",
    )
    timeout_s: float = Field(default=10.0, gt=0, le=60, description="Timeout of one attempt.")
    retries: int = Field(default=5, ge=0, le=20, description="Retries, after 2 s, 4 s, 8 s and so on.")
