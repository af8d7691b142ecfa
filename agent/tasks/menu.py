"""A choice by key or by name."""

from __future__ import annotations

from collections.abc import Mapping

from agent.context import RunContext
from agent.hooks import StopResponse, UserTurn
from agent.persona import Agent
from agent.rules import Intent, Rules, Slot
from agent.tasks.attempts import AskedAgain
from agent.tasks.collect_digits import digits_in
from agent.tools import ToolError, function_tool
from agent.turns.backchannel import normalized_words
from agent.turns.digits import DigitEntry
from agent.turns.expected import Expected

__all__ = ["Menu"]

_INSTRUCTIONS = """You have offered the caller on the phone a choice: "{prompt}"
The choices are: {choices}. Call choose with the one that the caller means, without a word beside it. If the caller asks
something about them, answer in a sentence and ask again. If none of them fits, call none_fits."""


class Menu(AskedAgain[str]):
    """`desk = await Menu({"1": "sales", "2": "billing"}, "For sales press 1, for billing press 2.")`: the name of the
    choice, made by key, number or name. Raises ToolError if nothing was chosen."""

    def __init__(
        self,
        choices: Mapping[str, str],
        prompt: str,
        *,
        first_digit_timeout_ms: float = 7000,
        inter_digit_timeout_ms: float = 1500,
        retries: int = 2,
        retry_prompt: str = "",
    ) -> None:
        """`choices`: keys to press -> names. `inter_digit_timeout_ms`: between keys of a choice of several.

        Raises ValueError for choices that cannot be told apart.
        """
        if not choices or len(set(choices.values())) < len(choices):
            raise ValueError("a menu needs choices with different names")
        if wrong := [key for key in choices if not key or any(each not in "0123456789*#" for each in key)]:
            raise ValueError(f"not keys of a telephone: {wrong}")
        told = ", ".join(f"{name} (key {key})" for key, name in choices.items())
        super().__init__(
            prompt,
            _INSTRUCTIONS.format(prompt=prompt, choices=told),
            first_digit_timeout_ms=first_digit_timeout_ms,
            retries=retries,
            retry_prompt=retry_prompt,
        )
        self._choices = dict(choices)
        self.expects = Expected("choice", choices=tuple(choices.values()))
        self.digits = DigitEntry(max(map(len, choices)), "", inter_digit_timeout_ms)

    def begin(self, asker: Agent) -> None:
        super().begin(asker)
        said = {" ".join(normalized_words(name)): name for name in self._choices.values()}
        slot = Slot(self.greeting, said, retry=self.again)
        choose = Intent("choose", ("{name}", "{name} please"), ("name",), tool="choose")
        self.rules = Rules((choose,), {"name": slot}, fallback=self.again)

    async def on_user_turn_completed(self, ctx: RunContext, turn: UserTurn) -> None:
        pressed = turn.text.strip()
        keyed = bool(pressed) and all(key in "0123456789*#" for key in pressed)
        key = pressed if keyed else digits_in(turn.text, "", 1, max(map(len, self._choices)))
        named = [name for name in self._choices.values() if normalized_words(name) == normalized_words(turn.text)]
        if named or key in self._choices:
            self.complete(named[0] if named else self._choices[key])
            raise StopResponse
        if keyed:
            self.attempt_failed(ctx)
            raise StopResponse

    @function_tool(silent=True)
    async def choose(self, name: str) -> None:
        """The caller has chosen.

        Args:
            name: The name of the choice, as it is in the list.
        """
        if name not in self._choices.values():
            raise ToolError(f"Unknown choice {name}. Choices: {', '.join(self._choices.values())}.")
        self.complete(name)

    @function_tool(silent=True)
    async def none_fits(self, what: str) -> None:
        """The caller wants none of the choices.

        Args:
            what: What the caller wants, in a few words.
        """
        self.fail(ToolError(f"the caller wants none of the choices, but: {what}"))
