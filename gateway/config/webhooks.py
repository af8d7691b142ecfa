"""Webhooks that receive live events."""

from __future__ import annotations

import base64
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from gateway.config.fields import Secret

__all__ = ["CallWebhookSettings", "Pattern", "WebhookSettings", "WebhookUrl", "all_different", "is_signing_key"]

Pattern = Annotated[str, StringConstraints(pattern=r"^[a-z_.]*\*?$", min_length=1, max_length=64)]
# Hosts of other scripts are written as in DNS (xn--…).
_URL = r"^https?://([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?([/?][!-~]*)?$"
WebhookUrl = Annotated[str, StringConstraints(pattern=_URL, max_length=2048)]


class WebhookSettings(BaseModel):
    """One URL that events are posted to; see docs/events.md."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    url: WebhookUrl = Field(description="Where events are posted.")
    secret: Secret | None = Field(
        default=None,
        description="Signing key as in Standard Webhooks: `whsec_` and base64, or any text. Default: unsigned.",
    )
    events: tuple[Pattern, ...] = Field(
        default=("call.*", "transfer.*", "recording.*", "trunk.*"),
        min_length=1,
        description="Which events: `call.ended`, `call.*`, `*`.",
    )
    allow_private: bool = Field(
        default=False, description="Whether the URL may lead to this machine or into a private network."
    )
    timeout_s: float = Field(default=10.0, gt=0, le=60, description="One attempt to post.")


class CallWebhookSettings(BaseModel):
    """Webhooks that come with calls (`webhook` of `POST /v1/calls`); see docs/events.md."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    allow_private: bool = Field(
        default=False, description="Whether their URLs may lead to this machine or into a private network."
    )
    timeout_s: float = Field(default=10.0, gt=0, le=60, description="One attempt to post.")


def is_signing_key(secret: str) -> bool:
    """Any text, but after `whsec_` it is base64 (Standard Webhooks)."""
    if not secret.startswith("whsec_"):
        return bool(secret)
    try:
        return bool(base64.b64decode(secret.removeprefix("whsec_"), validate=True))
    except ValueError:
        return False


def _all_different(webhooks: tuple[WebhookSettings, ...]) -> tuple[WebhookSettings, ...]:
    urls = [webhook.url for webhook in webhooks]
    if len(set(urls)) < len(urls):
        raise ValueError("the same url is there twice")
    return webhooks


all_different = AfterValidator(_all_different)
