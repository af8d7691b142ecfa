"""What hearing and turn taking know of the session around them."""

from __future__ import annotations

from agent.context import RunContext
from agent.history import History
from agent.persona import Agent
from agent.pipeline.activities import Activities
from agent.pipeline.recording import RecordingPauses
from agent.pipeline.runtime import Runtime
from agent.privacy import Privacy
from agent.providers.base import ToolCall

__all__ = ["Conversation"]


class Conversation:
    def __init__(
        self, runtime: Runtime, activities: Activities, history: History, privacy: Privacy, recording: RecordingPauses
    ) -> None:
        self.runtime = runtime
        self.activities = activities
        self.history = history
        self.privacy = privacy
        self.recording = recording
        self.loop, self.options, self.tasks, self.output = runtime.loop, runtime.options, runtime.tasks, runtime.output
        self.emit, self.now, self.provider_failed = runtime.emit, runtime.now, runtime.provider_failed
        self.run_hook = activities.run_hook
        self.user_speaking = False
        self.held = False  # the caller has put us on hold: nobody hears us

    @property
    def agent(self) -> Agent:
        """Whoever has the caller."""
        return self.activities.agent

    @property
    def asking(self) -> bool:
        """A tool of whoever has the caller waits for the next message."""
        return self.activities.top.asking

    def context(self, function_call: ToolCall | None = None) -> RunContext:
        return self.activities.context(function_call)
