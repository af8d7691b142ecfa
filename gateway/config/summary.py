"""What is posted when a call is over."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.config.fields import Secret

__all__ = ["SummarySettings"]


class SummarySettings(BaseModel):
    """After each answered call its record, transcript and a summary are posted as JSON; see docs/records.md."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    url: str = Field(pattern=r"^https?://[^\s/]+\S*$", description="Where they are posted.")
    secret: Secret | None = Field(
        default=None, description="What they are signed with, as Standard Webhooks say. Not given: unsigned."
    )
    by: Literal["template", "model"] = Field(
        default="template",
        description="Whose words the summary is: the gateway's or the language model's. A persona's own come first.",
    )
    timeout_s: float = Field(default=10.0, gt=0, le=60, description="One attempt to post.")
    retries: int = Field(default=5, ge=0, le=20, description="Further attempts, after 2 s, 4 s, 8 s and so on.")
