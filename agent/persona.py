"""A persona: who answers the phone."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from agent.context import RunContext
from agent.end_call import end_call
from agent.tools import FunctionTool, collect_tools
from agent.turns.digits import DigitEntry
from agent.turns.expected import Expected
from agent.turns.signals import TurnDetection
from agent.words import CANNED, canned_words

if TYPE_CHECKING:
    from agent.answering import Answering, AnsweringAction
    from agent.hooks import UserTurn
    from agent.providers.base import LLM, TTS, ChatMessage, LLMEvent, SpokenAudio, ToolSpec
    from agent.rules import Rules
    from telephony.media.answering.model import Verdict

__all__ = ["CANNED", "Agent", "PersonaAware", "overrides"]


class Agent:
    """Subclass it: the docstring is the instructions, methods marked with `@function_tool` are the tools.

    `digits` says how keyed digits become a turn; None: each digit only reaches `on_digit`. `voice` empty: the
    synthesis's voice for `language`. `llm`, `tts`: this persona's model and synthesis, as a provider or by name; None:
    the session's. `silence_ladder` False: a silent caller is neither prompted nor hung up on. `turn_detection`: what
    decides when its callers are done; None: the session's setting. `expects`: what it asks its callers for: it waits
    for an incomplete answer, and takes a complete one sooner.
    `greet` "on_media": a call is greeted with the other side's first packet, after `greet_limit_ms` at the latest;
    "on_answer": at once; None: as the session's settings say.
    `answering`: what to do about whoever answers its calls; an order's own goes before it. `menu_words`: which option
    of a phone menu it takes without asking its model, by a word of it, the best first: ("billing", "representative").
    """

    instructions: str = ""
    voice: str = ""
    language: str = "en"
    greeting: str = ""
    canned: ClassVar[Mapping[str, str]] = {}
    rules: Rules | None = None
    digits: DigitEntry | None = None
    llm: LLM | str | None = None
    tts: TTS | str | None = None
    silence_ladder: bool = True
    turn_detection: TurnDetection | None = None
    expects: Expected | None = None
    greet: Literal["on_media", "on_answer"] | None = None
    greet_limit_ms: float | None = None
    answering: Answering | None = None
    menu_words: Sequence[str] = ()
    _builtin_tools: ClassVar[tuple[Callable[..., Any], ...]] = (end_call,)
    _passed_tools: tuple[Callable[..., Any], ...] = ()
    _tools: dict[str, FunctionTool] | None = None

    def __init__(
        self,
        *,
        instructions: str | None = None,
        greeting: str | None = None,
        tools: Iterable[Callable[..., Any]] = (),
    ) -> None:
        if instructions is not None:
            self.instructions = instructions
        if greeting is not None:
            self.greeting = greeting
        self._passed_tools = tuple(tools)

    @property
    def name(self) -> str:
        return type(self).__name__

    @property
    def prompt(self) -> str:
        """The instructions for the model."""
        if self.instructions:
            return self.instructions
        for cls in type(self).__mro__:
            if cls is Agent:
                break
            if cls.__doc__:
                return inspect.cleandoc(cls.__doc__)
        return ""

    @property
    def tools(self) -> Mapping[str, FunctionTool]:
        """Tools by name. The persona's replace built-in ones of the same name."""
        if self._tools is None:
            builtin = {tool.name: tool for tool in map(FunctionTool, self._builtin_tools)}
            own = collect_tools(self, self._passed_tools)
            self._tools = {**own, **{name: tool for name, tool in builtin.items() if name not in own}}
        return self._tools

    def say_canned(self, key: str) -> str:
        """The phrase for `key`: its own, else its language's. Raises KeyError for an unknown key."""
        return canned_words(key, self.canned, self.language)

    async def on_enter(self, ctx: RunContext) -> None:
        """It becomes active: after the greeting has been queued, or after a handoff."""

    async def on_exit(self, ctx: RunContext) -> None:
        """It is no longer active: handed off, or the session is over."""

    async def on_digit(self, ctx: RunContext, digit: str) -> None:
        """The caller pressed a key."""

    async def on_answered_by(self, ctx: RunContext, verdict: Verdict) -> AnsweringAction | None:
        """It is known who has answered its call, or an earlier verdict is corrected. Return what to do instead of what
        `answering` says, within 2 s; None: that."""
        return None

    async def on_user_turn_completed(self, ctx: RunContext, turn: UserTurn) -> None:
        """The caller is done, and the model is about to be asked: you may change `turn.text` and edit the history.
        Raise StopResponse for no answer. A persona with this hook gets no answers prepared before the turn is
        decided."""

    async def on_user_silence(self, ctx: RunContext, rung: int) -> bool:
        """Nobody has spoken for `away_ms`, for the `rung`th time. True: handled, the silence ladder
        says nothing and ends nothing this time."""
        return False

    async def on_call_summary(self, ctx: RunContext) -> str | None:
        """The call is over and hung up: its summary for `summary.url`, with `ctx.session.history` and `ctx.userdata`.
        None: the settings choose the author."""
        return None

    def transcription_node(self, text: str) -> str:
        """The recognised text, before it is used; on the loop, so be quick."""
        return text

    def llm_node(
        self, ctx: RunContext, messages: Sequence[ChatMessage], tools: Sequence[ToolSpec]
    ) -> AsyncIterator[LLMEvent | str]:
        """One request to the model, the instructions first in `messages`. Override it, usually as an `async` generator,
        to change what is asked or what comes back: text as `str` or TextDelta, ToolCall, Usage."""
        return ctx.session.llm.chat(messages, tools)

    def tts_node(self, ctx: RunContext, text: str) -> AsyncIterator[SpokenAudio | bytes]:
        """The speech of a piece of text, usually a sentence: 8 kHz 16-bit mono."""
        return ctx.session.tts.synthesize(text, voice=self.voice, language=self.language)

    def update_instructions(self, instructions: str) -> None:
        """Replace the instructions from the model's next request on."""
        self.instructions = instructions


def overrides(agent: Agent, name: str) -> bool:
    """Whether the persona has a hook of its own in place of the default."""
    return getattr(type(agent), name) is not getattr(Agent, name) or name in vars(agent)


@runtime_checkable
class PersonaAware(Protocol):
    """A model that follows the persona itself (its rules): the session asks it for one LLM per persona."""

    def for_persona(self, agent: Agent) -> LLM: ...
