"""The persona's hooks for the caller's message, before it is used and before the model is asked."""

from __future__ import annotations

import inspect
import logging

from agent.clock import is_our_end
from agent.context import RunContext
from agent.history import Entry
from agent.hooks import StopResponse, UserTurn, outcome_of
from agent.persona import Agent, overrides
from agent.within import TimeLimit

__all__ = ["transcribed", "turn_completed"]

LIMIT_S = 10.0  # as for other hooks: the caller waits
_log = logging.getLogger(__name__)


async def turn_completed(agent: Agent, context: RunContext, entry: Entry) -> bool:
    """Run `on_user_turn_completed` on the message in `entry`, which it may change. False: do not answer. A hook that
    fails or takes longer than 10 s changes nothing."""
    given = entry.message.text
    turn = UserTurn(given)
    try:
        async with TimeLimit(LIMIT_S):
            await outcome_of(agent.on_user_turn_completed(context, turn))
    except StopResponse:
        return False
    except BaseException as error:  # it is the user's code: not even SystemExit may end the call
        if is_our_end(error):
            raise
        _log.exception("%s.on_user_turn_completed failed", agent.name)
        return True
    finally:
        text: object = turn.text
        if not isinstance(text, str):
            _log.error("%s.on_user_turn_completed left no text in the turn", agent.name)
        elif text != given:
            entry.update(text=text)
    return True


def transcribed(agent: Agent, text: str) -> str:
    """The recognised text after the persona's `transcription_node`."""
    if not text or not overrides(agent, "transcription_node"):
        return text
    try:
        changed: object = agent.transcription_node(text)
    except BaseException:  # noqa: BLE001  user code, not a coroutine, so not cancelled
        _log.exception("%s.transcription_node failed", agent.name)
        return text
    if isinstance(changed, str):
        return changed
    if inspect.iscoroutine(changed):
        changed.close()
    _log.error("%s.transcription_node gave %s and not text", agent.name, type(changed).__name__)
    return text
