"""What a persona understands without a model: intents and slots, as data.

`agent.providers.rules` follows them; the offline recogniser builds its grammar of them (`expectations`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.providers.base import Expectations

__all__ = ["Intent", "Rules", "Slot"]


@dataclass(frozen=True, slots=True)
class Slot:
    """A value that an intent needs. `values`: as said -> as passed to the tool; it is read out as the first name with
    that value. `prompt`: asked if it is missing.

    `digits`: the slot is a run of digits, spoken ("two nine three") or keyed; its length must be in this
    (least, most) range. Exactly one of `values` and `digits` is given.
    `retry`: asked after an invalid value (default: `prompt` again).
    """

    prompt: str
    values: Mapping[str, str] = field(default_factory=dict)
    digits: tuple[int, int] | None = None
    retry: str = ""

    def __post_init__(self) -> None:
        if bool(self.values) == (self.digits is not None):
            raise ValueError("a slot has either values or digits")


@dataclass(frozen=True, slots=True)
class Intent:
    """Something the caller may want.

    `phrases`: how it is said; `{slot}` is a slot's value, `(a|b)` an alternative, `[x]` optional words. `slots`: names
    (of `Rules.slots`) of required values, asked for one by one. `confirm`: a yes/no question asked when all slots are
    known; "no" drops the intent with `Rules.dropped`. `tool`: called with the slots as arguments. `reply`: spoken; may
    use `{slot}`s and `{result}` (the tool's output). `on_error`: spoken when the tool failed (default: the persona's
    canned "tool_failed").
    """

    name: str
    phrases: tuple[str, ...]
    slots: tuple[str, ...] = ()
    confirm: str = ""
    tool: str = ""
    reply: str = ""
    on_error: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """`fallback`: after something that matches nothing. `dropped`: after a "no" to a `confirm`. `hello`: after a mere
    greeting. `yes` and `no`: the words that answer a `confirm`, unless they are part of another answer."""

    intents: tuple[Intent, ...]
    slots: Mapping[str, Slot] = field(default_factory=dict)
    fallback: str = "Sorry, I didn't catch that. Could you say it again?"
    dropped: str = "All right. What else can I do for you?"

    hello: str = "Hello. What can I do for you?"
    yes: tuple[str, ...] = (
        "yes",
        "yeah",
        "yep",
        "yup",
        "sure",
        "correct",
        "right",
        "okay",
        "ok",
        "exactly",
        "absolutely",
    )
    no: tuple[str, ...] = ("no", "nope", "nah", "not", "wrong", "incorrect", "never")

    def __post_init__(self) -> None:
        for intent in self.intents:
            unknown = [name for name in intent.slots if name not in self.slots]
            if unknown:
                raise ValueError(f"the intent {intent.name!r} needs the slots {unknown}, which the rules do not define")

    def expectations(self) -> Expectations:
        """Everything a caller may say, for a recogniser: the phrases, the bare values of slots that are asked for, and
        yes and no where something is confirmed."""
        phrases = [phrase for intent in self.intents for phrase in intent.phrases]
        phrases += dict.fromkeys(f"{{{name}}}" for intent in self.intents for name in intent.slots)
        if any(intent.confirm for intent in self.intents):
            phrases += ["yes [that is right]", "yeah", "correct", "that's right", "no [that is wrong]", "that's wrong"]
        return Expectations(
            tuple(dict.fromkeys(phrases)),
            {name: tuple(slot.values) for name, slot in self.slots.items() if slot.values},
            {name: slot.digits for name, slot in self.slots.items() if slot.digits is not None},
        )
