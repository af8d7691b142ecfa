"""A silent caller: asked by the persona or in canned words, rung by rung, and let go on the last one."""

from __future__ import annotations

from collections.abc import Callable

from agent.events import SilencePrompted
from agent.hooks import outcome_of
from agent.persona import overrides
from agent.pipeline.alarm import Alarm
from agent.pipeline.conversation import Conversation
from agent.pipeline.talker import Talker
from agent.turns.silence import SilenceLadder, SilenceRung

__all__ = ["Silences"]


class Silences:
    def __init__(
        self,
        conversation: Conversation,
        talker: Talker,
        *,
        away: Callable[[str], None],
        asked: Callable[[], None],
    ) -> None:
        """`away`: the caller has been asked for the last time, and these canned words say goodbye. `asked`: the persona
        has dealt with a rung, or it has been climbed instead."""
        self._conversation = conversation
        self._talker = talker
        self._away = away
        self._asked = asked
        # Without a phone nobody can be silent: a text session waits for as long as it likes.
        away_ms = conversation.options.away_ms if conversation.output is not None else None
        self.ladder = SilenceLadder(away_ms=away_ms)
        self.ladder.on = conversation.agent.silence_ladder
        self.alarm = Alarm(conversation.loop, self.ladder, self._prompt)
        self._stopped = False

    def stop(self) -> None:
        self._stopped = True
        self.alarm.cancel()

    def _prompt(self, actions: tuple[SilenceRung, ...]) -> None:
        conversation = self._conversation
        for rung in actions:
            conversation.emit(SilencePrompted(conversation.now(), rung.rung))
            if overrides(conversation.agent, "on_user_silence"):
                conversation.tasks.spawn(self._ask_persona(rung), "on_user_silence")
            else:
                self._climb(rung)

    def _climb(self, rung: SilenceRung) -> None:
        if rung.last:
            self._away(rung.canned)
        else:
            self._talker.say_canned(rung.canned, "silence_prompt")

    async def _ask_persona(self, rung: SilenceRung) -> None:
        """The persona may deal with the silence itself."""
        conversation, agent, handled = self._conversation, self._conversation.agent, False

        async def ask() -> None:
            nonlocal handled
            handled = await outcome_of(agent.on_user_silence(conversation.context(), rung.rung))

        await conversation.run_hook(ask, "on_user_silence")
        if handled:
            self.ladder.dealt_with()
        elif agent is conversation.agent and not self._stopped:
            self._climb(rung)
        self._asked()
