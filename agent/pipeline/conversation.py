"""What the parts of one session share: who is active, what it runs on, what has been said and what has happened."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal

from agent.clock import offload_for_tools
from agent.context import RunContext
from agent.events import ProviderFailed, SessionEvent
from agent.history import History
from agent.options import SessionOptions
from agent.persona import Agent
from agent.pipeline.activities import Activities
from agent.pipeline.casting import Casting, Part
from agent.pipeline.tasks import SessionTasks
from agent.providers.base import LLM, TTS, Offload, ProviderError, ToolCall
from agent.tasks.task import Task
from agent.turns.limits import FailureCount
from agent.within import Within

if TYPE_CHECKING:
    from agent.pipeline.recording import RecordingPauses
    from agent.privacy import Privacy
    from agent.providers.named import NamedProviders
    from agent.session_verbs import SessionVerbs
    from telephony.call import CallVerbs
    from telephony.rooms.protocol import AudioOutput

__all__ = ["Conversation"]


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
        run_task: Callable[[Task[Any], Within], Awaitable[Any]],
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.casting = Casting(llm, tts, named_provider, self.provider_failed, voiced=output is not None)
        self.privacy = privacy
        self.recording = recording
        self.options = options
        self.offload = offload
        self.tool_offload = offload_for_tools(offload)
        self.userdata = userdata
        self.output = output
        self.call = call
        self.emit = emit
        self.history = History(lambda: self.activities.top)
        self.failures = FailureCount(max_in_a_row=options.max_failures)
        self.ending = False  # the farewell has begun: nothing else is taken up
        self.closing = False  # the session is over
        self.said = 0  # what the persona's own code had said, or asked the model to say
        self.user_speaking = False
        self.held = False  # the caller has put us on hold: nobody hears us
        self.tokens = (0, 0)  # of prompts and completions
        self.turns = 0  # of the caller, so far
        self.tasks = SessionTasks(self.loop)
        self.last_sound_at = self.now()  # of either side, as far as it is over
        self.goes_on = asyncio.Event()  # clear: what the caller has begun to say is waited for before anything is said
        self.goes_on.set()
        self.activities = Activities(
            agent,
            casting=self.casting,
            tasks=self.tasks,
            run_task=run_task,
            session=session,
            userdata=userdata,
            call=call,
        )
        self.run_hook = self.activities.run_hook

    @property
    def agent(self) -> Agent:
        """Whoever has the caller."""
        return self.activities.agent

    @property
    def asking(self) -> bool:
        """A tool of whoever has the caller waits for the next message."""
        return self.activities.top.asking

    @property
    def llm(self) -> LLM | None:
        return self.activities.top.cast.llm

    @property
    def tts(self) -> TTS | None:
        return self.activities.top.cast.tts

    def now(self) -> float:
        return self.loop.time()

    def context(self, function_call: ToolCall | None = None) -> RunContext:
        return self.activities.context(function_call)

    def provider_failed(
        self, part: Part, error: ProviderError, action: Literal["retry", "canned", "ignored", "fallback"]
    ) -> None:
        self.emit(ProviderFailed(self.now(), error.provider, part, str(error), action))
