"""A program's order to place a call."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    SecretStr,
    StringConstraints,
)

from gateway.config.answering import AnsweringOptions
from gateway.config.webhooks import Pattern, WebhookUrl, is_signing_key

__all__ = ["CallOrder", "OrderRefused", "OwnWebhook", "whole"]

VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
VariableText = Annotated[str, StringConstraints(max_length=1000)]


def _signing_key(secret: SecretStr) -> SecretStr:
    if not is_signing_key(secret.get_secret_value()):
        raise ValueError("after whsec_ must come base64")
    return secret


_KEY = r"^(?!whsec_)|^whsec_([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$"
SigningKey = Annotated[
    SecretStr,
    Field(min_length=1, max_length=256, json_schema_extra={"pattern": _KEY}),
    AfterValidator(_signing_key),
]


class OwnWebhook(BaseModel):
    """A webhook for the events of one call."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    url: WebhookUrl = Field(description="Where events are posted.")
    events: tuple[Pattern, ...] = Field(
        default=("*",), min_length=1, max_length=20, description="Which: `call.ended`, `call.*`, `*`."
    )
    secret: SigningKey | None = Field(
        default=None,
        description="Signing key as in Standard Webhooks: `whsec_` and base64, or any text. It is not shown again. "
        "Default: unsigned.",
    )


def whole(value: Any) -> Any:
    """JSON Schema counts 10.0 as a whole number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


_EXAMPLES: list[JsonValue] = [
    {"to": "+15551234567", "persona": "clinic.Reminder", "variables": {"name": "Ada"}},
    {
        "to": "+15551234567",
        "persona": "clinic.Reminder",
        "variables": {"name": "Ada"},
        "answering": {
            "message": "Hello {name}, this is Sunrise Clinic. Please call us back.",
            "screener": "Sunrise Clinic, about an appointment.",
            "actions": {"ivr": "hang_up"},
        },
    },
    {
        "to": "+15551234567",
        "persona": "clinic.Reminder",
        "from": "+15550199",
        "trunk": "carrier",
        "extension": "WW1234#",
        "ring_timeout_s": 20,
        "max_call_s": 600,
        "webhook": {"url": "https://crm.example.com/calls/7", "events": ["call.ended"], "secret": "some secret"},
    },
]


class CallOrder(BaseModel):
    """One call to place."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        populate_by_name=True,
        json_schema_extra={"examples": _EXAMPLES},
    )

    to: str = Field(
        pattern=r"^(\+[1-9][0-9]{4,14}|phone:[A-Za-z0-9][A-Za-z0-9._~-]{0,63})$",
        description="The number to call, E.164 with `+`; or `phone:NAME`, a phone that registers with us.",
    )
    from_: str | None = Field(
        default=None,
        alias="from",
        pattern=r"^\+?[0-9]{3,15}$",
        description="The number that the call comes from, one of the trunk's (`outbound.callers`, `caller_choice`). "
        "Not given: the trunk's choice.",
    )
    trunk: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="A trunk of the settings. Not given: those of the number's route (`outbound.routes`), one after "
        "the other if need be.",
    )
    private: bool = Field(
        default=False,
        description="Whether the called side is not to see the number that the call comes from. Only over trunks with "
        "`identity.privacy`.",
    )
    persona: str = Field(
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*){1,2}$",
        max_length=256,
        description="The persona, as listed in the dialplan's `outbound`: `clinic.Reminder`.",
    )
    variables: dict[VariableName, VariableText] = Field(
        default={},
        max_length=50,
        json_schema_extra={"additionalProperties": False},
        description="For the persona: `ctx.call.info.variables`.",
    )
    answering: AnsweringOptions | None = Field(
        default=None,
        description="What to do about whoever answers. What is not given is as the dialplan, then the persona, then "
        "the settings say.",
    )
    extension: str | None = Field(
        default=None,
        pattern=r"^[0-9*#A-DwW]{1,64}$",
        repr=False,
        description="Keys for whoever answers, such as `WW1234#` for a switchboard; sent once there is audio, before "
        "the persona speaks. `w` is a pause of half a second, `W` one of a second.",
    )
    ring_timeout_s: float = Field(
        default=30.0, ge=1, le=120, description="How long it may ring. Then the outcome is no_answer."
    )
    max_call_s: Annotated[int, Field(ge=10, le=86_400), BeforeValidator(whole)] | None = Field(
        default=None, description="The longest it may last, from the answer. Default: the settings'."
    )
    webhook: OwnWebhook | WebhookUrl | None = Field(
        default=None, description="A URL that the call's events are posted to, besides the settings' webhooks."
    )

    @property
    def own_webhook(self) -> OwnWebhook | None:
        return OwnWebhook(url=self.webhook) if isinstance(self.webhook, str) else self.webhook


class OrderRefused(Exception):
    """Nothing was dialled. `kind`: one word for programs: invalid_number, invalid_variable, invalid_message,
    unknown_persona, no_trunk, not_registered, no_privacy, caller_not_allowed, closed_destination, closed_webhook,
    trunk_full, no_slot, draining, failed."""

    def __init__(self, kind: str, text: str, *, retryable: bool = False) -> None:
        super().__init__(text)
        self.kind = kind
        self.retryable = retryable
