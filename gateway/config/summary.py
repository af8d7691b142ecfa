"""What is posted after a call."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.config.fields import Secret
from gateway.config.webhooks import WebhookSettings, WebhookUrl

__all__ = ["SUMMARY_EVENT", "SummarySettings"]

SUMMARY_EVENT = "call.summary"


class SummarySettings(BaseModel):
    """After each call its record, transcript and a summary are posted as JSON; see docs/records.md."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    url: WebhookUrl = Field(description="URL to post to.")
    secret: Secret | None = Field(default=None, description="Signing key as in Standard Webhooks. Default: unsigned.")
    by: Literal["template", "model"] = Field(
        default="template",
        description="Author of the summary: the gateway's template or the language model. A persona's own summary "
        "takes precedence.",
    )
    unanswered: bool = Field(
        default=True, description="Whether calls are posted, too, that ended before anybody answered."
    )
    timeout_s: float = Field(default=10.0, gt=0, le=60, description="Timeout of one attempt.")

    def as_webhook(self) -> WebhookSettings:
        """The endpoint. It may be in a private network, as most programs that take summaries are."""
        return WebhookSettings(
            url=self.url, secret=self.secret, events=(SUMMARY_EVENT,), allow_private=True, timeout_s=self.timeout_s
        )
