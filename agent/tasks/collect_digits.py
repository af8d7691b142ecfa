"""A number that the caller keys in or says."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from agent.context import RunContext
from agent.hooks import StopResponse, UserTurn
from agent.persona import Agent
from agent.providers.phrases import spoken_digits
from agent.rules import Intent, Rules, Slot
from agent.tasks.attempts import AskedAgain
from agent.tasks.confirm import Confirm
from agent.tasks.digit_words import digit_words, read_out
from agent.tools import ToolError, function_tool
from agent.turns.backchannel import normalized_words
from agent.turns.digits import DigitEntry, KeyedUntil
from agent.turns.expected import Expected

__all__ = ["CollectDigits", "EndedBy", "digits_in"]

EndedBy = Literal["full", "terminator", "timeout", "spoken"]
_ENDED: dict[KeyedUntil | None, EndedBy] = {"length": "full", "terminator": "terminator", "timeout": "timeout"}

_INSTRUCTIONS = """You have asked the caller on the phone: "{prompt}"
You only want that number, which is {length}. The caller may key it in or say it. When the caller has said it in words,
call take_digits with its digits, without a word beside it. If the caller asks something about it, answer in a sentence
and ask again. If the caller does not have it, or wants something else, call caller_has_none. Never make up digits."""
_ENDING = 4  # digits of a secret that are read back
_LONG = 8  # a secret must be this long for its last digits to reveal nothing


class CollectDigits(AskedAgain[str]):
    """`number = await CollectDigits("Your order number, please.", length=5)`: the digits as text. `ended`: what ended
    the entry that was taken: all digits were keyed, a terminator, or no further key; or it was spoken.

    Raises ToolError if the caller has none, or has given no valid one in `retries` more attempts.
    """

    def __init__(
        self,
        prompt: str,
        *,
        length: int | None = None,
        least: int = 1,
        most: int = 32,
        terminators: str = "#",
        first_digit_timeout_ms: float = 7000,
        inter_digit_timeout_ms: float = 3000,
        secret: bool = False,
        confirm: bool = False,
        retries: int = 2,
        retry_prompt: str = "",
        valid: Callable[[str], bool] | None = None,
    ) -> None:
        """`length`: the exact number of digits; else from `least` to `most`. All digits, or one of the `terminators`,
        end it at once. `first_digit_timeout_ms`: without speech or keys for this long, the attempt fails. `secret`:
        masked everywhere, and the recording is silent meanwhile. `confirm`: read it back and ask whether it is right.
        `retry_prompt`: replaces the prompt after a failed attempt. `valid`: whether a number is acceptable.

        Raises ValueError for contradictions.
        """
        if length is not None:
            least = most = length
        if not 1 <= least <= most:
            raise ValueError(f"digits from {least} to {most} cannot be collected")
        count = f"{least} digits long" if least == most else f"{least} to {most} digits long"
        super().__init__(
            prompt,
            _INSTRUCTIONS.format(prompt=prompt, length=count),
            first_digit_timeout_ms=first_digit_timeout_ms,
            retries=retries,
            retry_prompt=retry_prompt,
        )
        self.digits = DigitEntry(most, terminators, inter_digit_timeout_ms, secret)
        self._least, self._most = least, most
        self.secret, self._confirm = secret, confirm
        self.ended: EndedBy = "spoken"
        self._valid = valid
        self._said = ""  # the first digits of a number that is said in pieces
        self._expect_rest()

    def begin(self, asker: Agent) -> None:
        super().begin(asker)
        number = Intent("number", ("{digits}", "it is {digits}"), ("digits",), tool="take_digits")
        slot = Slot(self.greeting, digits=(self._least, self._most), retry=self.again)
        self.rules = Rules((number,), {"digits": slot}, fallback=self.again)

    async def on_user_turn_completed(self, ctx: RunContext, turn: UserTurn) -> None:
        await super().on_user_turn_completed(ctx, turn)
        digits = digits_in(turn.text, self._said, self._least, self._most)
        if not digits:
            return  # the model knows what it means
        self.ended = _ENDED.get(self._keyed_until, "spoken")
        keyed = self._keyed_until is not None or turn.text.strip(" *#ABCD").isdecimal()
        await self._took(ctx, digits, whole=keyed)
        raise StopResponse

    @function_tool(silent=True)
    async def take_digits(self, ctx: RunContext, digits: str) -> None:
        """The caller has said the number.

        Args:
            digits: Its digits, nothing else.
        """
        self.ended = "spoken"
        await self._took(ctx, re.sub(r"\D", "", digits), whole=True)

    @function_tool(silent=True)
    async def caller_has_none(self, why: str) -> None:
        """The caller does not have the number, does not want to give it, or wants something else.

        Args:
            why: What the caller says, in a few words.
        """
        self.fail(ToolError(f"the caller gave no number: {why}"))

    async def _took(self, ctx: RunContext, digits: str, *, whole: bool) -> None:
        """`whole`: it is complete."""
        if self.secret:
            ctx.session.keep_secret(digits)
        if not whole and len(digits) < self._least and digits != self._said:
            self._said = digits  # said in pieces: wait for the next one
            self._expect_rest()
            return
        self._said = ""
        self._expect_rest()
        if not self._least <= len(digits) <= self._most or (self._valid is not None and not self._valid(digits)):
            self.attempt_failed(ctx)
        elif not self._confirm or await self._confirmed(digits):
            self.complete(digits)
        else:
            self.attempt_failed(ctx)

    async def _confirmed(self, digits: str) -> bool:
        self.patient(False)
        try:
            return await Confirm(self._read_back(digits), say_keys=self.ended != "spoken")
        finally:
            self.patient(True)

    def _expect_rest(self) -> None:
        said = len(self._said)
        self.expects = Expected("digits", max(1, self._least - said), max(1, self._most - said))

    def attempt_failed(self, ctx: RunContext) -> None:
        self._said = ""
        self._expect_rest()
        super().attempt_failed(ctx)

    def _read_back(self, digits: str) -> str:
        words = digit_words(self.language)
        if not self.secret:
            return words.confirm.format(digits=read_out(digits))
        if len(digits) >= _LONG:
            return words.confirm_end.format(digits=read_out(digits[-_ENDING:]))
        return words.confirm_count.format(count=len(digits))


def digits_in(text: str, said: str, least: int, most: int) -> str:
    """The spoken or keyed number; `said`: its earlier part. Empty: these words are about something
    else. Pure."""
    tokens = [token for word in normalized_words(text) for token in (word if word.isdecimal() else (word,))]
    runs = spoken_digits(tokens)
    together = "".join(runs)
    if said and runs and len(said + together) <= most:
        return said + together
    fitting = [run for run in (together, *runs) if least <= len(run) <= most]
    if fitting:
        return fitting[0] if len(together) <= most else fitting[-1]
    return together if len(together) * 2 >= len(tokens) else ""
