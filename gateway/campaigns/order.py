"""What a campaign is, as a program orders it over REST or in a file."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    model_validator,
)

from gateway.campaigns.pacing import PaceLimits
from gateway.campaigns.rules import DEFAULT_RETRIES, AttemptLimit, CampaignRules, Retry, RuleSet
from gateway.campaigns.windows import CallWindows
from gateway.config.answering import AnsweringOptions
from gateway.dialplan.calendar import HolidayCalendar, parse_holiday
from gateway.dialplan.times import parse_times
from gateway.outbound.order import OwnWebhook, VariableName

__all__ = ["CampaignOrder", "PacingOrder", "RetryOrder", "VariableRule"]

_MODEL = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _is_times(text: str) -> str:
    parse_times(text)
    return text


def _is_region(text: str) -> str:
    if not isinstance(parse_holiday(text), str):
        raise ValueError("write dates under `quiet_days`")
    return text


Hours = Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(_is_times)]
Region = Annotated[str, StringConstraints(max_length=16), AfterValidator(_is_region)]
Digits = Annotated[str, StringConstraints(pattern=r"^\+?[0-9]{3,15}$")]


class VariableRule(BaseModel):
    """One column of the contacts that the persona is given."""

    model_config = _MODEL

    required: bool = Field(default=False, description="A row without it is refused.")
    pattern: Annotated[str, Field(max_length=200)] = Field(
        default="", description="A regular expression for the whole value."
    )
    values: Annotated[tuple[str, ...], Field(max_length=200)] = Field(default=(), description="The values it may have.")


class PacingOrder(BaseModel):
    """How many calls, and how fast."""

    model_config = _MODEL

    calls_per_second: float = Field(default=1.0, gt=0, le=100, description="Calls begun, over all gateways.")
    at_once: int = Field(default=10, ge=1, le=10_000, description="Calls alive at the same time, over all gateways.")
    trunk_share: float = Field(
        default=1.0, gt=0, le=1, description="The part of a trunk's calls (`outbound.max_calls`) that it may take."
    )
    reserve_inbound: int = Field(default=0, ge=0, description="Call slots of each gateway that are left for callers.")
    queue: str = Field(
        default="",
        max_length=64,
        description="The queue whose members take the calls over: at most one call for each who is free.",
    )

    @property
    def limits(self) -> PaceLimits:
        return PaceLimits(self.calls_per_second, self.at_once)


class RetryOrder(BaseModel):
    """What follows an attempt of one kind."""

    model_config = _MODEL

    most: int = Field(default=1, ge=1, le=50, description="Attempts of this kind in all, the first included.")
    after_s: float = Field(default=0, ge=0, le=90 * 86_400, description="The earliest next one.")
    next_window: bool = Field(default=False, description="Not within the window of the attempt.")
    next_number: bool = Field(default=False, description="The contact's other numbers go first.")

    @property
    def rule(self) -> Retry:
        return Retry(self.most, timedelta(seconds=self.after_s), self.next_window, self.next_number)


_RETRIES_SCHEMA: dict[str, Any] = {
    "additionalProperties": False,
    "properties": {kind: RetryOrder.model_json_schema() for kind in DEFAULT_RETRIES},
}
_EXAMPLES: list[JsonValue] = [
    {
        "name": "Reminders for December",
        "persona": "clinic.Reminder",
        "variables": {"name": {"required": True}},
        "windows": ["mon-fri 10:00-12:00, 14:00-19:00"],
        "pacing": {"calls_per_second": 2, "at_once": 20},
        "answering": {"message": "Hello {name}, please call Sunrise Clinic back."},
    }
]


class CampaignOrder(BaseModel):
    """One campaign."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, json_schema_extra={"examples": _EXAMPLES}
    )

    name: str = Field(min_length=1, max_length=200, description="For people.")
    persona: str = Field(
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*){1,2}$", max_length=256, description="As listed in the dialplan."
    )
    trunks: Annotated[tuple[str, ...], Field(max_length=20)] = Field(
        default=(), description="In turn. Not given: those of the number's route."
    )
    callers: Annotated[tuple[Digits, ...], Field(max_length=1000)] = Field(
        default=(), description="Numbers that the calls come from. Not given: the trunk's choice."
    )
    choose_caller: Literal["rotate", "area_code"] = Field(
        default="rotate", description="One after another, or the one that begins like the called number."
    )
    variables: Annotated[dict[VariableName, VariableRule], Field(max_length=50)] = Field(
        default={}, description="What each contact has for the persona. A row with others, or wrong ones, is refused."
    )
    answering: AnsweringOptions | None = Field(default=None, description="What to do about whoever answers.")
    transfer_to: str = Field(
        default="", max_length=256, description="Whom the persona may bring in: `ctx.call.info.variables`."
    )
    starts_at: AwareDatetime | None = Field(default=None, description="No call before.")
    ends_at: AwareDatetime | None = Field(default=None, description="No call from then on.")
    windows: Annotated[tuple[Hours, ...], Field(min_length=1, max_length=10)] = Field(
        default=("mon-fri 09:00-18:00",),
        description="Opening hours as in dialplans, by the clock of whoever is called; all of them must allow a call.",
    )
    holidays: tuple[Region, ...] | Literal["called"] = Field(
        default="called",
        description="Public holidays on which nobody is called: of these regions, or of the called number's.",
    )
    quiet_days: Annotated[tuple[date, ...], Field(max_length=400)] = Field(
        default=(), description="Days on which nobody is called."
    )
    pacing: PacingOrder = PacingOrder()
    retries: dict[str, RetryOrder] = Field(
        default={},
        json_schema_extra=_RETRIES_SCHEMA,
        description=f"By what became of an attempt: {', '.join(DEFAULT_RETRIES)}.",
    )
    most_a_day: int = Field(default=3, ge=1, le=50, description="Attempts to one person.")
    most_a_week: int = Field(default=7, ge=1, le=100, description="The same, in seven days.")
    most_attempts: int = Field(default=6, ge=1, le=100, description="The same, in all.")
    gap_s: float = Field(default=300, ge=0, le=86_400, description="Between two attempts to one person.")
    priority: int = Field(default=0, ge=-100, le=100, description="Among campaigns; the higher goes first.")
    rule_sets: tuple[str, ...] | Literal["auto", "none"] = Field(
        default="auto", description="The law that is kept: that of the called number's region, or these sets."
    )
    stop_after_failures: int = Field(
        default=20, ge=1, le=10_000, description="Calls in a row that failed on our side: then it pauses by itself."
    )
    result: dict[str, Any] = Field(default={}, description="JSON Schema of what the persona reports by `ctx.result`.")
    ring_timeout_s: float = Field(default=30.0, ge=1, le=120)
    max_call_s: int | None = Field(default=None, ge=10, le=86_400)
    webhook: OwnWebhook | None = Field(default=None, description="For the campaign's events, and its calls'.")

    @model_validator(mode="after")
    def _sensible(self) -> CampaignOrder:
        unknown = set(self.retries) - set(DEFAULT_RETRIES)
        if unknown:
            raise ValueError(f"retries: {', '.join(sorted(unknown))}: there are {', '.join(DEFAULT_RETRIES)}")
        if self.starts_at and self.ends_at and self.ends_at <= self.starts_at:
            raise ValueError("ends_at is not after starts_at")
        return self

    def rules(self, by_region: dict[str, tuple[RuleSet, ...]]) -> CampaignRules:
        """`by_region`: the law, of the sets that `rule_sets` names."""
        regions = () if self.holidays == "called" else self.holidays
        windows = CallWindows(
            tuple(parse_times(text) for text in self.windows),
            HolidayCalendar(regions),
            frozenset(self.quiet_days),
            closed_on_holidays=bool(regions),
        )
        return CampaignRules(
            windows,
            {**DEFAULT_RETRIES, **{kind: retry.rule for kind, retry in self.retries.items()}},
            (AttemptLimit(self.most_a_day, 1), AttemptLimit(self.most_a_week, 7)),
            self.most_attempts,
            timedelta(seconds=self.gap_s),
            by_region,
            unknown_region=self.rule_sets == "none",
            holidays_of_called=self.holidays == "called",
        )
