"""What a persona can be told to understand without a model: intents and slots, as data.

`agent.providers.rules` follows them; the offline recogniser builds its grammar of them (`expectations`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.providers.base import Expectations

__all__ = ["Intent", "Rules", "Slot"]


@dataclass(frozen=True, slots=True)
class Slot:
    """A value that an intent needs. `values`: as said -> as passed to the tool. `prompt`: asked when it is missing.

    `digits`: the slot is a run of digits, spoken ("two nine three") or keyed; its length must be in this
    (least, most) range. Exactly one of `values` and `digits` is given.
    """

    prompt: str
    values: Mapping[str, str] = field(default_factory=dict)
    digits: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Intent:
    """Something the caller may want.

    `phrases`: how it is said; `{slot}` stands for a slot's value, `(a|b)` for either, `[x]` for optional words.
    `slots`: names (of `Rules.slots`) that must be known before anything happens; asked for one by one.
    `confirm`: a yes/no question asked when all slots are known; "no" drops the intent with `Rules.dropped`.
    `tool`: called with the slots as arguments. `reply`: spoken; may use `{slot}`s and `{result}` (the tool's output).
    `on_error`: spoken when the tool failed (default: the persona's canned "unavailable").
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
    intents: tuple[Intent, ...]
    slots: Mapping[str, Slot] = field(default_factory=dict)
    fallback: str = "Sorry, I didn't catch that. Could you say it again?"
    dropped: str = "All right. What else can I do for you?"

    def expectations(self) -> Expectations:
        """Everything a caller may say, for a recogniser."""
        phrases = tuple(phrase for intent in self.intents for phrase in intent.phrases)
        return Expectations(phrases, {name: tuple(slot.values) for name, slot in self.slots.items() if slot.values})
