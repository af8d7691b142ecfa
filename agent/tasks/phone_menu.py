"""A phone menu has answered a call of ours: hear the options, press keys, wait on hold, notice a person."""

from __future__ import annotations

from collections.abc import Callable

from agent.context import RunContext
from agent.hooks import StopResponse, UserTurn
from agent.persona import Agent
from agent.tasks.task import Task
from agent.tools import ToolError, function_tool
from agent.turns.hold_words import asks_to_wait
from agent.turns.phone_menu import MenuLoop, key_for, options_of

__all__ = ["PhoneMenu"]

_INSTRUCTIONS = """You have placed a phone call, and an automated system has answered: a menu, or a queue.
Nobody hears what you write unless the system asks you to say something; then answer it in a few words.
After each announcement call exactly one function: press_keys when an option leads where you want to go, or to a person;
wait_on_hold when you are put on hold; person_answered as soon as a human being talks to you; give_up when no option
helps; keep_listening when the announcement is not over. You may press a key before the menu is over.
This is what you are calling for:
{purpose}"""
_KEYS = frozenset("0123456789*#wW")
_MOST_KEYS = 32
_UNSAID = ("unavailable", "tool_failed", "didnt_catch", "lost_words", "one_moment", "still_working")


class PhoneMenu(Task[str]):
    """Its result: "person" or "given_up"."""

    silence_ladder = False
    asks_at_once = False
    heeds_sounds = False  # hold music
    greeting = ""

    def __init__(self, persona: Agent, *, begins: Callable[[], None], on_hold: Callable[[], None]) -> None:
        """For `persona`. `begins` is called when it has the call, `on_hold` when it waits on hold: it is then told
        nothing until that is over."""
        super().__init__(instructions=_INSTRUCTIONS.format(purpose=persona.prompt))
        self._wanted = persona.menu_words
        self._begins = begins
        self._on_hold = on_hold
        self._loop = MenuLoop()

    def say_canned(self, key: str) -> str:
        """Nothing is apologised for to a menu."""
        return "" if key in _UNSAID else super().say_canned(key)

    async def on_enter(self, ctx: RunContext) -> None:
        self._begins()

    async def on_user_turn_completed(self, ctx: RunContext, turn: UserTurn) -> None:
        """Words that are known need no model."""
        options = options_of(turn.text)
        if not options and asks_to_wait(turn.text):
            self._on_hold()
            raise StopResponse
        if self._loop.again(turn.text):
            self.complete("given_up")
            raise StopResponse
        if key := key_for(options, self._wanted):
            await ctx.call.send_digits(key)
            raise StopResponse
        if ctx.session.llm.name == "rules":
            raise StopResponse  # it does not know menus

    @function_tool(silent=True)
    async def press_keys(self, ctx: RunContext, keys: str) -> str:
        """Press keys of the phone.

        Args:
            keys: The keys in order, of 0-9, * and #; w is a pause of half a second, W one of a second.
        """
        if not keys or len(keys) > _MOST_KEYS or not _KEYS.issuperset(keys):
            raise ToolError("Keys are 0-9, *, #, w and W, at most 32.")
        await ctx.call.send_digits(keys)
        return f"Pressed {keys}."

    @function_tool(silent=True)
    async def wait_on_hold(self) -> str:
        """Wait on hold in silence, however long the music plays, until somebody answers or another menu is heard."""
        self._on_hold()
        return "You are on hold. You are told when somebody answers."

    @function_tool(silent=True)
    async def person_answered(self) -> str:
        """A human being is talking to you, not a recording."""
        self.complete("person")
        return "You are talking to a person now."

    @function_tool(silent=True)
    async def keep_listening(self) -> str:
        """Say and press nothing: the announcement is not over, or needs no answer."""
        return "You keep listening."

    @function_tool(silent=True)
    async def give_up(self) -> str:
        """Nothing that the system offers leads to what you are calling for: hang up."""
        self.complete("given_up")
        return "The call ends."
