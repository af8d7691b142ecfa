"""Asks the caller of a session of this process for digits, with the task that agents use too."""

from __future__ import annotations

import asyncio

from agent import AgentSession, ToolError
from agent.run_result import SessionMisuse
from agent.tasks import CollectDigits, TaskAbandoned, TaskTimedOut
from gateway.calls.collecting import Collected, CollectOrder
from gateway.calls.verbs import VerbRefused

__all__ = ["collect"]


async def collect(session: AgentSession, order: CollectOrder) -> Collected:
    """Returns when the caller has given the digits, or will not. Raises VerbRefused."""
    task = CollectDigits(
        order.prompt,
        least=order.least,
        most=order.most,
        terminators=order.terminators,
        first_digit_timeout_ms=order.first_digit_timeout_ms,
        inter_digit_timeout_ms=order.inter_digit_timeout_ms,
        secret=order.secret,
        confirm=order.confirm,
        retries=order.retries,
        retry_prompt=order.retry_prompt,
    )
    try:
        async with asyncio.timeout(order.limit_s):
            digits = await session.ask(task)
            return Collected(digits, task.ended)
    except SessionMisuse:
        raise VerbRefused("collecting", "The caller is being asked something already.", retryable=True) from None
    except TaskAbandoned:
        if session.over:
            raise VerbRefused("not_live", "The call was over before the caller had given the digits.") from None
        return Collected(None, "handed_over")
    except (TimeoutError, TaskTimedOut):
        return Collected(None, "too_late")
    except ToolError:
        return Collected(None, "no_digits")
