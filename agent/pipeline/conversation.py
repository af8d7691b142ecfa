"""What the parts of one session share: who is active, what it runs on, what has been said and what has happened."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from agent.clock import offload_for_tools
from agent.context import RunContext
from agent.events import ProviderFailed, SessionEvent
from agent.history import History
from agent.options import SessionOptions
from agent.persona import Agent
from agent.pipeline.casting import Casting, Part
from agent.pipeline.tasks import SessionTasks
from agent.providers.base import LLM, TTS, Offload, ProviderError, ToolCall
from agent.turns.limits import FailureCount

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
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self._session = session
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
        self.history = History()
        self.failures = FailureCount(max_in_a_row=options.max_failures)
        self.ending = False  # the farewell has begun: nothing else is taken up
        self.closing = False  # the session is over
        self.said = 0  # what the persona's own code had said, or asked the model to say
        self.user_speaking = False
        self.held = False  # the caller has put us on hold: nobody hears us
        self.tokens = (0, 0)  # of prompts and completions
        self.asking = False  # a tool waits for the caller's next message
        self.entering = 0  # personas whose `on_enter` is running after a handoff
        self.turns = 0  # of the caller, so far
        self.tasks = SessionTasks(self.loop, lambda: self.agent.name)
        self.last_sound_at = self.now()  # of either side, as far as it is over
        self.goes_on = asyncio.Event()  # clear: what the caller has begun to say is waited for before anything is said
        self.goes_on.set()
        self.become(agent)

    def become(self, agent: Agent) -> None:
        """`agent` is active from now on, with its own model and synthesis if it has them. What hooks of the one before
        still do ends with it. Raises ValueError for a name of one that is not known."""
        cast = self.casting.of(agent, self.context)
        self.tasks.end_hooks()
        self.agent = agent
        self.bare_llm, self.bare_tts = cast.bare_llm, cast.bare_tts
        self.llm, self.tts = cast.llm, cast.tts

    def now(self) -> float:
        return self.loop.time()

    def context(self, function_call: ToolCall | None = None) -> RunContext:
        return RunContext(self._session, self.agent, self.userdata, self.call, function_call)

    def provider_failed(
        self, part: Part, error: ProviderError, action: Literal["retry", "canned", "ignored", "fallback"]
    ) -> None:
        self.emit(ProviderFailed(self.now(), error.provider, part, str(error), action))
