"""What the parts of one session share: who is active, what it runs on, what has been said and what has happened."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from agent.clock import is_our_end, offload_for_tools
from agent.context import RunContext
from agent.events import ProviderFailed, SessionEvent
from agent.history import History
from agent.hooks import outcome_of
from agent.options import SessionOptions
from agent.persona import Agent, PersonaAware
from agent.pipeline.nodes import llm_through, tts_through
from agent.providers.base import LLM, STT, TTS, Offload, ProviderError, ToolCall
from agent.providers.fallback import reporting
from agent.turns.limits import FailureCount

if TYPE_CHECKING:
    from agent.pipeline.recording import RecordingPauses
    from agent.privacy import Privacy
    from agent.providers.named import NamedProviders
    from agent.session_verbs import SessionVerbs
    from telephony.call import CallVerbs
    from telephony.rooms.protocol import AudioOutput

__all__ = ["Conversation", "Part"]

Part = Literal["vad", "stt", "llm", "tts"]
P = TypeVar("P", LLM, STT, TTS)
LET_GO_LIMIT_S = 1.0  # for providers to close what they have open, when the session closes
_log = logging.getLogger(__name__)


class Conversation:
    def __init__(
        self,
        session: SessionVerbs,
        agent: Agent,
        *,
        named_provider: NamedProviders,
        privacy: Privacy,
        recording: RecordingPauses,
        llm: LLM | None,
        tts: TTS | None,
        options: SessionOptions,
        offload: Offload,
        userdata: Any,
        output: AudioOutput | None,
        call: CallVerbs | None,
        emit: Callable[[SessionEvent], None],
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self._session = session
        self._named_provider = named_provider
        self.privacy = privacy
        self.recording = recording
        self.options = options
        self.offload = offload
        self.tool_offload = offload_for_tools(offload)
        self.userdata = userdata
        self.output = output
        self._given_tts = self.reporting_fallbacks("tts", tts) if tts is not None and output is not None else None
        self.call = call
        self.emit = emit
        self.history = History()
        self.failures = FailureCount(max_in_a_row=options.max_failures)
        self.ending = False  # the farewell has begun: nothing else is taken up
        self.closing = False  # the session is over
        self.watch: Callable[[str], None] | None = None  # told the name of a persona's code by the task that runs it
        self.said = 0  # what the persona's own code had said, or asked the model to say
        self.user_speaking = False
        self.held = False  # the caller has put us on hold: nobody hears us
        self.tokens = (0, 0)  # of prompts and completions
        self.asking = False  # a tool waits for the caller's next message
        self.entering = 0  # personas whose `on_enter` is running after a handoff
        self.turns = 0  # of the caller, so far
        self._given_llm = self.reporting_fallbacks("llm", llm) if llm is not None else None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._letting_go: set[asyncio.Task[None]] = set()
        self._hooks: set[asyncio.Task[None]] = set()  # of the persona that is active
        self.last_sound_at = self.now()  # of either side, as far as it is over
        self.goes_on = asyncio.Event()  # clear: what the caller has begun to say is waited for before anything is said
        self.goes_on.set()
        self.become(agent)

    def become(self, agent: Agent) -> None:
        """`agent` is active from now on, with its own model and synthesis if it has them. What hooks of the one before
        still do ends with it. Raises ValueError for a name of one that is not known."""
        llm, tts = self._given_llm, self._given_tts
        if agent.llm is not None:
            own = self._named_provider("llm", agent.llm) if isinstance(agent.llm, str) else agent.llm
            llm = self.reporting_fallbacks("llm", own)
        if agent.tts is not None and self.output is not None:
            spoken = self._named_provider("tts", agent.tts) if isinstance(agent.tts, str) else agent.tts
            tts = self.reporting_fallbacks("tts", spoken)
        hooks, self._hooks = self._hooks, set()
        for hook in hooks:
            hook.cancel()
        self.agent = agent
        self.bare_llm = llm.for_persona(agent) if isinstance(llm, PersonaAware) else llm
        self.bare_tts = tts
        self.llm = llm_through(agent, self.bare_llm, self.context)
        self.tts = tts_through(agent, tts, self.context)

    def now(self) -> float:
        return self.loop.time()

    def context(self, function_call: ToolCall | None = None) -> RunContext:
        return RunContext(self._session, self.agent, self.userdata, self.call, function_call)

    def reporting_fallbacks(self, part: Part, provider: P) -> P:
        """`provider`, which tells this session when it asks another one by itself."""
        return reporting(provider, lambda error: self.provider_failed(part, error, "fallback"))

    def provider_failed(
        self, part: Part, error: ProviderError, action: Literal["retry", "canned", "ignored", "fallback"]
    ) -> None:
        self.emit(ProviderFailed(self.now(), error.provider, part, str(error), action))

    def spawn(self, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """A task of this session: it is cancelled when the session closes, and its failure is logged."""
        task = self.loop.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def let_go(self, closing: Coroutine[Any, Any, None]) -> None:
        """Close what a provider has open. Unlike other tasks this goes on while the session closes."""
        task = self.loop.create_task(closing, name="let go")
        self._letting_go.add(task)
        task.add_done_callback(self._letting_go.discard)

    async def cancel_tasks(self) -> None:
        tasks = [task for task in (*self._tasks, *self._hooks) if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # of tasks that were over already, Python 3.12 does not wait for the callbacks

    async def all_let_go(self) -> None:
        """Wait until all is closed; what takes more than a second is given up."""
        if self._letting_go:
            _, slow = await asyncio.wait(self._letting_go, timeout=LET_GO_LIMIT_S)
            for task in slow:
                _log.warning("a provider's stream was not closed within %g s", LET_GO_LIMIT_S)
                task.cancel()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s failed", task.get_name(), exc_info=error)

    def user_code(self, name: str) -> None:
        """The task that calls this runs code of the persona from now on."""
        if self.watch is not None:
            self.watch(name)

    async def run_hook(self, hook: Callable[[], object], name: str) -> None:
        """A hook of the active persona, a coroutine function or not: its failure, or taking longer than 10 s, ends
        nothing. Another persona's becoming active ends it."""
        task = self.loop.create_task(self._guarded(hook, name), name=f"{self.agent.name}.{name}")
        self._hooks.add(task)
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
            self._hooks.discard(task)

    async def _guarded(self, hook: Callable[[], object], name: str) -> None:
        persona = self.agent.name
        self.user_code(f"{persona}.{name}")
        try:
            async with asyncio.timeout(10):
                await outcome_of(hook())
        except BaseException as error:
            if is_our_end(error):
                raise
            _log.exception("%s.%s failed", persona, name)
