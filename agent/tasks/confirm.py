"""A yes-or-no question."""

from __future__ import annotations

from agent.context import RunContext
from agent.hooks import StopResponse, UserTurn
from agent.persona import Agent
from agent.rules import Intent, Rules
from agent.tasks.task import Task
from agent.tools import ToolError, function_tool
from agent.turns.digits import DigitEntry
from agent.turns.expected import Expected
from agent.turns.yes_or_no import yes_no_of, yes_or_no

__all__ = ["Confirm"]

KEYS = {"1": True, "2": False}
_OTHER_KEYS = frozenset("03456789*#ABCD")

_INSTRUCTIONS = """You have asked the caller on the phone: "{prompt}"
You only want to know whether the answer is yes or no. Call caller_said_yes or caller_said_no as soon as it is clear,
without a word beside it. If the caller asks something about it, answer in a sentence from what was said before, and ask
again. If the caller wants something else altogether, call caller_wants_something_else."""


class Confirm(Task[bool]):
    """`if await Confirm("Shall I book it?"): ...`. A plain "yes" or "no" needs no model, nor do the keys 1 (yes) and 2
    (no); for anything else the model decides what it means, answers questions about it, and asks again. Raises
    ToolError if the caller gives no clear answer in `turns` turns, or wants something else."""

    timeout_s = 60.0
    expects = Expected("yes_no")

    def __init__(self, prompt: str, *, turns: int = 4, say_keys: bool = False) -> None:
        """`say_keys`: the prompt is followed by the canned "confirm_keys", which names the keys."""
        super().__init__(
            greeting=prompt,
            instructions=_INSTRUCTIONS.format(prompt=prompt),
        )
        self._turns_left = turns
        self._say_keys = say_keys
        self.digits = DigitEntry(1, "")

    def begin(self, asker: Agent) -> None:
        super().begin(asker)
        if self._say_keys:
            self.greeting = f"{self.greeting} {self.say_canned('confirm_keys')}"
        self.rules = self._rules()  # the language is known now

    def _rules(self) -> Rules:
        """For the model-free provider, and for recognisers with a grammar."""
        known = yes_no_of(self.language) or yes_no_of("en")
        assert known is not None, "English is known"
        again = self._again
        yes = Intent("yes", (*known.yes, "yes please", "that is right"), tool="caller_said_yes")
        no = Intent("no", (*known.no, "no thank you", "that is wrong"), tool="caller_said_no")
        return Rules((yes, no), fallback=again, hello=again)

    @property
    def _again(self) -> str:
        return f"{self.say_canned('didnt_catch')} {self.greeting}"

    async def on_user_turn_completed(self, ctx: RunContext, turn: UserTurn) -> None:
        key = turn.text.strip()
        answer = KEYS.get(key, yes_or_no(turn.text, self.language))
        if answer is not None:
            self.complete(answer)
            raise StopResponse
        self._turns_left -= 1
        if self._turns_left <= 0:
            self.fail(ToolError(f'the caller gave no clear answer to "{self.greeting}"'))
            raise StopResponse
        if key in _OTHER_KEYS:
            ctx.session.say(self._again)
            raise StopResponse

    @function_tool(silent=True)
    async def caller_said_yes(self) -> None:
        """The caller's answer is yes."""
        self.complete(True)

    @function_tool(silent=True)
    async def caller_said_no(self) -> None:
        """The caller's answer is no."""
        self.complete(False)

    @function_tool(silent=True)
    async def caller_wants_something_else(self, what: str) -> None:
        """The caller neither says yes nor no, but wants something else.

        Args:
            what: What the caller wants, in a few words.
        """
        self.fail(ToolError(f'the caller did not answer "{self.greeting}", but wants something else: {what}'))
