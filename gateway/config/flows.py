"""What a dialplan has callers asked, and where it brings them, without a persona: menus, collectors, transfers. Format:
docs/dialplan.md."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from gateway.config.trunk_calls import VARIABLE

__all__ = ["CollectSettings", "HangUpSettings", "MenuSettings", "QueueUpSettings", "TransferSettings"]

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]
Keys = Annotated[str, StringConstraints(pattern=r"^[0-9*#]{1,8}$")]
Milliseconds = Annotated[int, Field(ge=200, le=60_000)]
Retries = Annotated[int, Field(ge=0, le=10)]


class _Spoken(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=False)

    language: Annotated[str, StringConstraints(min_length=1, max_length=35)] | None = Field(
        default=None, description="Of what is said and heard. Default: that of the group around it, else English."
    )
    voice: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = Field(
        default=None, description="As a persona's. Default: that of the group around it, else the language's."
    )


class MenuSettings(_Spoken):
    """A choice by key, number or name. Beside these options stand the keys."""

    say: Words = Field(description="What is said.")
    say_again: Words | None = Field(default=None, description="What is said after a failed attempt. Default: `say`.")
    repeat: Keys | None = Field(default=None, description="The key after which `say` is said again.")
    retries: Retries = Field(default=2, description="How often it asks again.")
    first_digit_timeout_ms: Milliseconds = Field(default=7000, description="Silence; then it asks again.")
    inter_digit_timeout_ms: Milliseconds = Field(default=1500, description="Between keys of a choice of several.")


class CollectSettings(_Spoken):
    """A number that the caller keys in or says, as a variable of the call."""

    say: Words = Field(description="What is said.")
    say_again: Words | None = Field(default=None, description="What is said after a failed attempt. Default: `say`.")
    variable: str = Field(alias="as", pattern=VARIABLE, description="The variable, in `ctx.call.variables`.")
    length: Annotated[int, Field(ge=1, le=64)] | None = Field(default=None, description="Exactly so many digits.")
    least: Annotated[int, Field(ge=1, le=64)] = Field(default=1, description="The least number of digits.")
    most: Annotated[int, Field(ge=1, le=64)] = Field(default=64, description="The most digits.")
    terminators: str = Field(default="#", pattern=r"^[0-9*#A-D]{0,16}$", description="Keys that end the entry.")
    retries: Retries = Field(default=2, description="How often it asks again.")
    first_digit_timeout_ms: Milliseconds = Field(default=7000, description="Silence; then it asks again.")
    inter_digit_timeout_ms: Milliseconds = Field(default=3000, description="Longest wait for the next key.")
    secret: bool = Field(
        default=False, description="Masked in log, events, transcript and record; the recording is silent meanwhile."
    )
    confirm: bool = Field(default=False, description="Whether it reads them back and asks if they are right.")

    def contradiction(self) -> tuple[str, str] | None:
        """A field and what is wrong with it, beside another one."""
        if self.length is not None and {"least", "most"} & self.model_fields_set:
            return "length", "goes without `least` and `most`"
        if self.least > self.most:
            return "least", "is above `most`"
        return None


class TransferSettings(_Spoken):
    """The caller is brought to somebody else."""

    to: Annotated[str, StringConstraints(min_length=1, max_length=256)] = Field(
        description="A number, or a `sip:` address of a trunk."
    )
    say: Words | None = Field(default=None, description="What is said before. Default: nothing.")
    trunk: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = Field(
        default=None, description="A trunk of the settings. Default: the gateway's choice."
    )
    caller: Annotated[str, StringConstraints(pattern=r"^\+?[0-9]{3,15}$")] | None = Field(
        default=None, alias="from", description="The number that it comes from. Default: the trunk's choice."
    )
    extension: Annotated[str, StringConstraints(pattern=r"^[0-9*#A-DwW]{1,64}$")] | None = Field(
        default=None, description="Keys for whoever answers, before anybody is joined; it is called by us then."
    )
    ring_timeout_s: Annotated[int, Field(ge=1, le=120)] = Field(default=30, description="How long it may ring.")
    refer: Literal["prefer", "only", "never"] = Field(
        default="prefer", description="Whether the caller's side is asked by REFER to call the target itself."
    )


class QueueUpSettings(_Spoken):
    """The caller waits for a member of a human queue."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=64)] = Field(description="A queue of the settings.")
    say: Words | None = Field(default=None, description="What is said before. Default: nothing.")
    priority: Annotated[int, Field(ge=-1000, le=1000)] = Field(default=0, description="Higher goes first.")
    skills: tuple[Annotated[str, StringConstraints(min_length=1, max_length=64)], ...] = Field(
        default=(), max_length=20, description="What the member must be able to do."
    )


class HangUpSettings(_Spoken):
    """The call ends."""

    say: Words | None = Field(default=None, description="What is said before. Default: nothing.")
