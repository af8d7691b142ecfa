"""Handles a silent caller: prompts by the persona or canned phrases, rung by rung, and a goodbye after the last."""

from __future__ import annotations

from collections.abc import Callable

from agent.events import SilencePrompted
from agent.hooks import outcome_of
from agent.persona import overrides
from agent.pipeline.activities import Activities
from agent.pipeline.alarm import Alarm
from agent.pipeline.runtime import Runtime
from agent.pipeline.talker import Talker
from agent.turns.silence import SilenceLadder, SilenceRung

__all__ = ["Silences"]


class Silences:
    def __init__(
        self,
        runtime: Runtime,
        activities: Activities,
        talker: Talker,
        *,
        away: Callable[[str], None],
        asked: Callable[[], None],
    ) -> None:
        """`away`: the last prompt has gone unanswered, and these canned words say goodbye. `asked`: the persona has
        handled a rung, or its prompt was said."""
        self._runtime = runtime
        self._activities = activities
        self._talker = talker
        self._away = away
        self._asked = asked
        # Nobody can be silent without a phone: a text session waits indefinitely.
        away_ms = runtime.options.away_ms if runtime.output is not None else None
        self.ladder = SilenceLadder(away_ms=away_ms)
        self.ladder.on = activities.agent.silence_ladder
        self.alarm = Alarm(runtime.loop, self.ladder, self._prompt)
        self._stopped = False

    def stop(self) -> None:
        self._stopped = True
        self.alarm.cancel()

    def _prompt(self, actions: tuple[SilenceRung, ...]) -> None:
        runtime = self._runtime
        for rung in actions:
            runtime.emit(SilencePrompted(runtime.now(), rung.rung))
            if overrides(self._activities.agent, "on_user_silence"):
                runtime.tasks.spawn(self._ask_persona(rung), "on_user_silence")
            else:
                self._climb(rung)

    def _climb(self, rung: SilenceRung) -> None:
        if rung.last:
            self._away(rung.canned)
        else:
            self._talker.say_canned(rung.canned, "silence_prompt")

    async def _ask_persona(self, rung: SilenceRung) -> None:
        """The persona may handle the silence itself."""
        activities, agent, handled = self._activities, self._activities.agent, False

        async def ask() -> None:
            nonlocal handled
            handled = await outcome_of(agent.on_user_silence(activities.context(), rung.rung))

        await activities.run_hook(ask, "on_user_silence")
        if handled:
            self.ladder.dealt_with()
        elif agent is activities.agent and not self._stopped:
            self._climb(rung)
        self._asked()
