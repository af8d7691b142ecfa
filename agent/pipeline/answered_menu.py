"""A phone menu has answered: the task `PhoneMenu` has the call until a person is reached, or it gives up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from agent.chat_context import CUE
from agent.history import History
from agent.pipeline.activities import Activities
from agent.pipeline.messages import Messages
from agent.pipeline.spoken_turn import SpokenTurn
from agent.pipeline.talker import Talker
from agent.pipeline.task_runs import TaskRuns
from agent.pipeline.turn_taking import TurnTaking
from agent.providers.base import ChatMessage
from agent.run_result import SessionMisuse
from agent.tasks.phone_menu import PhoneMenu
from agent.tools import ToolError
from agent.turns.phone_menu import options_of
from agent.within import Within

__all__ = ["AnsweredMenu"]

_PERSON = "[A person has answered now.]"
_OVER = "The phone menu has been left."
_log = logging.getLogger(__name__)


class AnsweredMenu:
    """`person` is called when the agent notices one, `given_up` when it sees no way on."""

    def __init__(
        self,
        activities: Activities,
        talker: Talker,
        turns: TurnTaking,
        task_runs: TaskRuns,
        history: History,
        messages: Messages,
        spawn: Callable[..., asyncio.Task[None]],
    ) -> None:
        self._activities = activities
        self._talker = talker
        self._turns = turns
        self._task_runs = task_runs
        self._history = history
        self._messages = messages
        self._spawn = spawn
        self._task: PhoneMenu | None = None
        self._used = False
        self.person: Callable[[], None] = lambda: None
        self.given_up: Callable[[], None] = lambda: None

    def begin(self) -> None:
        persona = self._activities.stack.persona.agent
        task = self._task = PhoneMenu(persona, begins=self._begins, on_hold=self._wait)
        self._used = True
        self._talker.speaker.silenced = False
        self._spawn(self._run(task), "phone menu")

    def leave(self) -> None:
        """The task is over at once, and nothing follows from it."""
        task, self._task = self._task, None
        found = next((each for each in self._activities.stack if each.agent is task), None)
        if task is None or found is None:
            return
        task.complete("person")
        self._talker.end_task(self._activities.end(found, _OVER), self._place)

    def tell_person(self) -> None:
        """After a menu, the model is told that it does not talk to it any more."""
        if self._used:
            self._used = False
            self._history.add(ChatMessage("user", _PERSON, name=CUE))

    async def _run(self, task: PhoneMenu) -> None:
        outcome = "given_up"
        try:
            outcome = await self._task_runs.run(task, self._place)
        except (ToolError, SessionMisuse, ValueError) as error:
            _log.warning("the phone menu was not used: %s", error)
        if self._task is task:
            self._task = None
            (self.person if outcome == "person" else self.given_up)()

    @property
    def _place(self) -> Within:
        return self._activities.within(self._activities.stack.persona)

    def _begins(self) -> None:
        """It has the call: what has been heard is its to answer."""
        listener, kept = self._turns.listener, self._turns.unanswered
        to_come = listener is not None and listener.answer_kept()
        self._turns.be_quiet(False)
        if not to_come and kept.last is not None:
            self._history.remove(kept.last)
            self._messages.answer(kept.last.message.text, None)

    def heard(self, turn: SpokenTurn) -> None:
        """While on hold: another menu ends that, and the turn is answered."""
        if self._task is not None and self._turns.unanswered.quiet and options_of(turn.text):
            turn.kept = False
            self._talker.speaker.silenced = False
            self._turns.be_quiet(False)

    def _wait(self) -> None:
        """On hold: nothing is said, and hold music and announcements are no turns."""
        if self._task is not None:
            self._turns.be_quiet(True)
            self._talker.speaker.silenced = True
