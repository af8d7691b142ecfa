"""A choice by key or by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
from agent.words import base_language

__all__ = ["Menu", "named_in", "wants_again"]

_REPEATS = 5  # a caller, or a machine, that only wants to hear it again
_MORE_WORDS = 3  # beside a choice's name: "billing please", "I want billing"
_AGAIN = {
    "en": ("repeat", "again", "repeat that", "say that again", "come again", "say it again", "once more"),
    "de": ("wiederholen", "nochmal", "noch mal", "noch einmal", "bitte wiederholen"),
    "es": ("repetir", "repita", "otra vez", "de nuevo"),
    "fr": ("répéter", "répétez", "encore", "encore une fois"),
    "it": ("ripetere", "ripeti", "ripeta", "di nuovo", "ancora"),
    "pt": ("repetir", "repita", "outra vez", "de novo"),
}
_NOT = frozenset({"not", "don", "dont", "never", "nicht", "kein", "keine", "nunca", "pas", "non", "não"})
_POLITE = frozenset({"please", "bitte", "por", "favor", "s", "il", "vous", "plaît", "per", "favore"})

_INSTRUCTIONS = """You have offered the caller on the phone a choice: "{prompt}"
The choices are: {choices}. Call choose with the one that the caller means, without a word beside it. If the caller asks
something about them, answer in a sentence and ask again. If none of them fits, call none_fits."""


class Menu(AskedAgain[str]):
    """`desk = await Menu({"1": "sales", "2": "billing"}, "For sales press 1, for billing press 2.")`: the name of the
    choice, made by key, number or name. Raises ToolError if nothing was chosen.

    A key that is no choice, silence, and words that name none of them are answered with the prompt again, `retries`
    times."""

    def __init__(
        self,
        choices: Mapping[str, str],
        prompt: str,
        *,
        first_digit_timeout_ms: float = 7000,
        inter_digit_timeout_ms: float = 1500,
        retries: int = 2,
        retry_prompt: str = "",
        repeat: str = "",
    ) -> None:
        """`choices`: keys to press -> names. `inter_digit_timeout_ms`: between keys of a choice of several. `repeat`:
        the key after which the prompt is said again, which is no failed attempt; so is saying "repeat" or "again".

        Raises ValueError for choices that cannot be told apart.
        """
        if not choices or len(set(choices.values())) < len(choices):
            raise ValueError("a menu needs choices with different names")
        if wrong := [key for key in choices if not key or any(each not in "0123456789*#" for each in key)]:
            raise ValueError(f"not keys of a telephone: {wrong}")
        if repeat and (repeat in choices or any(each not in "0123456789*#" for each in repeat)):
            raise ValueError(f"not a key to repeat the choices with: {repeat}")
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
        self._repeat = repeat
        self._repeats_left = _REPEATS
        self.digits = DigitEntry(max(map(len, (*choices, repeat))), "", inter_digit_timeout_ms)

    def begin(self, asker: Agent) -> None:
        super().begin(asker)
        said = {" ".join(normalized_words(name)): name for name in self._choices.values()}
        slot = Slot(self.greeting, said, retry=self.again)
        choose = Intent("choose", ("{name}", "{name} please"), ("name",), tool="choose")
        phrases = _AGAIN.get(base_language(self.language), _AGAIN["en"])
        again = Intent("again", phrases, tool="repeat_choices")
        self.rules = Rules((choose, again), {"name": slot}, fallback=self.again)

    async def on_user_turn_completed(self, ctx: RunContext, turn: UserTurn) -> None:
        await super().on_user_turn_completed(ctx, turn)
        pressed = turn.text.strip()
        keyed = bool(pressed) and all(key in "0123456789*#" for key in pressed)
        key = pressed if keyed else digits_in(turn.text, "", 1, max(map(len, self._choices)))
        named = named_in(turn.text, tuple(self._choices.values()))
        if named or key in self._choices:
            self.complete(named or self._choices[key])
            raise StopResponse
        again = pressed == self._repeat if keyed else wants_again(turn.text, self.language)
        if again and self._repeats_left > 0:
            self._repeats_left -= 1
            ctx.session.say(self.greeting)
            raise StopResponse
        if keyed:
            self.attempt_failed(ctx)
            raise StopResponse

    @function_tool(silent=True)
    async def repeat_choices(self, ctx: RunContext) -> None:
        """The caller wants to hear the choices again."""
        ctx.session.say(self.greeting)

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


def named_in(text: str, names: Sequence[str]) -> str:
    """The only one of `names` that these few words have in them; empty: none, or several. Pure."""
    words = normalized_words(text)
    if _NOT.intersection(words):
        return ""
    found = [
        name
        for name in names
        if (wanted := normalized_words(name))
        and len(words) <= len(wanted) + _MORE_WORDS
        and any(words[at : at + len(wanted)] == wanted for at in range(len(words) - len(wanted) + 1))
    ]
    whole = [name for name in found if normalized_words(name) == words]
    return whole[0] if whole else found[0] if len(found) == 1 else ""


def wants_again(text: str, language: str) -> bool:
    """Whether these words only ask for the choices once more. Pure."""
    said = " ".join(word for word in normalized_words(text) if word not in _POLITE)
    return said in _AGAIN.get(base_language(language), _AGAIN["en"])
